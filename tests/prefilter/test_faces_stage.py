"""The stages of faces and writing: what a finding of a face says, and what a worker does with what both find."""

from pathlib import Path

import pytest
from PIL import Image as Picture
from skimage import data as samples
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import jobs
from app.db import transaction
from app.prefilter import due
from app.prefilter.policies import StageInput, StageResult, Verdict, verdict
from app.prefilter.stages import BY_NAME
from app.storage import blobs
from app.tables import Candidate, CandidateState, Event, EvidenceText, Image, Outcome
from bench import drawn
from tests.factories import make_candidate
from workers.prefilter import run_stage
from workers.stages import faces as stage


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.conftest import forget_settings

    monkeypatch.setenv("IPATH_BLOBS", str(tmp_path))
    forget_settings()


def looked_at(*pictures: Picture.Image) -> list[StageResult]:
    batch = [StageInput(n, n, blobs().put(drawn.jpeg(one)), None, "") for n, one in enumerate(pictures, start=1)]
    return stage.run(batch, {}, None)  # type: ignore[arg-type]  # the job is not asked


@pytest.mark.usefixtures("store")
def test_a_finding_has_a_box_a_face_in_fractions_and_never_a_score() -> None:
    tissue, person = (Picture.fromarray(getattr(samples, name)()) for name in ("immunohistochemistry", "astronaut"))
    nobody, somebody = looked_at(tissue, person)
    assert (nobody.outcome, nobody.score, nobody.label) == (Outcome.OK, None, "no faces")
    assert nobody.evidence == {"boxes": [], "kinds": {}}
    (box,) = somebody.evidence["boxes"]
    assert (box["kind"], somebody.evidence["kinds"], somebody.label) == ("face", {"face": 1}, "faces")
    assert 0 < box["x"] < box["x"] + box["width"] < 1
    assert box["score"] > 0.9


@pytest.mark.usefixtures("store")
def test_a_face_holds_a_candidate_or_not_as_the_setting_says() -> None:
    (result,) = looked_at(Picture.fromarray(samples.astronaut()))
    said = {action: verdict(result, None, {"actions": {"face": action}}) for action in ("pass", "warn", "hold")}
    assert said == {"pass": Verdict.PASS, "warn": Verdict.PASS, "hold": Verdict.HOLD}


def test_the_setting_changes_nothing_of_what_is_found() -> None:
    item = StageInput(1, 1, "a" * 64, None, "")
    assert stage.looked_at(item, {"actions": {"face": "hold"}}) == stage.looked_at(item, {})


# --- as a worker runs them ----------------------------------------------------------------------


@pytest.mark.usefixtures("own_database")
def test_a_worker_holds_a_face_and_a_record_number_and_keeps_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)
    tissue = Picture.fromarray(samples.immunohistochemistry()).resize((800, 800))
    labelled = tissue.copy()
    drawn.ImageDraw.Draw(labelled).text((60, 700), "MRN 1234567", "black", drawn.font(30))
    with transaction() as session:
        person = arrive(session, Picture.fromarray(samples.astronaut()), "faces")
        plain, number = (arrive(session, picture, "writing") for picture in (tissue, labelled))
    for name in ("faces", "writing"):
        work(name)
    with transaction() as session:
        states = {id_: (state, by) for id_, state, by in session.execute(STANDING)}
        assert states[person] == (CandidateState.FLAGGED, "faces")
        assert states[plain] == (CandidateState.FILTERING, None)
        assert states[number] == (CandidateState.FLAGGED, "writing")
        assert session.execute(select(EvidenceText.candidate_id, EvidenceText.text)).all() == [(number, "MRN 1234567")]
        ran = session.scalars(select(Event).where(Event.act == "stage.ran", Event.subject_id == "writing")).one()
        assert ran.details == {"count": 2, "dropped": 0, "held": 1}


STANDING = select(Candidate.id, Candidate.state, Candidate.stopped_by)


def arrive(session: Session, picture: Picture.Image, stage_name: str) -> int:
    """A candidate with this picture that waits for the stage."""
    candidate = make_candidate(session, CandidateState.FILTERING)
    values = {"sha256": blobs().put(drawn.jpeg(picture, 92)), "width": picture.width, "height": picture.height}
    session.execute(update(Image).where(Image.id == candidate.image_id).values(**values))
    due.due(session, BY_NAME[stage_name], [candidate.id])
    return candidate.id


def work(stage_name: str) -> None:
    with transaction() as session:
        job_id = due.submit_stage(session, BY_NAME[stage_name]).id
    job = jobs.claim(job_id)
    assert job
    run_stage(job)
