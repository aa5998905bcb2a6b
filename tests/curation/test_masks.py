"""Parts of a picture are offered to be covered, taken with the decision, and covered in the published copy alone."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM, Actor
from app.curation import actions, crops
from app.curation.crops import Crop, masks_in_draft, masks_offered, read_masks
from app.curation.queries import findings
from app.errors import Invalid
from app.prefilter import held, holding
from app.prefilter.policies import StageResult
from app.prefilter.recording import write_findings
from app.storage import blobs
from app.tables import Candidate, CandidateState, Image, ReviewKind
from tests.curation.test_crops import CROP, with_crop
from tests.curation.test_decide import decide
from tests.factories import make_candidate, make_person

S = CandidateState
NAME = {"kind": "name", "x": 0.2, "y": 0.5, "width": 0.4, "height": 0.1, "score": 0.98}  # of 300 × 280
SCALE = {"kind": "writing", "x": 0.7, "y": 0.9, "width": 0.2, "height": 0.05, "score": 0.98}
FACE = {"kind": "face", "x": 0.9, "y": 0.0, "width": 0.1, "height": 0.2, "score": 0.98}
OVER_NAME = Crop(55, 135, 129, 37)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, session: Session) -> None:
    from app import storage

    monkeypatch.setattr(storage.blobs(), "root", str(tmp_path))


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder2")


def find(session: Session, candidate: Candidate, *boxes: dict[str, Any], stage: str = "writing") -> Candidate:
    """The stage's finding on a candidate: these boxes."""
    evidence = {"boxes": list(boxes), "kinds": {box["kind"]: 1 for box in boxes}}
    write_findings(session, stage, "1", [StageResult(candidate.id, evidence=evidence)], {candidate.id: "x"}, None)
    return candidate


def offered(session: Session, candidate: Candidate) -> list[Crop]:
    found, image = findings(session, candidate.id), session.get_one(Image, candidate.image_id)
    return masks_offered(found.get("writing"), found.get("faces"), held.actions(session), image)


def published(session: Session, candidate: Candidate) -> Picture.Image:
    session.refresh(candidate)
    return Picture.open(io.BytesIO(blobs().get((candidate.crop or {})["sha256"])))


def test_what_is_to_be_taken_out_is_offered_with_some_space_around_it(session: Session) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME, SCALE)
    assert offered(session, candidate) == [OVER_NAME]


def test_a_record_number_that_was_held_is_offered_too(session: Session) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME | {"kind": "record_number"})
    assert held.actions(session)["writing"]["record_number"] == "hold"
    assert offered(session, candidate) == [OVER_NAME]


def test_what_is_offered_follows_the_setting_and_stays_within_the_picture(session: Session) -> None:
    candidate = make_candidate(session, with_blob=True)
    find(session, candidate, NAME)
    find(session, candidate, FACE, stage="faces")
    seen = held.version(held.actions(session))
    holding.set_actions(session, SYSTEM, {"writing": {"name": "warn"}, "faces": {"face": "redact"}}, seen)
    (mask,) = offered(session, candidate)
    assert (mask.x + mask.width, mask.y) == (300, 0)


def test_a_line_with_two_kinds_is_covered_once(session: Session) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME, NAME | {"kind": "date"})
    assert offered(session, candidate) == [OVER_NAME]
    assert masks_offered(None, None, held.actions(session), session.get_one(Image, candidate.image_id)) == []


def test_covered_parts_are_black_in_the_published_copy_and_the_original_stays(session: Session, alder: Actor) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME)
    original = session.get_one(Image, candidate.image_id).sha256
    decide(session, alder, candidate, ReviewKind.ACCEPT, masks=[OVER_NAME])
    picture = published(session, candidate)
    assert (picture.size, picture.format) == ((300, 280), "JPEG")
    inside = picture.crop((OVER_NAME.x + 8, OVER_NAME.y + 8, OVER_NAME.x + 120, OVER_NAME.y + 28))
    assert max(high for _, high in inside.convert("RGB").getextrema()) < 12
    assert max(high for _, high in picture.crop((0, 0, 50, 100)).convert("RGB").getextrema()) > 100
    taken = candidate.crop or {}
    assert taken["masks"] == [{"x": 55, "y": 135, "width": 129, "height": 37}]
    assert (taken["x"], taken["y"], taken["width"], taken["height"]) == (0, 0, 300, 280)
    assert session.get_one(Image, candidate.image_id).sha256 == original != taken["sha256"]


def test_a_picture_is_covered_and_cropped_at_once(session: Session, alder: Actor) -> None:
    candidate = find(session, with_crop(session), NAME)
    decide(session, alder, candidate, ReviewKind.ACCEPT, crop=CROP, masks=[OVER_NAME])
    picture = published(session, candidate)
    assert picture.size == (CROP.width, CROP.height)
    inside = picture.crop((OVER_NAME.x + 8, OVER_NAME.y - CROP.y + 8, OVER_NAME.x + 120, OVER_NAME.y - CROP.y + 28))
    assert max(high for _, high in inside.convert("RGB").getextrema()) < 12


def test_what_is_not_ticked_is_not_covered(session: Session, alder: Actor) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME)
    decide(session, alder, candidate, ReviewKind.ACCEPT, masks=[])
    session.refresh(candidate)
    assert (candidate.state, candidate.crop) == (S.ACCEPTED, None)


def test_what_nobody_said_anything_about_is_covered(session: Session, alder: Actor) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME, NAME | {"kind": "date", "x": 0.0})
    decide(session, alder, candidate, ReviewKind.ACCEPT)
    session.refresh(candidate)
    assert candidate.state is S.ACCEPTED
    assert len((candidate.crop or {})["masks"]) == 2


def test_a_part_that_was_found_since_the_page_was_opened_is_not_left_open(session: Session, alder: Actor) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME, NAME | {"kind": "date", "x": 0.0})
    with pytest.raises(Invalid) as refused:
        decide(session, alder, candidate, ReviewKind.ACCEPT, masks=[OVER_NAME])
    assert "masks" in refused.value.fields


def test_an_accept_with_a_crop_alone_does_not_untick_the_covers_after_an_undo(session: Session, alder: Actor) -> None:
    candidate = with_crop(session)
    review = decide(session, alder, candidate, ReviewKind.ACCEPT, crop=CROP)
    assert masks_in_draft(review.fields) is None


@pytest.mark.parametrize("mask", [Crop(0, 0, 300, 280), Crop(55, 135, 129, 36), Crop(0, 0, 99999, 99999)])
def test_only_what_is_offered_can_be_covered(session: Session, alder: Actor, mask: Crop) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME)
    with pytest.raises(Invalid) as refused:
        decide(session, alder, candidate, ReviewKind.ACCEPT, masks=[OVER_NAME, mask])
    assert "masks" in refused.value.fields


def test_undo_gives_it_back_and_remembers_what_was_covered(session: Session, alder: Actor) -> None:
    candidate = find(session, make_candidate(session, with_blob=True), NAME)
    review = decide(session, alder, candidate, ReviewKind.ACCEPT, masks=[OVER_NAME])
    actions.undo(session, alder, review.id)
    session.refresh(candidate)
    assert (candidate.state, candidate.crop) == (S.QUEUED, None)
    assert masks_in_draft(review.fields) == (OVER_NAME,)


def test_masks_as_a_form_carries_them() -> None:
    assert read_masks("") == ()
    assert read_masks("1,2,3,4;5,6,7,8") == (Crop(1, 2, 3, 4), Crop(5, 6, 7, 8))
    assert masks_in_draft({"masks": "1,2,3,4"}) == (Crop(1, 2, 3, 4),)
    assert masks_in_draft({"masks": ""}) == ()
    assert masks_in_draft({}) is None
    for sent in (";", "1,2,3,4;", "1,2,3", "a"):
        with pytest.raises(ValueError, match="four whole numbers"):
            read_masks(sent)


def test_the_order_of_two_parts_does_not_matter(session: Session) -> None:
    image = session.get_one(Image, make_candidate(session, with_blob=True).image_id)
    parts = [Crop(0, 0, 50, 50), Crop(100, 100, 50, 50)]
    both = [crops.take(None, order, crops.OnOffer(None, parts), image)["sha256"] for order in (parts, parts[::-1])]
    assert both[0] == both[1]
