"""Candidates on their way through the stages: real pictures, a real database, the worker's own functions."""

import dataclasses
import io

import pytest
from PIL import Image as Picture
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import SYSTEM
from app.curation import leases
from app.db import transaction
from app.prefilter import actions, due, evidence, queries, recording, stages
from app.storage import blobs
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Caption,
    DuplicateMember,
    Embedding,
    Finding,
    FindingNow,
    Image,
    Job,
    JobState,
    Outcome,
    Stage,
    StageTodo,
    Tally,
    WaitReason,
    Weights,
)
from tests.factories import FAR, make_candidate, make_person, make_picture
from workers import main as worker

S = CandidateState
pytestmark = pytest.mark.usefixtures("own_database", "tiny_clip", "quiet")


@pytest.fixture
def tiny_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPATH_CLIP_MODEL", "tests/tiny_clip.json")
    monkeypatch.setenv("IPATH_CLIP_PRETRAINED", "")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker: the test runs the jobs itself."""
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)


def arrive(session: Session, picture: bytes, caption: str = "Basal cell carcinoma, H&E, 10x #dermpath") -> int:
    """A candidate with this picture, as an import leaves it: filtering, waiting for the first stage."""
    candidate = make_candidate(session, S.FILTERING, caption)
    with Picture.open(io.BytesIO(picture)) as opened:
        width, height = opened.size
    sha256 = blobs().put(picture)
    known = session.scalar(select(Image.id).where(Image.sha256 == sha256))
    if known:
        candidate.image_id = known
    else:
        values = {"sha256": sha256, "source_sha256": sha256, "width": width, "height": height}
        session.execute(update(Image).where(Image.id == candidate.image_id).values(**values))
    session.flush()
    due.begin(session, [candidate.id])
    return candidate.id


def work() -> None:
    """Runs open jobs, oldest first, until none is left but those that wait for something."""
    free = Job.not_before <= func.clock_timestamp()
    while True:
        with transaction() as session:
            waiting = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED, free).order_by(Job.id)).all()
        if not waiting:
            return
        for job_id in waiting:
            worker.run_job(job_id)


def states() -> dict[int, tuple[S, str | None]]:
    with transaction() as session:
        rows = session.execute(select(Candidate.id, Candidate.state, Candidate.stopped_by))
        return {id_: (state, stopped_by) for id_, state, stopped_by in rows}


def recompressed(picture: bytes) -> bytes:
    buffer = io.BytesIO()
    with Picture.open(io.BytesIO(picture)) as opened:
        opened.resize((opened.width * 3 // 4, opened.height * 3 // 4)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def large_picture(seed: int) -> bytes:
    return make_picture(seed, 600, 560)


def test_every_stage_has_a_module_and_every_module_a_stage_and_a_row() -> None:
    from pathlib import Path

    import workers.stages

    modules = {path.stem for path in Path(workers.stages.__path__[0]).glob("*.py")} - {"__init__"}
    with transaction() as session:
        rows = set(session.scalars(select(Stage.name)))
    assert modules == set(stages.NAMES) == rows


def test_a_good_candidate_goes_through_all_stages_into_the_queue() -> None:
    with transaction() as session:
        id_ = arrive(session, make_picture(1))
    work()
    assert states()[id_] == (S.QUEUED, None)
    with transaction() as session:
        found = {row.stage: row for row in session.scalars(select(FindingNow).where(FindingNow.candidate_id == id_))}
        assert set(found) == set(stages.NAMES)
        assert found["domain"].outcome is Outcome.NOT_RUN
        encoder = queries.encoder_in_use(session)
        assert encoder
        assert session.scalar(select(func.count()).where(Embedding.encoder_id == encoder.id)) == 1
        assert encoder.weights is Weights.RANDOM
        assert session.scalar(select(func.count()).where(Assignment.candidate_id == id_)) == 1
        assert not session.scalar(select(func.count()).select_from(StageTodo))


def test_the_cleaned_caption_is_on_offer_and_the_original_stays() -> None:
    with transaction() as session:
        id_ = arrive(session, make_picture(1), "Basal cell carcinoma of the eyelid, H&E, 10x 🔬 #dermpath #bcc")
    work()
    with transaction() as session:
        versions = session.scalars(select(Caption).where(Caption.candidate_id == id_).order_by(Caption.version)).all()
        assert [caption.kind.value for caption in versions] == ["raw", "cleaned"]
        assert session.get_one(Candidate, id_).caption_id == versions[1].id
        assert "#" not in (versions[1].text or "")
        evidence = session.scalars(select(Finding.evidence).where(Finding.stage == "caption")).one()
        assert evidence["fields"] == {"stain": "he", "magnification": "10"}


@pytest.mark.parametrize(
    ("picture", "caption", "stage"),
    [
        (lambda: make_picture(1, 200, 200), "Basal cell carcinoma of the eyelid, H&E.", "quality"),
        (lambda: blank(), "Basal cell carcinoma of the eyelid, H&E.", "quality"),
        (lambda: make_picture(1), "🔬🔬 #dermpath #pathology", "caption"),
    ],
)
def test_a_poor_candidate_is_stopped_by_the_stage_that_sees_it(picture, caption: str, stage: str) -> None:  # type: ignore[no-untyped-def]
    with transaction() as session:
        id_ = arrive(session, picture(), caption)
    work()
    assert states()[id_] == (S.FILTERED_OUT, stage)


def blank() -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", (400, 400), (250, 250, 250)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_lost_picture_is_an_error_of_its_own_candidate_only() -> None:
    with transaction() as session:
        lost, good = arrive(session, make_picture(1)), arrive(session, make_picture(2))
        sha256 = session.scalars(select(Image.sha256).join(Candidate).where(Candidate.id == lost)).one()
    from pathlib import Path

    Path(blobs().path(sha256)).unlink()
    work()
    assert states()[good] == (S.QUEUED, None)
    with transaction() as session:
        outcomes = dict(
            session.execute(select(Finding.candidate_id, Finding.outcome).where(Finding.stage == "quality")).all()
        )
    assert outcomes == {lost: Outcome.ERROR, good: Outcome.OK}


def test_nothing_is_computed_twice() -> None:
    with transaction() as session:
        id_ = arrive(session, make_picture(1))
    work()
    with transaction() as session:
        before = session.scalar(select(func.count()).where(Finding.outcome == Outcome.OK))
        assert before == len(stages.NAMES) - 3  # random weights tell neither histology nor alignment; no model is asked
        actions.run_again(session, SYSTEM, None, None)
    work()
    assert states()[id_] == (S.QUEUED, None)
    with transaction() as session:
        computed = Finding.outcome == Outcome.OK
        assert session.scalar(select(func.count()).where(computed)) == before


# --- sameness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first_large", [True, False])
def test_of_copies_with_the_same_caption_the_best_is_kept_whatever_the_order(first_large: bool) -> None:
    large = large_picture(5)
    small = recompressed(large)
    with transaction() as session:
        ids = [arrive(session, picture) for picture in ((large, small) if first_large else (small, large))]
    work()
    kept, dropped = ids if first_large else reversed(ids)
    assert states() == {kept: (S.QUEUED, None), dropped: (S.FILTERED_OUT, "sameness")}


def test_a_better_copy_that_comes_later_takes_the_place_of_one_nobody_looked_at() -> None:
    large = large_picture(5)
    with transaction() as session:
        early = arrive(session, recompressed(large))
    work()
    assert states()[early] == (S.QUEUED, None)
    with transaction() as session:
        late = arrive(session, large)
    work()
    assert states() == {late: (S.QUEUED, None), early: (S.FILTERED_OUT, "sameness")}


def test_a_copy_that_someone_holds_is_not_taken_away_and_goes_when_they_are_done() -> None:
    large = large_picture(5)
    with transaction() as session:
        early = arrive(session, recompressed(large))
    work()
    with transaction() as session:
        alder = make_person(session, "alder")
        leases.hold(session, alder)
        late = arrive(session, large)
    work()
    assert states() == {early: (S.QUEUED, None), late: (S.QUEUED, None)}
    with transaction() as session:
        leases.release(session, alder, FAR)
        session.execute(update(Job).values(not_before=func.to_timestamp(0)))
    work()
    assert states() == {early: (S.FILTERED_OUT, "sameness"), late: (S.QUEUED, None)}


def test_copies_with_different_captions_all_go_on_in_one_group() -> None:
    picture = large_picture(5)
    with transaction() as session:
        ids = [
            arrive(session, picture, "Basal cell carcinoma of the eyelid, nodular."),
            arrive(session, recompressed(picture), "Peripheral palisading and clefts at low power."),
            arrive(session, large_picture(99), "Something else entirely, a naevus."),
        ]
    work()
    assert all(states()[id_] == (S.QUEUED, None) for id_ in ids)
    with transaction() as session:
        groups = dict(session.execute(select(DuplicateMember.candidate_id, DuplicateMember.group_id)).all())
    assert groups.keys() == set(ids[:2])
    assert len(set(groups.values())) == 1


@pytest.mark.parametrize("turn", [Picture.Transpose.FLIP_LEFT_RIGHT, Picture.Transpose.ROTATE_180])
def test_a_mirrored_or_turned_picture_is_a_copy(turn: Picture.Transpose) -> None:
    large = large_picture(5)
    buffer = io.BytesIO()
    with Picture.open(io.BytesIO(recompressed(large))) as opened:
        opened.transpose(turn).save(buffer, "JPEG", quality=70)
    with transaction() as session:
        ids = [arrive(session, large), arrive(session, buffer.getvalue())]
    work()
    assert [states()[id_] for id_ in ids] == [(S.QUEUED, None), (S.FILTERED_OUT, "sameness")]


# --- thresholds ---------------------------------------------------------------------------------


def scored(session: Session, scores: list[float]) -> list[int]:
    """Queued candidates with these scores of the caption stage."""
    ids = []
    for score in scores:
        candidate = make_candidate(session)
        finding = Finding(
            candidate_id=candidate.id,
            stage="caption",
            stage_version="1",
            input_hash="x",
            outcome=Outcome.OK,
            score=score,
        )
        session.add(finding)
        session.flush()
        session.add(
            FindingNow(
                candidate_id=candidate.id, stage="caption", finding_id=finding.id, outcome=Outcome.OK, score=score
            )
        )
        ids.append(candidate.id)
    session.flush()
    return ids


def test_the_preview_says_what_applying_then_does() -> None:
    with transaction() as session:
        ids = scored(session, [0.3, 0.4, 0.6, 0.9])
        preview = evidence.preview(session, "caption", 0.5)
        assert (preview.scored, preview.through, preview.dropped, preview.newly_dropped) == (4, 2, 2, 2)
        assert sum(preview.histogram) == 4
        actions.set_threshold(session, SYSTEM, "caption", 0.5, 0.15)
    work()
    assert [states()[id_][0] for id_ in ids] == [S.FILTERED_OUT, S.FILTERED_OUT, S.QUEUED, S.QUEUED]
    with transaction() as session:
        session.execute(delete(Tally))
        assert evidence.preview(session, "caption", 0.35).back == 1
        actions.set_threshold(session, SYSTEM, "caption", 0.35, 0.5)
    work()
    assert [states()[id_][0] for id_ in ids] == [S.FILTERED_OUT, S.QUEUED, S.QUEUED, S.QUEUED]


def test_a_threshold_moved_again_while_its_job_runs_holds_for_what_the_job_has_passed() -> None:
    with transaction() as session:
        ids = scored(session, [0.5, 0.5])
        first = actions.set_threshold(session, SYSTEM, "caption", 0.9, 0.15).id
    running = jobs.claim(first)
    assert running
    with running.step() as session:
        actions.apply_threshold(session, "caption", 0)
    with transaction() as session:
        actions.set_threshold(session, SYSTEM, "caption", 0.1, 0.9)
    work()
    assert [states()[id_][0] for id_ in ids] == [S.QUEUED, S.QUEUED]


def test_raising_a_threshold_leaves_what_someone_holds_until_they_are_done() -> None:
    with transaction() as session:
        (held,) = scored(session, [0.3])
        alder = make_person(session, "alder")
        leases.hold(session, alder)
        job_id = actions.set_threshold(session, SYSTEM, "caption", 0.5, None).id
    worker.run_job(job_id)
    assert states()[held] == (S.QUEUED, None)
    with transaction() as session:
        job = session.get_one(Job, job_id)
        assert (job.state, job.message) == (JobState.QUEUED, "1 is being reviewed and goes when that ends.")
        leases.release(session, alder, FAR)
        session.execute(update(Job).values(not_before=func.to_timestamp(0)))
    worker.run_job(job_id)
    assert states()[held] == (S.FILTERED_OUT, "caption")


def test_a_threshold_that_someone_else_moved_is_not_overwritten() -> None:
    from app.errors import Conflict

    with transaction() as session:
        actions.set_threshold(session, SYSTEM, "caption", 0.5, 0.15)
        with pytest.raises(Conflict, match="meanwhile"):
            actions.set_threshold(session, SYSTEM, "caption", 0.6, 0.15)


# --- a killed worker ----------------------------------------------------------------------------


def test_a_batch_that_a_dead_worker_took_is_found_again() -> None:
    with transaction() as session:
        id_ = arrive(session, make_picture(1))
        assert due.take(session, stages.STAGES[0]).candidate_ids == [id_]
    work()
    assert states()[id_] == (S.FILTERING, None)
    with transaction() as session:
        session.execute(update(StageTodo).values(until=func.to_timestamp(0)))
        due.wake_due(session)
    work()
    assert states()[id_] == (S.QUEUED, None)


def test_a_worker_that_comes_too_late_writes_nothing() -> None:
    from app.prefilter.policies import StageResult

    with transaction() as session:
        id_ = arrive(session, make_picture(1))
        batch = due.take(session, stages.STAGES[0])
        session.execute(update(StageTodo).values(until=func.to_timestamp(0)))
        due.take(session, stages.STAGES[0])
        recording.write_results(session, stages.STAGES[0], batch, [StageResult(id_, score=1.0)], {id_: "x"}, None)
        assert not session.scalar(select(func.count()).select_from(Finding))


# --- a stage that changes while it works ---------------------------------------------------------


def test_what_was_looked_at_under_an_older_setting_is_looked_at_again() -> None:
    from app.prefilter.policies import StageResult

    with transaction() as session:
        id_ = arrive(session, make_picture(1))
        batch = due.take(session, stages.STAGES[0])
    with transaction() as session:
        session.execute(update(Stage).where(Stage.name == "quality").values(setting={"shorter_side": 100}))
    with transaction() as session:
        found = [StageResult(id_, score=0.0)]
        assert recording.write_results(session, stages.STAGES[0], batch, found, {id_: "x"}, None) == (0, 0, 0)
        assert due.take(session, stages.STAGES[0]).candidate_ids == [id_], "free at once, not when a lease ends"
        assert not session.scalar(select(func.count()).select_from(Finding))


def test_running_again_takes_back_what_is_on_its_way_through_later_stages() -> None:
    with transaction() as session:
        id_ = arrive(session, make_picture(1))
        actions.pause(session, SYSTEM, "caption", paused=True)
    work()
    assert states()[id_] == (S.FILTERING, None)
    with transaction() as session:
        batch = due.take(session, stages.STAGES[0])
        assert batch.candidate_ids == []
        actions.run_again(session, SYSTEM, "quality", None)
        job = session.scalars(select(Job).where(Job.kind == "rerun")).one()
    worker.run_job(job.id)
    with transaction() as session:
        todo = session.execute(select(StageTodo.stage, StageTodo.candidate_id)).all()
    assert [tuple(row) for row in todo] == [("quality", id_)]


def test_a_paused_stage_takes_nothing_until_it_goes_on() -> None:
    with transaction() as session:
        actions.pause(session, SYSTEM, "quality", paused=True)
        id_ = arrive(session, make_picture(1))
        due.wake_due(session)
    work()
    with transaction() as session:
        assert not session.scalar(select(func.count()).select_from(Finding))
        actions.pause(session, SYSTEM, "quality", paused=False)
    work()
    assert states()[id_] == (S.QUEUED, None)


def test_a_stage_of_a_newer_version_looks_again_at_what_the_older_one_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction() as session:
        id_ = arrive(session, make_picture(1))
    work()
    newer = dataclasses.replace(stages.BY_NAME["caption"], version="2")
    monkeypatch.setitem(stages.BY_NAME, "caption", newer)
    with transaction() as session:
        actions.adopt_versions(session)
        actions.adopt_versions(session)
    work()
    assert states()[id_] == (S.QUEUED, None)
    with transaction() as session:
        of_stage = select(Finding.stage_version).where(Finding.stage == "caption").order_by(Finding.id)
        assert session.scalars(of_stage).all() == ["1", "2"]
        assert session.scalar(select(func.count()).where(Job.kind == "rerun")) == 1


def test_a_worker_of_an_older_version_leaves_the_stage_to_others() -> None:
    with transaction() as session:
        id_ = arrive(session, make_picture(1))
        session.execute(update(Stage).where(Stage.name == "quality").values(active_version="2"))
        job = session.scalars(select(Job)).one()
    worker.run_job(job.id)
    with transaction() as session:
        waits = session.get_one(Job, job.id)
        assert (waits.state, waits.wait_reason) == (JobState.QUEUED, WaitReason.DEPLOY)
        assert session.scalar(select(StageTodo.token).where(StageTodo.candidate_id == id_)) is None
