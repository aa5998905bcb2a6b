"""The page of a search: results, what matched, what it waits for, and the lists that people choose to review."""

import re
from hashlib import sha256

import pytest
from httpx2 import Response
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from app import jobs
from app.curation import actions as curation
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.search import facets
from app.search.actions import key_of, waiting_picture
from app.search.uploads import PICTURE_BYTES
from app.tables import (
    CandidateState,
    Caption,
    CaptionKind,
    EncoderKind,
    Event,
    Job,
    JobState,
    QueryVector,
    Queue,
    Setting,
    Weights,
    Worker,
)
from tests.candidates.deciding import decide
from tests.curation.review_page import HTMX, Html
from tests.factories import make_candidate, make_person, make_picture
from tests.prompts.models import screen
from tests.search.made import an_encoder, embed, remember
from tests.web_client import SignIn

S = CandidateState


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker: nobody works on the jobs."""
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)


def row_of(page: Response, candidate_id: int) -> str:
    """The row of a candidate in the table."""
    return next(row for row in page.text.split("<tr>") if f'/candidates/{candidate_id}"' in row)


# --- words --------------------------------------------------------------------------------------


def test_matched_words_are_marked_in_the_caption_and_elsewhere(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session, caption="Blue naevus #dermpath", author="dr_oak")
    cleaned = curation.add_caption(session, candidate.id, CaptionKind.CLEANED, "Blue naevus", "caption/1")
    curation.offer_caption(session, candidate, cleaned)
    elm = sign_in("elm")
    assert "<bdi>Blue <mark>naevus</mark></bdi>" in elm.get("/candidates?q=naevus").text
    assert "#<mark>dermpath</mark>" in elm.get("/candidates?q=dermpath").text
    assert "<mark>@dr_oak</mark>" in elm.get("/candidates?q=%40dr_oak").text


HOSTILE = (
    "Blue naevus </bdi><mark>x</mark><script>alert(1)</script><img src=x>",
    "Blue naevus <img src=x onerror=alert(1) ",  # no tag to PostgreSQL, one to a browser that reads on
    "Blue naevus &lt;script&gt; < script>alert(1)",
)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("layout", ["rows", "tiles"])
def test_a_caption_changes_nothing_of_the_page_but_its_own_text(
    session: Session, sign_in: SignIn, layout: str, hostile: str
) -> None:
    plain = "Blue naevus of it."
    one = make_candidate(session, caption=plain)
    elm = sign_in("elm")
    before = Html(elm.get(f"/candidates?q=naevus&layout={layout}").text)
    session.execute(
        insert(Caption).values(
            candidate_id=one.id, kind=CaptionKind.CLEANED, version=2, text=hostile, text_sha256="x", made_by="test"
        )
    )
    second = session.scalar(select(func.max(Caption.id)))
    one.caption_id = second
    session.flush()
    after = Html(elm.get(f"/candidates?q=naevus&layout={layout}").text)
    assert after.shape() == before.shape()
    assert not any("alert" in script for script in after.scripts)


def test_a_query_is_shown_as_text(session: Session, sign_in: SignIn) -> None:
    page = sign_in("elm").get("/candidates", params={"q": '"><script>alert(1)</script>'})
    assert "<script>alert" not in page.text
    assert page.status_code == 200


def test_fifty_a_page_then_next_without_a_total(session: Session, sign_in: SignIn) -> None:
    made = [make_candidate(session, caption="Blue naevus.").id for _ in range(51)]
    elm = sign_in("elm")
    page = elm.get("/candidates?q=naevus&state=queued")
    following = re.search(r'href="\?([^"]+)" rel="next"', page.text)
    assert following
    rest = elm.get("/candidates?" + following[1].replace("&amp;", "&"))
    assert f"C-{made[0]}<" in rest.text
    assert f"C-{made[1]}<" not in rest.text
    assert 'rel="next"' not in rest.text


def test_a_number_and_a_shortcode_still_lead_to_the_candidate(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    elm = sign_in("elm")
    for by in ("words", "meaning", "both"):
        answer = elm.get("/candidates", params={"q": f"C-{candidate.id}", "by": by})
        assert answer.headers["location"] == f"/candidates/{candidate.id}"


def test_nothing_found_says_what_to_try(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    page = elm.get("/candidates?q=glands+mucin").text
    assert "Search by meaning" in page
    assert "?q=glands+or+mucin" in page
    assert "take a filter off" in elm.get("/candidates?q=glands&state=queued").text


def test_the_search_stays_in_the_page_and_its_filters(session: Session, sign_in: SignIn) -> None:
    make_candidate(session, caption="Blue naevus.")
    page = sign_in("elm").get("/candidates?q=naevus&by=both&state=queued&layout=tiles")
    form = Html(page.text)
    assert form.named("q")["value"] == "naevus"
    assert [e["value"] for _, e in form.elements if e.get("name") == "by" and "checked" in e] == ["both"]
    assert 'href="?q=naevus&amp;by=both&amp;layout=tiles"' in page.text, "the filter's tag takes only the filter off"


# --- meaning ------------------------------------------------------------------------------------


def test_meaning_asks_a_worker_once_and_the_page_asks_again_until_it_is_there(
    session: Session, sign_in: SignIn
) -> None:
    encoder = an_encoder(session)
    candidate = make_candidate(session, caption="Nothing like it.")
    embed(session, encoder, candidate.id, (1, 0))
    elm = sign_in("elm")
    for _ in range(2):
        page = elm.get("/candidates?q=glands&by=meaning").text
    (job,) = session.scalars(select(Job).where(Job.kind == "embed_query"))
    assert job.arguments == {"encoder": encoder.id, "sha256": key_of("glands")}
    results = Html(page).named("results")
    assert results["hx-get"] == "?q=glands&by=meaning"
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page
    session.delete(session.get_one(QueryVector, (encoder.id, key_of("glands"))))
    session.flush()
    remember(session, encoder, "glands", (1, 0))
    part = elm.get("/candidates?q=glands&by=meaning", headers=HTMX).text
    assert part.lstrip().startswith('<div class="stack" id="results">')
    assert f"C-{candidate.id}" in part
    assert "1.00" in part


def test_without_a_worker_it_says_how_to_start_one(session: Session, sign_in: SignIn) -> None:
    an_encoder(session)
    elm = sign_in("elm")
    assert "ipath worker --queues gpu" in elm.get("/candidates?q=glands&by=meaning").text
    session.add(Worker(host="here", pid=1, queues=["gpu"]))
    session.flush()
    assert "Waits for a worker" in elm.get("/candidates?q=glands&by=meaning").text


def test_words_alone_are_shown_while_the_meaning_is_waited_for(session: Session, sign_in: SignIn) -> None:
    an_encoder(session)
    candidate = make_candidate(session, caption="Crowded glands.")
    page = sign_in("elm").get("/candidates?q=glands&by=both").text
    assert f"C-{candidate.id}" in page
    assert "by words alone until" in page


def test_an_encoder_that_reads_no_text_is_named(session: Session, sign_in: SignIn) -> None:
    an_encoder(session, kind=EncoderKind.IMAGE)
    page = sign_in("elm").get("/candidates?q=glands&by=meaning").text
    assert "Tiny, the encoder in use, reads pictures only" in page
    assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_random_weights_are_said_beside_the_results(session: Session, sign_in: SignIn) -> None:
    encoder = an_encoder(session, weights=Weights.RANDOM)
    candidate = make_candidate(session)
    embed(session, encoder, candidate.id, (1, 0))
    remember(session, encoder, "glands", (1, 0))
    elm = sign_in("elm")
    page = elm.get("/candidates?q=glands&by=meaning").text
    assert "random weights: what it puts first says nothing of meaning" in page
    assert f"C-{candidate.id}" in page
    assert "random weights" in elm.get(f"/candidates?by=image&like={candidate.id}").text


def test_without_any_encoder_it_says_so(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    assert "No picture is embedded yet" in elm.get("/candidates?q=glands&by=meaning").text
    assert elm.post("/search/picture", files={"file": ("a.jpg", make_picture(1))}).status_code == 409


def test_what_failed_says_why_and_can_be_tried_again(session: Session, sign_in: SignIn) -> None:
    encoder = an_encoder(session)
    elm = sign_in("elm")
    elm.get("/candidates?q=glands&by=meaning")
    (job,) = session.scalars(select(Job).where(Job.kind == "embed_query"))
    job.state, job.error = JobState.FAILED, "The weights are gone."
    session.flush()
    for _ in range(2):
        page = elm.get("/candidates?q=glands&by=meaning").text
        assert "The weights are gone." in page
        assert "hx-get" not in Html(page).named("results"), "it does not ask for ever"
    assert session.scalar(select(func.count()).select_from(Job)) == 1
    answer = elm.post("/search/again", data={"q": "glands", "by": "meaning"})
    assert answer.headers["location"] == "/candidates?q=glands&by=meaning"
    row = session.get_one(QueryVector, (encoder.id, key_of("glands")), populate_existing=True)
    assert row.job_id != job.id
    assert elm.post("/search/again", data={"q": "nobody asked", "by": "meaning"}).status_code == 409


# --- likeness -----------------------------------------------------------------------------------


def test_a_candidates_page_leads_to_images_like_it(session: Session, sign_in: SignIn) -> None:
    encoder = an_encoder(session)
    this, other = make_candidate(session), make_candidate(session)
    for candidate in (this, other):
        embed(session, encoder, candidate.id, (1, 0))
    alder = sign_in("alder")
    link = f"/candidates?by=image&amp;like={this.id}"
    assert link in alder.get(f"/candidates/{this.id}").text
    page = alder.get(link.replace("&amp;", "&"))
    assert f"Like C-{this.id}" in page.text
    assert row_of(page, other.id)
    assert f'/candidates/{this.id}"' not in page.text


def test_an_uploaded_picture_waits_as_a_file_for_its_worker(session: Session, sign_in: SignIn) -> None:
    encoder = an_encoder(session)
    data = make_picture(7)
    key = sha256(data).hexdigest()
    alder = sign_in("alder")
    sent = {"q": "glands", "state": "open", "like": "5"}
    answer = alder.post("/search/picture", data=sent, files={"file": ("../x.jpg", data, "image/jpeg")})
    assert answer.headers["location"] == f"/candidates?q=glands&by=image&picture={key}&state=open"
    assert waiting_picture(key).read_bytes() == data
    row = session.get_one(QueryVector, (encoder.id, key))
    assert (row.text, row.vec) == (None, None)
    assert session.get_one(Job, row.job_id).arguments == {"encoder": encoder.id, "sha256": key}
    page = alder.get(answer.headers["location"]).text
    assert "Like your picture" in page
    assert "x.jpg" not in page
    waiting_picture(key).unlink()


@pytest.mark.parametrize("files", [{}, {"file": ("a.jpg", b"")}, {"other": ("a.jpg", b"x")}])
def test_no_picture_is_refused(session: Session, sign_in: SignIn, files: dict[str, tuple[str, bytes]]) -> None:
    an_encoder(session)
    assert sign_in("alder").post("/search/picture", data={"q": ""}, files=files).status_code in (400, 422)
    assert session.scalar(select(func.count()).select_from(QueryVector)) == 0


def test_a_picture_that_is_too_large_is_refused(session: Session, sign_in: SignIn) -> None:
    an_encoder(session)
    answer = sign_in("alder").post("/search/picture", files={"file": ("a.jpg", bytes(PICTURE_BYTES))})
    assert answer.status_code == 413
    assert session.scalar(select(func.count()).select_from(QueryVector)) == 0


def test_a_picture_that_is_no_longer_kept_says_so(session: Session, sign_in: SignIn) -> None:
    an_encoder(session)
    page = sign_in("alder").get(f"/candidates?by=image&picture={'a' * 64}")
    assert "no longer kept" in page.text


# --- facets -------------------------------------------------------------------------------------


def test_a_nonsense_facet_is_refused_and_the_list_stays(session: Session, sign_in: SignIn) -> None:
    candidate = make_candidate(session)
    elm = sign_in("elm")
    for query in ("organ=nonsense", "stain=nonsense", "by=nonsense", "picture=../x", "like=x", "after=-1"):
        page = elm.get(f"/candidates?{query}")
        assert page.status_code == 422
        assert f"C-{candidate.id}" in page.text


def test_organs_stains_and_sources_show_how_many_there_are(session: Session, sign_in: SignIn) -> None:
    made = [make_candidate(session) for _ in range(3)]
    make_candidate(session, CandidateState.WITHDRAWN)
    values = [{"organ": "skin", "stain": "he"}, {"organ": "skin"}, {"organ": "colon"}]
    found = dict(zip((candidate.id for candidate in made), values, strict=True))
    results = [StageResult(id_, evidence={"fields": fields}) for id_, fields in found.items()]
    write_findings(session, "caption", "1", results, {id_: str(id_) for id_ in found}, None)
    again = [StageResult(made[2].id, evidence={"fields": {"organ": "lung"}})]
    write_findings(session, "caption", "2", again, {made[2].id: "again"}, None)
    counts = facets.facets(session)
    assert counts["organ"] == {"skin": 2, "lung": 1}, "what a stage said before counts no more"
    assert counts["stain"] == {"he": 1}
    assert list(counts["source"].values()) == [3]
    page = sign_in("elm").get("/candidates?organ=skin").text
    assert '<span>Skin</span><span class="num">2</span>' in page
    assert "path_demo_01 (3)" in page
    assert [n in page for n in (f"C-{made[0].id}", f"C-{made[1].id}", f"C-{made[2].id}")] == [True, True, False]


def test_what_reviewers_may_not_see_is_in_no_count(session: Session) -> None:
    states = (S.INCOMING, S.FILTERING, S.FILTERED_OUT, S.FILTERED_OUT, S.QUEUED)
    made = [make_candidate(session, state) for state in states]
    screen(session, made[3])
    results = [StageResult(one.id, evidence={"fields": {"organ": "skin"}}) for one in made]
    write_findings(session, "caption", "1", results, {one.id: str(one.id) for one in made}, None)
    counts = facets.facets(session)
    assert (counts["organ"], list(counts["source"].values())) == ({"skin": 2}, [2])


def test_beyond_a_thousand_nobody_counts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "COUNTED_TO", 2)
    for _ in range(5):
        make_candidate(session)
    (count,) = facets.facets(session)["source"].values()
    assert (count, facets.shown(count), facets.shown(2)) == (3, "2+", "2")


# --- reviewing a list ---------------------------------------------------------------------------


def shown(page: Response) -> int:
    found = re.search(r'id="review"\s+data-candidate="(\d+)"', page.text)
    assert found, page.text[:2000]
    return int(found[1])


def test_a_result_is_reviewed_as_a_queue_in_its_order(session: Session, sign_in: SignIn) -> None:
    first_in_queue = make_candidate(session, caption="Something else.").id
    one, two = (make_candidate(session, caption="Blue naevus.").id for _ in range(2))
    alder = sign_in("alder")
    answer = alder.post("/search/review", data={"q": "naevus", "by": "words"})
    queue = session.scalars(select(Queue).where(Queue.name.startswith("Search"))).one()
    assert answer.headers["location"] == f"/review?queue={queue.id}"
    assert queue.filter["candidates"] == [two, one]
    page = alder.get(answer.headers["location"])
    assert shown(page) == two
    assert f'name="queue" value="{queue.id}"' in page.text
    after = alder.post(f"/review/{two}/decide", data=fields_of(page) | {"decision": "accept"}, headers=HTMX)
    assert shown(after) == one
    skipped = alder.post(f"/review/{one}/decide", data=fields_of(after) | {"decision": "skip"})
    assert skipped.headers["location"] == f"/review?queue={queue.id}"
    empty = alder.get(skipped.headers["location"]).text
    assert "Nothing of the list that you chose is left for you" in empty
    assert "Go on with the main queue" in empty
    assert shown(alder.get("/review")) == first_in_queue
    act = session.scalars(select(Event).where(Event.act == "review.list_chosen")).one()
    assert (act.subject_id, act.details) == (str(queue.id), {"candidates": 2})


def fields_of(page: Response) -> dict[str, str]:
    """The hidden fields of the review form, and what its boxes hold."""
    form = page.text[page.text.index('<form class="decide"') :]
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
    return hidden | {"caption": "A caption to publish."}


def test_undo_brings_back_a_candidate_that_is_not_of_the_list(session: Session, sign_in: SignIn) -> None:
    other = make_candidate(session, caption="Something else.")
    naevus = make_candidate(session, caption="Blue naevus.")
    alder = sign_in("alder")
    page = alder.get("/review")
    assert shown(page) == other.id
    alder.post(f"/review/{other.id}/decide", data=fields_of(page) | {"decision": "accept"}, headers=HTMX)
    listed = alder.get(alder.post("/search/review", data={"q": "naevus"}).headers["location"])
    assert shown(listed) == naevus.id
    undone = alder.post(f"/review/{naevus.id}/decide", data=fields_of(listed) | {"decision": "undo"}, headers=HTMX)
    assert shown(undone) == other.id


def test_what_is_held_beside_the_list_goes_back_to_the_queue(session: Session, sign_in: SignIn) -> None:
    held = [make_candidate(session, caption="Something else.").id for _ in range(3)]
    make_candidate(session, caption="Blue naevus.")
    alder, birch = sign_in("alder"), sign_in("birch")
    assert shown(alder.get("/review")) == held[0]
    alder.get(alder.post("/search/review", data={"q": "naevus"}).headers["location"])
    assert shown(birch.get("/review")) == held[0]


def test_a_list_is_its_own_persons_alone(session: Session, sign_in: SignIn) -> None:
    make_candidate(session, caption="Blue naevus.")
    location = sign_in("alder").post("/search/review", data={"q": "naevus"}).headers["location"]
    birch = sign_in("birch")
    assert birch.get(location).status_code == 404
    main = session.scalars(select(Queue.id).where(Queue.name == "Main")).one()
    for number in (main, 10**15):
        assert birch.get(f"/review?queue={number}").status_code == 404
    assert birch.get("/review?queue=nonsense").status_code == 422


def test_what_one_may_not_be_handed_is_not_in_the_list(session: Session, sign_in: SignIn) -> None:
    session.merge(Setting(name="overlap_share", value=0))
    session.flush()
    done = make_candidate(session, caption="Blue naevus.")
    decide(session, make_person(session, "oak"), done)
    elm = sign_in("elm")
    answer = elm.post("/search/review", data={"q": "naevus"})
    assert answer.headers["location"] == "/candidates?q=naevus"
    assert session.scalars(select(Queue.name)).all() == ["Main"]


def test_a_filtered_list_is_reviewed_too(session: Session, sign_in: SignIn) -> None:
    candidates = [make_candidate(session).id for _ in range(3)]
    alder = sign_in("alder")
    page = alder.get("/candidates?state=open").text
    assert "Review these" in page
    assert "Review these" not in alder.get("/candidates").text
    answer = alder.post("/search/review", data={"state": "open"})
    assert shown(alder.get(answer.headers["location"])) == candidates[-1]
