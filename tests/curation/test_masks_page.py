"""Parts of the picture that may identify a patient are covered in what is published, unless the reviewer says no."""

import io
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image as Picture
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import moves
from app.prefilter import holding
from app.storage import blobs
from app.tables import Candidate, CandidateState, ReviewKind, Role, Stage
from tests.candidates.deciding import decide
from tests.curation.proposing import find, shown_candidate
from tests.curation.review_page import Page, open_page, send
from tests.factories import make_person
from tests.prefilter.holding import make_held
from tests.web_client import SignIn

S = CandidateState
BOX = {"kind": "record_number", "x": 0.1, "y": 0.1, "width": 0.4, "height": 0.1}  # of 300 × 280


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, session: Session) -> None:
    from app import storage

    monkeypatch.setattr(storage.blobs(), "root", str(tmp_path))


@pytest.fixture
def named(session: Session) -> Candidate:
    """A candidate in whose picture a record number was read, which is to be taken out."""
    stage = session.get_one(Stage, "writing")
    stage.setting = {**stage.setting, "actions": {"record_number": "redact"}}
    candidate = shown_candidate(session, with_blob=True)
    find(session, candidate, "writing", boxes=[BOX], kinds={"record_number": 1})
    return candidate


def box_of(page: Page) -> dict[str, str]:
    (found,) = (f for _, f in page.elements if f.get("name") == "masks" and f.get("type") == "checkbox")
    return found


def centre_of(candidate: Candidate) -> object:
    """The colour in the middle of what was read, in the published picture."""
    with Picture.open(io.BytesIO(blobs().get((candidate.crop or {})["sha256"]))) as published:
        assert published.size == (300, 280)
        return published.convert("RGB").getpixel((90, 42))


def test_the_parts_are_drawn_and_covered_by_default(session: Session, named: Candidate, sign_in: SignIn) -> None:
    alder = sign_in("alder")
    page = open_page(alder)
    assert "checked" in box_of(page)
    assert [tag for tag, found in page.elements if found.get("class") == "mask"] == ["rect"]
    assert send(alder, page, "accept").status_code == 303
    session.refresh(named)
    assert named.state is S.ACCEPTED
    assert centre_of(named) == (0, 0, 0)


def test_a_released_record_number_is_offered_covered_ticked(session: Session, sign_in: SignIn) -> None:
    candidate = make_held(session, {"boxes": [BOX], "kinds": {"record_number": 1}}, "writing", with_blob=True)
    holding.release(session, make_person(session, "elm2", Role.ADMIN), [candidate.id])
    moves.enqueue(session, [candidate.id])
    alder = sign_in("alder")
    page = open_page(alder)
    assert "checked" in box_of(page)
    assert send(alder, page, "accept").status_code == 303
    session.refresh(candidate)
    assert centre_of(candidate) == (0, 0, 0)


def test_a_reviewer_may_publish_them_uncovered_and_a_draft_remembers(
    session: Session, named: Candidate, sign_in: SignIn
) -> None:
    alder = sign_in("alder")
    page = open_page(alder)
    assert alder.post(f"/review/{named.id}/draft", data=page.form() | {"masks": ""}).status_code == 200
    session.expire_all()
    again = open_page(alder)
    assert "checked" not in box_of(again)
    assert alder.post(f"/review/{named.id}/draft", data=page.form()).status_code == 200
    session.expire_all()
    assert "checked" in box_of(open_page(alder))
    assert send(alder, again, "accept", masks="").status_code == 303
    session.refresh(named)
    assert (named.state, named.crop) == (S.ACCEPTED, None)


def test_a_page_from_before_the_parts_were_found_publishes_them_covered(
    session: Session, named: Candidate, sign_in: SignIn
) -> None:
    alder = sign_in("alder")
    page = open_page(alder)
    sent = {name: value for name, value in page.form().items() if name != "masks"}
    assert alder.post(f"/review/{named.id}/draft", data=sent).status_code == 200
    session.expire_all()
    assert "checked" in box_of(open_page(alder)), "its draft says nothing of them"
    assert alder.post(f"/review/{named.id}/decide", data=sent | {"decision": "accept"}).status_code == 303
    session.refresh(named)
    assert centre_of(named) == (0, 0, 0)


def test_an_admin_may_resolve_a_flag_without_covers(session: Session, named: Candidate, sign_in: SignIn) -> None:
    decide(session, make_person(session, "alder2"), named, ReviewKind.FLAG)
    elm, at = sign_in("elm"), f"/candidates/{named.id}"
    sent = {"submission_id": str(uuid4()), "caption_version": named.caption_version, "caption": "As resolved."}
    hidden = [f for _, f in Page(elm.get(at).text).elements if f.get("name") == "masks" and f.get("type") == "hidden"]
    assert [found["value"] for found in hidden] == [""], "an unticked box must say so"
    assert elm.post(f"{at}/resolve", data=sent | {"decision": "accept", "masks": ""}).status_code == 303
    session.refresh(named)
    assert (named.state, named.crop) == (S.ACCEPTED, None)


@pytest.mark.parametrize("sent", ["1,2,3", "0,0,10,10", "0,0,10,10;", "x"])
def test_parts_that_were_never_offered_are_refused(
    session: Session, named: Candidate, sign_in: SignIn, sent: str
) -> None:
    alder = sign_in("alder")
    assert send(alder, open_page(alder), "accept", masks=sent).status_code == 422
    session.refresh(named)
    assert named.state is S.QUEUED


def test_spot_checks_are_covered_too(named: Candidate, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.curation.pages.is_spot_check", lambda _id: True)
    assert "checked" in box_of(open_page(sign_in("alder")))


def test_an_admin_who_resolves_a_flag_covers_them_too(session: Session, named: Candidate, sign_in: SignIn) -> None:
    alder: Actor = make_person(session, "alder2")
    decide(session, alder, named, ReviewKind.FLAG)
    session.refresh(named)
    elm, at = sign_in("elm"), f"/candidates/{named.id}"
    masks = box_of(Page(elm.get(at).text))["value"]
    sent = {"submission_id": str(uuid4()), "caption_version": named.caption_version, "caption": "As resolved."}
    assert elm.post(f"{at}/resolve", data=sent | {"decision": "accept", "masks": masks}).status_code == 303
    session.refresh(named)
    assert centre_of(named) == (0, 0, 0)
