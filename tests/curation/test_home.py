"""A reviewer's home: what waits, how far one is, what can be undone."""

from sqlalchemy.orm import Session

from app.tables import CandidateState
from tests.curation.review_page import Html, candidates, open_page, reviews, send
from tests.training.made_runs import make_run
from tests.web_client import SignIn

S = CandidateState


def test_home_tells_how_far_one_is(session: Session, sign_in: SignIn) -> None:
    alder = sign_in("alder")
    assert "Nothing waits for you" in alder.get("/").text
    assert "No decisions yet" in alder.get("/").text
    candidates(session, 4)
    assert "4 candidates wait for your review" in alder.get("/").text
    send(alder, open_page(alder), "accept", seconds="4")
    send(alder, open_page(alder), "accept", caption="Other words.", seconds="6")
    send(alder, open_page(alder), reason="other", seconds="8")
    page = alder.get("/").text
    assert "1 candidate waits for your review" in page
    assert "Go on reviewing" in page
    assert "<b>3</b> of 200" in page
    figures = Html(page)
    assert [tag for tag, found in figures.elements if "/undo/" in found.get("action", "")] == ["form"] * 3
    for figure in ("67\N{NO-BREAK SPACE}%", "50\N{NO-BREAK SPACE}%", "6\N{NO-BREAK SPACE}s"):
        assert figure in page


def test_home_counts_what_stands_and_only_ones_own(session: Session, sign_in: SignIn) -> None:
    candidates(session, 3)
    alder, birch = sign_in("alder"), sign_in("birch")
    send(alder, open_page(alder), "accept")
    alder.post(f"/review/undo/{reviews(session)[0].id}")
    for client in (alder, birch):
        assert "<b>0</b> of 200" in client.get("/").text


def test_an_admin_is_shown_the_practice_run_until_something_was_trained(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    assert "The practice run</a> shows live curves" in elm.get("/").text
    make_run(session, epochs=1)
    assert "The practice run</a>" not in elm.get("/").text
