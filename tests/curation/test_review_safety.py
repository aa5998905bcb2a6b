"""What a reviewer did can be taken back, and what they wrote outlives leases, reloads and others."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.curation import actions
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    CaptionKind,
    Draft,
    ReviewKind,
)
from tests.curation.review_page import (
    HTMX,
    Html,
    Page,
    candidates,
    holders,
    let_leases_end,
    open_page,
    reviews,
    send,
    state,
)
from tests.factories import FAR
from tests.web_client import SignIn

S = CandidateState


@pytest.mark.parametrize("htmx", [False, True])
def test_undo_gives_the_last_candidate_back(session: Session, sign_in: SignIn, htmx: bool) -> None:
    first, _ = candidates(session, 2)
    alder = sign_in("alder")
    send(alder, open_page(alder), "accept", caption="Better words.")
    answer = send(alder, open_page(alder), "undo", htmx=htmx)
    if htmx:
        page = Page(answer.text)
        assert f"Took back your decision on C-{first}" in page.texts["said"]
    else:
        assert answer.headers["location"] == f"/review?candidate={first}"
        page = open_page(alder, f"?candidate={first}")
    assert (page.candidate, page.caption) == (first, "Better words.")
    assert state(session, first) is S.QUEUED
    assert send(alder, page, "accept").status_code == 303
    assert state(session, first) is S.ACCEPTED


def test_undo_again_takes_back_the_one_before(session: Session, sign_in: SignIn) -> None:
    first, second, _ = candidates(session, 3)
    alder = sign_in("alder")
    for _ in range(2):
        send(alder, open_page(alder), "accept")
    for taken_back in (second, first):
        answer = send(alder, open_page(alder), "undo")
        assert answer.headers["location"] == f"/review?candidate={taken_back}"
    assert send(alder, open_page(alder), "undo").status_code == 409


def test_the_same_undo_twice_takes_back_one(session: Session, sign_in: SignIn) -> None:
    candidates(session, 3)
    alder = sign_in("alder")
    for _ in range(2):
        send(alder, open_page(alder), "accept")
    page = open_page(alder)
    for _ in range(2):
        assert send(alder, page, "undo").status_code == 303
    assert [review.kind for review in reviews(session)].count(ReviewKind.UNDO) == 1


@pytest.mark.parametrize("htmx", [False, True])
def test_any_of_the_last_decisions_is_taken_back_from_the_strip(session: Session, sign_in: SignIn, htmx: bool) -> None:
    first, *_ = candidates(session, 4)
    alder = sign_in("alder")
    for _ in range(3):
        send(alder, open_page(alder), reason="other")
    listed = Html(alder.get("/review/history").text)
    *_, oldest = (found["action"] for _, found in listed.elements if "/undo/" in found.get("action", ""))
    assert oldest == f"/review/undo/{reviews(session)[0].id}"
    answer = alder.post(oldest, headers=HTMX if htmx else {})
    assert answer.status_code == (200 if htmx else 303)
    assert state(session, first) is S.QUEUED


def test_nobody_takes_back_anothers_decision(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder, birch = sign_in("alder"), sign_in("birch")
    send(alder, open_page(alder), "accept")
    assert birch.post(f"/review/undo/{reviews(session)[0].id}").status_code == 404
    assert state(session, only) is S.ACCEPTED


# --- too late -------------------------------------------------------------------------------------


def decided_by_birch(session: Session, alder: TestClient, birch: TestClient) -> Page:
    """Alder's page of a candidate that birch took and decided meanwhile."""
    page = open_page(alder)
    let_leases_end(session)
    send(birch, open_page(birch), "accept", caption="The words of birch.")
    return page


@pytest.mark.parametrize("htmx", [False, True])
def test_a_decision_that_comes_too_late_shows_both_texts_and_keeps_ones_own(
    session: Session, sign_in: SignIn, htmx: bool
) -> None:
    (only,) = candidates(session, 1)
    alder, birch = sign_in("alder"), sign_in("birch")
    page = decided_by_birch(session, alder, birch)
    answer = send(alder, page, "accept", htmx=htmx, caption="The text of alder.")
    assert answer.status_code == 409
    assert ("<html" in answer.text) is not htmx
    read = Html(answer.text)
    assert "Saved by Birch" in read.texts["theirs"]
    assert "The words of birch." in answer.text.replace("<ins>", "").replace("</ins>", "")
    assert "The text of alder." in answer.text.replace("<ins>", "").replace("</ins>", "")
    assert session.scalars(select(Draft.text).where(Draft.candidate_id == only)).one() == "The text of alder."
    assert len(reviews(session)) == 1


@pytest.mark.parametrize("changes", [{"decision": "reject"}, {"decision": "accept", "caption": ""}])
def test_too_late_is_told_before_what_a_decision_lacks(
    session: Session, sign_in: SignIn, changes: dict[str, Any]
) -> None:
    candidates(session, 1)
    alder, birch = sign_in("alder"), sign_in("birch")
    page = decided_by_birch(session, alder, birch)
    assert send(alder, page, **changes).status_code == 409


def test_a_caption_that_changed_meanwhile_is_decided_again_on_the_new_one(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    page = open_page(alder)
    candidate = session.get_one(Candidate, only)
    cleaned = actions.add_caption(session, only, CaptionKind.CLEANED, "Cleaned words.", "rules")
    actions.offer_caption(session, candidate, cleaned)
    answer = send(alder, page, "accept", caption="My words.")
    assert answer.status_code == 409
    assert "On offer now" in answer.text
    page = open_page(alder, f"?candidate={only}&edit=true")
    assert (page.candidate, page.caption, page.is_editing) == (only, "My words.", True)
    assert send(alder, page, "accept").status_code == 303


def test_a_lease_that_ended_still_counts_while_nobody_took_the_candidate(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    page = open_page(alder)
    let_leases_end(session)
    assert send(alder, page, "accept").status_code == 303
    assert state(session, only) is S.ACCEPTED


# --- drafts and leases ----------------------------------------------------------------------------


def test_a_draft_is_saved_shown_again_and_gone_once_decided(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder = sign_in("alder")
    sent = open_page(alder).form() | {"caption": "Half a sen\x00", "organ": "skin", "diagnosis": "Naevus"}
    answer = alder.post(f"/review/{only}/draft", data=sent)
    assert answer.status_code == 200
    assert 590 <= answer.json()["seconds"] <= 600
    page = open_page(alder)
    assert (page.caption, page.is_editing) == ("Half a sen\N{REPLACEMENT CHARACTER}", True)
    assert (page.form()["organ"], page.form()["diagnosis"]) == ("skin", "Naevus")
    assert page.texts["draft-state"].startswith("Draft saved")
    assert f"with a draft on C-{only}" in alder.get("/").text
    send(alder, page, "accept")
    assert session.scalars(select(Draft)).all() == []


def test_a_draft_is_its_writers_alone(session: Session, sign_in: SignIn) -> None:
    (only,) = candidates(session, 1)
    alder, birch = sign_in("alder"), sign_in("birch")
    alder.post(f"/review/{only}/draft", data=open_page(alder).form() | {"caption": "Words of alder."})
    let_leases_end(session)
    assert open_page(birch).caption == "Caption number 0."


def test_renewing_keeps_what_is_ones_own(session: Session, sign_in: SignIn) -> None:
    first, *_ = candidates(session, 2)
    alder, birch = sign_in("alder"), sign_in("birch")
    open_page(alder)
    session.execute(update(Assignment).values(lease_until=func.clock_timestamp() + timedelta(seconds=5)))
    assert alder.post(f"/review/{first}/renew").json()["seconds"] == 600
    assert birch.post(f"/review/{first}/renew").json() == {"seconds": 0, "until": ""}
    soon = func.clock_timestamp() + timedelta(seconds=500)
    assert session.scalar(select(func.count()).where(Assignment.lease_until > soon)) == 2


def test_leaving_the_page_gives_its_candidates_to_others(session: Session, sign_in: SignIn) -> None:
    ids = candidates(session, 2)
    alder, birch = sign_in("alder"), sign_in("birch")
    until = open_page(alder).named("review")["data-known-until"]
    assert "data-candidate" not in Page(birch.get("/review").text).named("review")
    assert alder.post("/review/release", data={"until": until}).status_code == 204
    assert open_page(birch).candidate == ids[0]


def test_leaving_gives_back_nothing_of_a_page_loaded_since_or_of_others(session: Session, sign_in: SignIn) -> None:
    candidates(session, 2)
    alder, birch = sign_in("alder"), sign_in("birch")
    until = open_page(alder).named("review")["data-known-until"]
    open_page(alder)
    alder.post("/review/release", data={"until": until})
    birch.post("/review/release", data={"until": FAR.isoformat()})
    assert len(holders(session)) == 2
    assert alder.post("/review/release", data={"until": "soon"}).status_code == 422
