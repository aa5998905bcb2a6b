"""The duplicates' pages over HTTP: what they list, what each act does, and what they refuse."""

import random
import re

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.duplicates.queries import counts
from app.tables import DuplicateEdit, Event
from tests.duplicates.copying import bits, copy, cut_from, group_with, groups, states
from tests.web_client import SignIn

HOSTILE = "</bdi><script>alert(1)</script> & melanoma"


@pytest.fixture
def elm(sign_in: SignIn) -> TestClient:
    return sign_in("elm")


def sent(session: Session, candidate_id: int, **values: object) -> dict[str, object]:
    """What the form of the candidate's group sends."""
    return {"version": group_with(session, candidate_id).version} | values


def listed(text: str) -> list[str]:
    return re.findall(r'<h2 id="(G-\d+)"', text)


def test_without_groups_the_page_says_where_they_come_from(elm: TestClient) -> None:
    page = elm.get("/duplicates")
    assert page.status_code == 200
    assert "No copies yet" in page.text


def test_the_tabs_list_groups_by_kind_and_those_to_look_at_come_first(session: Session, elm: TestClient) -> None:
    one = copy(session, bits(0))
    exact = group_with(session, copy(session, bits(0), image_of=one)).id
    near = group_with(session, [copy(session, bits(60)), copy(session, bits(62))][0]).id
    far = group_with(session, [copy(session, bits(0, 0) ^ (2**200 - 1)), copy(session, bits(28) ^ (2**200 - 1))][0]).id
    whole, cut = (random.Random(seed).getrandbits(256) for seed in (1, 2))
    semantic = group_with(session, cut_from(session, copy(session, whole, side=900), cut)).id
    assert counts(session) == {"look": 1, "exact": 1, "perceptual": 2, "semantic": 1}
    assert listed(elm.get("/duplicates").text) == [f"G-{far}"]
    assert listed(elm.get("/duplicates?kind=exact").text) == [f"G-{exact}"]
    assert listed(elm.get("/duplicates?kind=perceptual").text) == [f"G-{far}", f"G-{near}"]
    assert listed(elm.get("/duplicates?kind=semantic").text) == [f"G-{semantic}"]
    assert elm.get("/duplicates?kind=other").status_code == 422


def test_next_leads_through_all_groups_once(session: Session, elm: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.duplicates import routes

    monkeypatch.setattr(routes, "PAGE", 2)
    numbers = []
    for place in range(5):
        apart = sum(1 << bit for bit in range(40 * place, 40 * place + 20))
        one = copy(session, bits(0) ^ apart)
        copy(session, bits(0) ^ apart, image_of=one)
        numbers.append(f"G-{group_with(session, one).id}")
    seen, url = [], "/duplicates?kind=exact"
    while url:
        text = elm.get(url).text
        seen += listed(text)
        found = re.search(r'href="(\?[^"]+)" rel="next"', text)
        url = "/duplicates" + found[1].replace("&amp;", "&") if found else ""
    assert seen == numbers[::-1]


def test_a_group_says_which_copy_is_kept_why_and_how_far_the_others_are(session: Session, elm: TestClient) -> None:
    large, small = copy(session, bits(0), side=900), copy(session, bits(28), caption=HOSTILE)
    twin = copy(session, bits(0), image_of=large)
    page = elm.get(f"/duplicates/{group_with(session, large).id}")
    text = " ".join(re.sub(r"<[^>]+>", " ", page.text).split())
    assert f"C-{large} Kept 900 × 900, first imported" in text
    assert "600 × 600, its caption is its own, PDQ 28 Sure?" in text
    assert f"C-{twin} Keep this 900 × 900, the same file" in text
    assert "28 of 256 bits apart" in text
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert f'name="apart" value="{small}" checked' in page.text
    assert f"{twin}#compare" in page.text


def test_a_shared_view_is_told_in_words_and_drawn_on_both_pictures(session: Session, elm: TestClient) -> None:
    whole = copy(session, bits(0), side=900)
    cut = cut_from(session, whole, bits(0) ^ (2**150 - 1), part=0.5)
    page = elm.get(f"/duplicates/{group_with(session, cut).id}").text
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "semantic 2 copies, cosine 0.900" in text
    assert "500 × 500, it may show something else too, cosine 0.900, 50 % of the larger Sure?" in text
    assert "one view: 50 % of the larger picture, 98 % of it alike" in text
    assert page.count('class="box box-view"') == 2


def test_right_goes_back_to_the_list_that_it_was_sent_from(session: Session, elm: TestClient) -> None:
    one, _ = copy(session, bits(0)), copy(session, bits(28))
    number = group_with(session, one).id
    form = sent(session, one, kind="look", before=number + 1)
    answer = elm.post(f"/duplicates/{number}/right", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/duplicates?kind=look&before={number + 1}")
    page = elm.get(answer.headers["location"]).text
    assert "is right: its copies are one picture." in page
    assert listed(page) == []


def test_what_is_ticked_is_split_off_and_the_edit_is_taken_back(session: Session, elm: TestClient) -> None:
    ids = [copy(session, bits(0), side=900), copy(session, bits(2)), copy(session, bits(28))]
    number = group_with(session, ids[0]).id
    answer = elm.post(f"/duplicates/{number}/split", data=sent(session, ids[0], apart=[ids[1], ids[2]]))
    assert answer.headers["location"] == f"/duplicates/{number}"
    assert groups(session) == {frozenset(ids[1:])}
    page = elm.get("/duplicates").text
    assert f"Take back the split of G-{number}" in page
    elm.post("/duplicates/undo", data={"kind": "look"})
    assert groups(session) == {frozenset(ids)}
    assert elm.post("/duplicates/undo").status_code == 409
    acts = session.scalars(select(Event.act).where(Event.act.startswith("duplicate.")).order_by(Event.id)).all()
    assert acts == ["duplicate.split", "duplicate.undone"]


def test_a_split_of_nothing_says_what_to_tick(session: Session, elm: TestClient) -> None:
    one, _ = copy(session, bits(0)), copy(session, bits(2))
    answer = elm.post(f"/duplicates/{group_with(session, one).id}/split", data=sent(session, one))
    assert answer.status_code == 422
    assert "Tick the copies that show another picture" in answer.text
    assert not session.scalar(select(func.count()).select_from(DuplicateEdit))


def test_another_copy_is_kept_instead(session: Session, elm: TestClient) -> None:
    large, small = copy(session, bits(0), side=900), copy(session, bits(2))
    number = group_with(session, large).id
    answer = elm.post(f"/duplicates/{number}/keep", data=sent(session, large, candidate=small))
    assert answer.headers["location"] == f"/duplicates/{number}"
    assert states(session, large, small) == ["copy", "kept"]
    assert "chosen by hand" in elm.get(f"/duplicates/{number}").text
    assert elm.post(f"/duplicates/{number}/keep", data=sent(session, large, candidate=small)).status_code == 409


@pytest.mark.parametrize("typed", ["C-{}", " {}", "c{}"])
def test_a_candidate_is_joined_by_its_number(session: Session, elm: TestClient, typed: str) -> None:
    one, _, lone = copy(session, bits(0)), copy(session, bits(2)), copy(session, bits(100))
    number = group_with(session, one).id
    elm.post(f"/duplicates/{number}/merge", data=sent(session, one, other=typed.format(lone)))
    assert group_with(session, lone).id == number


@pytest.mark.parametrize(
    "typed", ["", "G-", "C-0", "C-1.5", "9" * 30, "'; DROP TABLE", "\x00", "C-\N{SUPERSCRIPT TWO}"]
)
def test_what_is_no_number_is_refused_beside_its_field(session: Session, elm: TestClient, typed: str) -> None:
    one, _ = copy(session, bits(0)), copy(session, bits(2))
    answer = elm.post(f"/duplicates/{group_with(session, one).id}/merge", data=sent(session, one, other=typed))
    assert answer.status_code == 422
    assert "Type a candidate&#39;s number" in answer.text


def test_a_page_that_is_older_than_the_group_changes_nothing(session: Session, elm: TestClient) -> None:
    one, _ = copy(session, bits(0)), copy(session, bits(2))
    number, form = group_with(session, one).id, sent(session, one)
    copy(session, bits(4))
    answer = elm.post(f"/duplicates/{number}/right", data=form)
    assert answer.status_code == 409
    assert "are others now" in answer.text


def test_a_candidates_page_leads_an_admin_to_its_group(session: Session, elm: TestClient, sign_in: SignIn) -> None:
    one, _ = copy(session, bits(0)), copy(session, bits(2))
    link = f"/duplicates/of/{one}"
    assert link in elm.get(f"/candidates/{one}").text
    assert link not in sign_in("alder").get(f"/candidates/{one}").text
    assert elm.get(link).headers["location"] == f"/duplicates/{group_with(session, one).id}"
    assert elm.get(f"/duplicates/of/{2**62}").status_code == 404


def test_the_stages_page_leads_to_the_groups(session: Session, elm: TestClient) -> None:
    copy(session, bits(0))
    assert 'href="/duplicates">Duplicate groups' in elm.get("/prefilter").text


def test_a_large_group_is_shown_in_part(session: Session, elm: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.duplicates import routes

    monkeypatch.setattr(routes, "TILES", 2)
    one = copy(session, bits(0))
    for _ in range(3):
        copy(session, 0, image_of=one)
    assert "And 2 more." in elm.get("/duplicates?kind=exact").text
