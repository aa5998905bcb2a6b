"""The limits of size and shape: previewed, saved, refused with a reason, and looked at again by the stage."""

import io

import pytest
from PIL import Image as Picture
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.errors import Conflict
from app.prefilter import limits, queries
from app.prefilter.limits import Limits
from app.prefilter.policies import StageInput, StageResult
from app.prefilter.presets import WAON, presets_of
from app.prefilter.recording import write_findings
from app.storage import blobs
from app.tables import Candidate, CandidateState, Event, Image, Job, Stage
from tests.factories import make_candidate
from tests.web_client import SignIn
from workers.stages import quality

S = CandidateState
IN_FORCE = Limits(224)


def sized(session: Session, width: int, height: int, label: str = "", state: S = S.QUEUED) -> Candidate:
    """A candidate with a picture of this size that the stage has looked at."""
    candidate = make_candidate(session, state)
    values = {"width": width, "height": height}
    session.execute(update(Image).where(Image.id == candidate.image_id).values(**values))
    result = StageResult(candidate.id, score=0.0 if label else 0.9, label=label or "sharp")
    write_findings(session, "quality", "1", [result], {candidate.id: "x"}, None)
    return candidate


def jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Picture.effect_noise((width, height), 80).save(buffer, "JPEG")
    return buffer.getvalue()


SIZES = [(150, 150), (149, 400), (400, 149), (150, 300), (150, 301), (301, 150), (1, 1), (300, 280), (3000, 1000)]
SOME = [Limits(), Limits(150), Limits(150, 2.0), Limits(0, 1.0), Limits(224, 3.5)]


@pytest.mark.parametrize("wanted", SOME, ids=str)
def test_the_database_and_the_stage_hold_the_same_pictures_to_be_within_the_limits(
    session: Session, wanted: Limits
) -> None:
    made = {sized(session, *size).image_id: size for size in SIZES}
    broken = set(session.scalars(select(Image.id).where(Image.id.in_(made), wanted.broken())))
    assert broken == {id_ for id_, size in made.items() if wanted.broken_by(*size)}


@pytest.mark.parametrize(
    ("size", "setting", "label"),
    [
        ((150, 160), {"shorter_side": 150, "aspect": 2.0}, "sharp"),
        ((149, 160), {"shorter_side": 150, "aspect": 2.0}, "too small"),
        ((160, 321), {"shorter_side": 150, "aspect": 2.0}, "too narrow"),
        ((321, 160), {"shorter_side": 150, "aspect": 2.0}, "too narrow"),
        ((160, 321), {"shorter_side": 150, "aspect": None}, "sharp"),
        ((160, 321), {"shorter_side": 150}, "sharp"),
    ],
)
def test_the_stage_keeps_to_the_limits(size: tuple[int, int], setting: dict[str, object], label: str) -> None:
    item = StageInput(1, 1, blobs().put(jpeg(*size)), None, "")
    (result,) = quality.run([item], setting, None)  # type: ignore[arg-type]  # the job is not asked
    assert result.label == label
    assert (result.score == 0) == (label != "sharp")


def test_other_limits_are_another_input_and_the_same_ones_are_not() -> None:
    item = StageInput(1, 1, "a" * 64, None, "")

    def looked_at(**setting: object) -> str:
        return queries.input_hash(*quality.looked_at(item, setting))

    assert looked_at(shorter_side=150, aspect=2.0) != looked_at(shorter_side=150, aspect=3.0)
    assert looked_at(shorter_side=150) != looked_at(shorter_side=224)
    assert looked_at(shorter_side=150) == looked_at(shorter_side=150, aspect=None)


# --- the page -----------------------------------------------------------------------------------


def test_a_preview_counts_those_that_change_sides_and_changes_nothing(session: Session, sign_in: SignIn) -> None:
    sized(session, 300, 280)
    sized(session, 900, 300)
    sized(session, 160, 160, "too small", S.FILTERED_OUT)
    sized(session, 120, 120, "too small", S.FILTERED_OUT)
    sized(session, 900, 300, state=S.WITHDRAWN)
    page = sign_in("elm").get("/prefilter/quality?shorter_side=150&aspect=2").text
    assert "1 that goes on now would be dropped; 1 dropped one would be within the limits" in page
    session.expire_all()
    assert session.get_one(Stage, "quality").setting == {"shorter_side": 224}


def test_saving_changes_the_setting_runs_the_stage_again_and_is_an_event(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    sent = {"shorter_side": "150", "aspect": "2", "seen_shorter_side": "224", "seen_aspect": ""}
    assert (
        "looks at the undecided again" in elm.post("/prefilter/quality/limits", data=sent, follow_redirects=True).text
    )
    session.expire_all()
    assert session.get_one(Stage, "quality").setting == {"shorter_side": 150, "aspect": 2.0}
    event = session.scalars(select(Event).where(Event.act == "stage.limits_changed")).one()
    assert event.details == {"changed": {"shorter_side": [224, 150], "aspect": [None, 2.0]}}
    job = session.scalars(select(Job).where(Job.kind == "rerun")).one()
    assert job.arguments == {"stage": "quality", "candidates": None}
    assert "in use: 150 px, 1:2" in elm.get("/prefilter/quality").text


def test_saving_what_is_in_force_starts_nothing(session: Session) -> None:
    assert limits.set_limits(session, SYSTEM, IN_FORCE, IN_FORCE) is None
    assert session.scalars(select(Job).where(Job.kind == "rerun")).all() == []


def test_limits_that_someone_else_changed_meanwhile_are_not_overwritten(session: Session) -> None:
    limits.set_limits(session, SYSTEM, Limits(100), IN_FORCE)
    with pytest.raises(Conflict):
        limits.set_limits(session, SYSTEM, Limits(150, 2.0), IN_FORCE)
    assert limits.limits_of(session.get_one(Stage, "quality").setting) == Limits(100)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"shorter_side": "-1"}, "Type whole pixels from 0 to 10000, such as 150."),
        ({"shorter_side": ""}, "Type whole pixels"),
        ({"shorter_side": "1.5"}, "Type whole pixels"),
        ({"shorter_side": "²"}, "Type whole pixels"),
        ({"shorter_side": "9" * 5000}, "Type whole pixels"),
        ({"shorter_side": "150", "aspect": "0.5"}, "Type a number from 1 to 100, such as 2, or nothing."),
        ({"shorter_side": "150", "aspect": "nan"}, "Type a number from 1 to 100"),
        ({"shorter_side": "150", "aspect": "wide"}, "Type a number from 1 to 100"),
    ],
)
def test_limits_that_are_none_are_refused_beside_their_field_and_stay_typed(
    session: Session, sign_in: SignIn, sent: dict[str, str], said: str
) -> None:
    elm = sign_in("elm")
    answers = elm.get("/prefilter/quality", params=sent), elm.post("/prefilter/quality/limits", data=sent)
    for answer in answers:
        assert answer.status_code == 422
        assert f'error">{said}' in answer.text
        assert all(f'value="{value}"' in answer.text for value in sent.values())
    session.expire_all()
    assert session.get_one(Stage, "quality").setting == {"shorter_side": 224}


def test_waons_limits_are_a_preset_that_fills_the_form_in(sign_in: SignIn) -> None:
    (preset,) = presets_of("quality")
    assert (preset.source, preset.limits) == (WAON, Limits(150, 2.0))
    elm = sign_in("elm")
    assert f'href="/prefilter/quality?{preset.query}#siz"'.replace("&", "&amp;") in elm.get("/prefilter/quality").text
    page = elm.get(f"/prefilter/quality?{preset.query}").text
    assert 'name="shorter_side" type="text" value="150"' in page
    assert 'name="aspect" type="text" value="2"' in page
