"""A crop is offered, taken with the decision, published, and given back by an undo; the original stays."""

import io
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image as Picture
from sqlalchemy import null, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import actions
from app.curation.crops import Crop, offered, read_crop
from app.curation.queries import findings
from app.errors import Invalid
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.storage import blobs
from app.tables import Candidate, CandidateState, Image, Review, ReviewKind, Setting
from tests.curation.review_page import open_page, send
from tests.curation.test_decide import decide, decision, lease_of
from tests.factories import make_candidate, make_person
from tests.web_client import SignIn

S = CandidateState
BOX = {"x": 0.0, "y": 0.1, "width": 1.0, "height": 0.8, "confidence": 0.97}  # of 300 × 280
CROP = Crop(0, 28, 300, 224)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, session: Session) -> None:
    from app import storage

    monkeypatch.setattr(storage.blobs(), "root", str(tmp_path))


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder2")


def with_crop(session: Session, box: dict[str, Any] | None = None) -> Candidate:
    """A queued candidate with a real picture, on which the panels stage offers a crop."""
    candidate = make_candidate(session, with_blob=True)
    bar = {"kind": "border", "x": 0.0, "y": 0.0, "width": 1.0, "height": 0.1, "confidence": 0.97}
    offer(session, candidate, {"boxes": [bar], "crop": box or BOX})
    return candidate


def offer(session: Session, candidate: Candidate, evidence: dict[str, Any], version: str = "1") -> None:
    result = StageResult(candidate.id, label="border", evidence=evidence)
    write_findings(session, "panels", version, [result], {candidate.id: "x"}, None)


def picture_of(session: Session, candidate: Candidate) -> Picture.Image:
    return Picture.open(io.BytesIO(blobs().get(session.get_one(Image, candidate.image_id).sha256)))


def test_the_crop_on_offer_is_in_pixels_of_the_picture(session: Session) -> None:
    candidate = with_crop(session)
    image = session.get_one(Image, candidate.image_id)
    assert offered(findings(session, candidate.id)["panels"], image) == CROP
    assert offered(None, image) is None


def test_a_taken_crop_is_a_picture_of_its_own_and_the_original_stays(session: Session, alder: Actor) -> None:
    candidate = with_crop(session)
    before = session.get_one(Image, candidate.image_id).sha256
    decide(session, alder, candidate, ReviewKind.ACCEPT, crop=CROP)
    session.refresh(candidate)
    assert candidate.state is S.ACCEPTED
    taken = candidate.crop or {}
    made = blobs().get(taken["sha256"])
    assert (taken["x"], taken["y"], taken["width"], taken["height"], taken["size"]) == (0, 28, 300, 224, len(made))
    with Picture.open(io.BytesIO(made)) as cropped:
        assert (cropped.format, cropped.size, cropped.info.keys() & {"exif", "comment"}) == ("JPEG", (300, 224), set())
        original = picture_of(session, candidate).convert("RGB").crop((0, 28, 300, 252))
        difference = [
            abs(a - b)
            for a, b in zip(cropped.resize((30, 22)).tobytes(), original.resize((30, 22)).tobytes(), strict=True)
        ]
    assert max(difference) < 12
    assert session.get_one(Image, candidate.image_id).sha256 == before


def test_a_crop_that_is_not_taken_changes_nothing(session: Session, alder: Actor) -> None:
    candidate = with_crop(session)
    decide(session, alder, candidate, ReviewKind.ACCEPT)
    session.refresh(candidate)
    assert (candidate.state, candidate.crop) == (S.ACCEPTED, None)


@pytest.mark.parametrize("kind", [ReviewKind.REJECT, ReviewKind.FLAG])
def test_only_an_accepted_pair_takes_its_crop(session: Session, alder: Actor, kind: ReviewKind) -> None:
    candidate = with_crop(session)
    review = decide(session, alder, candidate, kind, crop=CROP)
    session.refresh(candidate)
    assert candidate.crop is None
    assert "crop" not in review.fields


def test_undo_gives_the_crop_back(session: Session, alder: Actor) -> None:
    candidate = with_crop(session)
    review = decide(session, alder, candidate, ReviewKind.ACCEPT, crop=CROP)
    actions.undo(session, alder, review.id)
    session.refresh(candidate)
    assert (candidate.state, candidate.crop) == (S.QUEUED, None)
    assert session.scalar(select(Candidate.crop.is_(null())).where(Candidate.id == candidate.id))


def test_of_two_that_agree_the_crop_is_that_of_the_one_whose_review_settles(session: Session, alder: Actor) -> None:
    session.execute(update(Setting).where(Setting.name == "overlap_share").values(value=1))
    candidate, birch = with_crop(session), make_person(session, "birch2")
    decide(session, alder, candidate, ReviewKind.ACCEPT)
    session.refresh(candidate)
    assert (candidate.state, candidate.crop) == (S.QUEUED, None)
    decide(session, birch, candidate, ReviewKind.ACCEPT, crop=CROP)
    session.refresh(candidate)
    assert (candidate.state, candidate.crop) == (S.ACCEPTED, None)


@pytest.mark.parametrize("wanted", [Crop(0, 0, 300, 280), Crop(0, 28, 300, 225), Crop(0, 0, 99999, 99999)])
def test_only_the_crop_that_was_offered_can_be_taken(session: Session, alder: Actor, wanted: Crop) -> None:
    candidate = with_crop(session)
    with pytest.raises(Invalid, match="has changed"):
        decide(session, alder, candidate, ReviewKind.ACCEPT, crop=wanted)


def test_a_crop_that_the_stage_offers_no_more_is_refused_and_nothing_is_written(session: Session, alder: Actor) -> None:
    candidate = with_crop(session)
    lease = lease_of(session, alder, candidate)
    offer(session, candidate, {"boxes": []}, version="2")
    with pytest.raises(Invalid):
        actions.decide(session, alder, decision(lease, crop=CROP))
    assert not session.scalars(select(Review).where(Review.candidate_id == candidate.id)).all()


@pytest.mark.parametrize("sent", ["", "1,2,3", "a,b,c,d", "-1,0,1,1", "0,0,1,1;drop", "0.5,0,1,1", "0,0,1,1234567"])
def test_what_is_no_crop_is_refused(sent: str) -> None:
    with pytest.raises(ValueError, match="four whole numbers"):
        read_crop(sent)


# --- pages --------------------------------------------------------------------------------------


def not_a_spot_check(session: Session) -> Candidate:
    """Of the candidates that a reviewer sees with their findings, the first; the others are out of the way."""
    from app.curation.policies import is_spot_check

    while True:
        candidate = with_crop(session)
        if not is_spot_check(candidate.id):
            return candidate


def test_the_review_page_shows_the_boxes_and_takes_the_crop(sign_in: SignIn, session: Session) -> None:
    wanted = not_a_spot_check(session)
    alder = sign_in("alder")
    page = open_page(alder, f"?candidate={wanted.id}")
    assert page.candidate == wanted.id
    rects = [found for tag, found in page.elements if tag == "rect" and "box" in found.get("class", "")]
    assert [(r["class"], r["width"], r["height"]) for r in rects] == [("box box-border", "300.0", "28.0")]
    box = next(found for tag, found in page.elements if found.get("name") == "crop")
    assert (box["type"], box["value"], "checked" in box) == ("checkbox", "0,28,300,224", False)
    assert "style" not in {name for _, found in page.elements for name in found}
    assert send(alder, page, "accept").status_code in (200, 303)
    session.expire_all()
    assert (session.get_one(Candidate, wanted.id).crop or {})["height"] == 224
    shown = sign_in("elm").get(f"/candidates/{wanted.id}").text
    assert 'class="outside taken"' in shown
    assert "1 border, a crop is offered" in shown


@pytest.mark.parametrize("sent", ["1,2,3", "0,0,10,10", "<script>"])
def test_a_crop_that_was_never_offered_is_answered_on_the_page(sign_in: SignIn, session: Session, sent: str) -> None:
    wanted = not_a_spot_check(session)
    alder = sign_in("alder")
    page = open_page(alder, f"?candidate={wanted.id}")
    answer = send(alder, page, "accept", crop=sent)
    assert answer.status_code == 422
    session.expire_all()
    assert session.get_one(Candidate, wanted.id).state is S.QUEUED


def test_a_picture_without_a_crop_has_no_box_to_tick(sign_in: SignIn, session: Session) -> None:
    make_candidate(session, with_blob=True)
    page = open_page(sign_in("alder"))
    assert not [found for _, found in page.elements if found.get("name") == "crop"]
    assert not [tag for tag, _ in page.elements if tag == "rect"]


def test_a_ticked_crop_is_kept_in_the_draft_as_long_as_it_is_the_one_on_offer(
    sign_in: SignIn, session: Session
) -> None:
    wanted = not_a_spot_check(session)
    alder, at = sign_in("alder"), f"?candidate={wanted.id}"

    def is_ticked() -> bool:
        session.expire_all()  # as every request has a session of its own
        page = open_page(alder, at)
        return any("checked" in found for _, found in page.elements if found.get("name") == "crop")

    draft = open_page(alder, at).form()
    assert not is_ticked()
    assert alder.post(f"/review/{wanted.id}/draft", data=draft).status_code == 200
    assert is_ticked()
    assert not open_page(alder, at).is_editing
    offer(session, wanted, {"boxes": [], "crop": BOX | {"height": 0.7}}, version="2")
    assert not is_ticked()
    offer(session, wanted, {"boxes": [], "crop": BOX}, version="3")
    assert alder.post(f"/review/{wanted.id}/draft", data=draft | {"crop": ""}).status_code == 200
    assert not is_ticked()
    assert alder.post(f"/review/{wanted.id}/draft", data=draft | {"crop": "1,2"}).status_code == 422


def test_an_admin_who_resolves_a_flag_can_take_the_crop(sign_in: SignIn, session: Session, alder: Actor) -> None:
    candidate, elm = with_crop(session), sign_in("elm")
    decide(session, alder, candidate, ReviewKind.FLAG)
    session.refresh(candidate)
    assert 'name="crop" value="0,28,300,224"' in elm.get(f"/candidates/{candidate.id}").text
    sent = {"submission_id": str(uuid4()), "caption_version": candidate.caption_version, "caption": "As resolved."}
    at = f"/candidates/{candidate.id}/resolve"
    refused = elm.post(at, data=sent | {"decision": "accept", "crop": "0,0,10,10"})
    assert refused.status_code == 422
    assert "The crop on offer has changed" in refused.text
    assert elm.post(at, data=sent | {"decision": "accept", "crop": str(CROP)}).status_code == 303
    session.refresh(candidate)
    assert candidate.state is S.ACCEPTED
    assert (candidate.crop or {})["height"] == 224
