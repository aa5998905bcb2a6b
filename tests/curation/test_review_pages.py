"""The review page: handed out and decided, by plain forms and by htmx."""

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.curation.policies import HELD_AT_ONCE
from app.tables import CandidateState, ReviewReason, Setting, Skip
from tests.curation.review_page import Page, candidates, caption_of, holders, open_page, reviews, send, state
from tests.web_client import SignIn

S = CandidateState


def test_the_page_shows_a_candidate_and_holds_it_with_the_next_two(session: Session, sign_in: SignIn) -> None:
    ids = candidates(session, 5)
    page = open_page(sign_in("alder"))
    assert page.candidate == ids[0]
    assert page.caption == "Caption number 0."
    assert page.texts["lease"] == ""
    assert page.named("review")["data-seconds"] == "600"
    assert sorted(holders(session)) == ids[:HELD_AT_ONCE]
    preloaded = page.named("review")["data-preload"].split()
    assert len(preloaded) == HELD_AT_ONCE - 1


def test_a_reload_shows_the_same_candidate_and_holds_no_more(session: Session, sign_in: SignIn) -> None:
    ids = candidates(session, 5)
    alder = sign_in("alder")
    assert [open_page(alder).candidate for _ in range(3)] == [ids[0]] * 3
    assert len(holders(session)) == HELD_AT_ONCE


def test_a_held_candidate_can_be_asked_for_but_no_other(session: Session, sign_in: SignIn) -> None:
    ids = candidates(session, 5)
    alder = sign_in("alder")
    assert open_page(alder, f"?candidate={ids[2]}").candidate == ids[2]
    assert open_page(alder, f"?candidate={ids[4]}").candidate == ids[0]
    assert f"C-{ids[4]}</a> is not in your hands" in alder.get(f"/review?candidate={ids[4]}").text
    assert "not in your hands" not in alder.get(f"/review?candidate={ids[2]}").text


@pytest.mark.parametrize("overlap", [0, 1])
def test_two_reviewers_are_never_handed_what_they_may_not_see(session: Session, sign_in: SignIn, overlap: int) -> None:
    session.execute(update(Setting).where(Setting.name == "overlap_share").values(value=overlap))
    ids = candidates(session, 7)
    alder, birch = sign_in("alder"), sign_in("birch")
    seen: dict[str, list[int]] = {"alder": [], "birch": []}
    for _ in ids:
        for name, client in (("alder", alder), ("birch", birch)):
            page = Page(client.get("/review").text)
            if "data-candidate" in page.named("review"):
                seen[name].append(page.candidate)
                assert send(client, page, "accept").status_code == 303
    assert all(len(set(handed)) == len(handed) for handed in seen.values())
    assert sorted(seen["alder"] + seen["birch"]) == sorted(ids * (1 + overlap))
    assert {state(session, one) for one in ids} == {S.ACCEPTED}


def test_the_queue_that_is_empty_says_why(session: Session, sign_in: SignIn) -> None:
    alder, birch = sign_in("alder"), sign_in("birch")
    page = alder.get("/review").text
    assert "Nothing waits for you" in page
    assert "You have reviewed all you can in this queue." in page
    candidates(session, 2)
    send(birch, open_page(birch), "skip")
    send(alder, open_page(alder), "skip")
    page = alder.get("/review").text
    assert "You skipped 1; they are still open." in page
    assert "1 candidate is with other reviewers and comes back if 10 minutes pass" in page


@pytest.mark.parametrize(
    ("path", "method"), [("/review", "GET"), ("/review/1/decide", "POST"), ("/review/1/draft", "POST")]
)
def test_reviewing_is_for_reviewers_who_are_signed_in(sign_in: SignIn, path: str, method: str) -> None:
    assert sign_in("fir").request(method, path).status_code == 403
    assert sign_in("").request(method, path).status_code == (303 if method == "GET" else 401)


def test_a_session_that_ended_is_told_to_htmx_and_nothing_is_written(session: Session, sign_in: SignIn) -> None:
    candidates(session, 1)
    alder = sign_in("alder")
    page = open_page(alder)
    alder.cookies.clear()
    answer = send(alder, page, "accept", htmx=True)
    assert answer.status_code == 401
    assert "hx-swap-oob" in answer.text
    assert reviews(session) == []


# --- deciding -------------------------------------------------------------------------------------


def test_a_plain_form_is_answered_with_the_way_to_the_next(session: Session, sign_in: SignIn) -> None:
    first, second = candidates(session, 2)
    alder = sign_in("alder")
    answer = send(alder, open_page(alder), "accept", seconds="12.5")
    assert (answer.status_code, answer.headers["location"]) == (303, "/review")
    assert state(session, first) is S.ACCEPTED
    assert reviews(session)[0].seconds == 12.5
    assert open_page(alder).candidate == second


def test_htmx_gets_the_next_candidate_in_the_same_answer(session: Session, sign_in: SignIn) -> None:
    first, second = candidates(session, 2)
    alder = sign_in("alder")
    answer = send(alder, open_page(alder), "accept", htmx=True)
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith('<div class="review"')
    assert "<html" not in answer.text
    page = Page(answer.text)
    assert page.candidate == second
    assert page.texts["said"] == f"Accepted C-{first}. C-{second} is next."
    assert send(alder, page, "accept", htmx=True).status_code == 200
    assert state(session, second) is S.ACCEPTED


def test_a_reason_rejects_in_one_press(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    assert send(alder, open_page(alder), reason="duplicate", note="Same as C-1.").status_code == 303
    assert state(session, only) is S.REJECTED
    assert session.scalars(select(ReviewReason.reason)).all() == ["duplicate"]


@pytest.mark.parametrize("htmx", [False, True])
def test_reject_without_a_reason_opens_the_reasons(session: Session, sign_in: SignIn, htmx: bool) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    answer = send(alder, open_page(alder), "reject", htmx=htmx)
    assert answer.status_code == 422
    page = Page(answer.text)
    assert (page.candidate, page.has_reasons_open) == (only, True)
    assert "Choose a reason." in page.texts["why-menu"]
    assert reviews(session) == []
    assert send(alder, page, reason="other").status_code == 303


def test_a_reason_that_is_none_is_refused(session: Session, sign_in: SignIn) -> None:
    candidates(session, 1)
    alder = sign_in("alder")
    answer = send(alder, open_page(alder), reason="because")
    assert answer.status_code == 422
    assert Page(answer.text).has_reasons_open
    assert reviews(session) == []


def test_an_accept_publishes_the_edited_caption_and_the_fields(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    send(alder, open_page(alder), "accept", caption="Naevus.\r\nH&E.", organ="skin", stain="he", diagnosis="Naevus\x00")
    (review,) = reviews(session)
    assert caption_of(session, review.caption_after_id) == "Naevus.\nH&E."
    assert (review.fields["organ"], review.fields["stain"]) == ("skin", "he")
    assert state(session, only) is S.ACCEPTED


def test_an_empty_caption_is_refused_and_what_was_typed_stays(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    answer = send(alder, open_page(alder), "accept", caption="  \n ", organ="skin", diagnosis="Naevus")
    assert answer.status_code == 422
    page = Page(answer.text)
    assert (page.candidate, page.is_editing) == (only, True)
    assert page.texts["caption-error"] == "A pair needs a caption. Write one, or reject it."
    assert page.caption.strip() == ""
    assert (page.form()["organ"], page.form()["diagnosis"]) == ("skin", "Naevus")
    assert reviews(session) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"caption": "x" * 20_001},
        {"organ": "elbow"},
        {"token": "none"},
        {"caption_version": "9" * 30},
        {"seconds": "nan"},
        {"diagnosis": "x" * 501},
        {"decision": "publish"},
    ],
)
def test_what_can_not_be_read_changes_nothing(session: Session, sign_in: SignIn, changes: dict[str, Any]) -> None:
    candidates(session, 1)
    alder = sign_in("alder")
    assert send(alder, open_page(alder), **({"decision": "accept"} | changes)).status_code == 422
    assert reviews(session) == []


def test_a_flag_goes_to_an_admin(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    send(alder, open_page(alder), "flag", note="Shows a face.")
    assert state(session, only) is S.FLAGGED


def test_a_skip_leaves_the_candidate_to_others_and_offers_it_again(session: Session, sign_in: SignIn) -> None:
    first, second = candidates(session, 2)
    alder = sign_in("alder")
    answer = send(alder, open_page(alder), "skip", htmx=True)
    assert Page(answer.text).candidate == second
    assert f"Skipped C-{first}." in answer.text
    assert open_page(sign_in("birch")).candidate == first
    send(alder, open_page(alder), "accept")
    assert "Review the 1 you skipped" in alder.get("/review").text
    assert alder.post("/review/skipped").headers["location"] == "/review"
    assert session.scalars(select(Skip)).all() == []


@pytest.mark.parametrize("number", [0, 999_999_999, 9 * 10**25])
@pytest.mark.parametrize("act", ["accept", "skip", "draft", "undo"])
def test_there_is_no_candidate_of_another_number(session: Session, sign_in: SignIn, act: str, number: int) -> None:
    candidates(session, 1)
    alder = sign_in("alder")
    sent = open_page(alder).form() | {"decision": act}
    path = f"/review/{number}/{'draft' if act == 'draft' else 'decide'}"
    if act == "undo":
        path = f"/review/undo/{number}"
    assert alder.post(path, data=sent).status_code == 404
    assert reviews(session) == []


@pytest.mark.parametrize("htmx", [False, True])
def test_the_same_submission_twice_is_one_review(session: Session, sign_in: SignIn, htmx: bool) -> None:
    candidates(session, 2)
    alder = sign_in("alder")
    page = open_page(alder)
    answers = [send(alder, page, "accept", htmx=htmx) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {200 if htmx else 303}
    assert len(reviews(session)) == 1


# --- without JavaScript ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "editing", "reasons", "keys"),
    [
        ("", False, False, False),
        ("?edit=true", True, False, False),
        ("?reject=true", False, True, False),
        ("?keys=true", False, False, True),
    ],
)
def test_what_keys_open_a_link_opens_as_well(
    session: Session, sign_in: SignIn, query: str, editing: bool, reasons: bool, keys: bool
) -> None:
    candidates(session, 1)
    page = open_page(sign_in("alder"), query)
    assert (page.is_editing, page.has_reasons_open, "open" in page.named("keys")) == (editing, reasons, keys)
    assert page.named("review")["data-editing"] == ("true" if editing else "false")


def test_every_button_of_the_form_is_a_plain_button_of_a_plain_form(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    page = open_page(sign_in("alder"))
    form = page.named("decide")
    assert (form["method"], form["action"]) == ("post", f"/review/{only}/decide")
    buttons = [found["value"] for tag, found in page.elements if tag == "button" and found.get("name") == "decision"]
    assert buttons == ["accept", "reject", "flag", "skip", "undo"]
    assert len([1 for tag, found in page.elements if tag == "button" and found.get("name") == "reason"]) == 8
