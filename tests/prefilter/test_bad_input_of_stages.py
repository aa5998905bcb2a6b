"""Every stage on bad input: nothing at all, one poison picture among many, a figure that is no number, hostile text."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db import transaction
from app.prefilter import due, stages
from app.prefilter.policies import StageInput, StageResult
from app.storage import blobs
from app.tables import CandidateState, Finding, FindingNow, Image, Job, JobState, Outcome, StageTodo
from tests.encoders.conftest import models  # noqa: F401  # a fixture
from tests.encoders.models import TINY_CLIP, register
from tests.factories import make_candidate
from tests.prefilter.test_pipeline import quiet  # noqa: F401  # a fixture
from workers import main as worker
from workers import prefilter

S = CandidateState
pytestmark = pytest.mark.usefixtures("own_database", "quiet")

MANY = 9
POISON = 4  # which of them
OF_PICTURES = ("quality", "embedding", "sameness", "domain", "panels", "faces", "writing", "alignment")


def arrive(
    session: Session, stage: str, count: int = MANY, caption: str = "Nests of basaloid cells, H&E."
) -> list[int]:
    """Candidates with real pictures that wait for a stage."""
    made = [make_candidate(session, S.FILTERING, f"{caption} {n}", with_blob=True) for n in range(count)]
    due.due(session, stages.BY_NAME[stage], [candidate.id for candidate in made])
    return [candidate.id for candidate in made]


def poison(session: Session, candidate_id: int, data: bytes | None) -> None:
    """Puts other bytes, or none, where the candidate's picture was."""
    from app.tables import Candidate

    image_id = session.get_one(Candidate, candidate_id).image_id
    path = Path(blobs().path(session.get_one(Image, image_id).sha256))
    if data is None:
        path.unlink()
    else:
        path.chmod(0o644)
        path.write_bytes(data)


def run_one(stage: str) -> Job:
    """Runs the stage's own job only, so that what it wrote can be looked at."""
    with transaction() as session:
        wanted = select(Job.id).where(Job.kind == "prefilter", Job.arguments["stage"].astext == stage)
        job_id = session.scalars(wanted.order_by(Job.id.desc())).first()
    assert job_id
    worker.run_job(job_id)
    with transaction() as session:
        return session.get_one(Job, job_id)


def outcomes(stage: str) -> dict[int, Finding]:
    with transaction() as session:
        rows = session.scalars(select(Finding).where(Finding.stage == stage).order_by(Finding.id))
        return {row.candidate_id: row for row in rows}


def use_tiny_clip() -> None:
    from app.prefilter import actions

    encoder = register(TINY_CLIP)
    with transaction() as session:
        actions.use_encoder(session, encoder.id)


# --- nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", stages.NAMES)
def test_a_stage_with_nothing_due_ends_well_and_writes_nothing(stage: str) -> None:
    with transaction() as session:
        due.submit_stage(session, stages.BY_NAME[stage])
    job = run_one(stage)
    assert (job.state, job.error, job.done) == (JobState.SUCCEEDED, "", 0)
    assert outcomes(stage) == {}


@pytest.mark.parametrize("stage", [name for name in stages.NAMES if name != "embedding"])
def test_an_empty_batch_gives_no_results(stage: str) -> None:
    module = importlib.import_module(f"workers.stages.{stage}")
    assert module.run([], {}, None) == []


# --- one poison picture among many --------------------------------------------------------------


@pytest.mark.parametrize("stage", OF_PICTURES)
@pytest.mark.parametrize("data", [b"GIF89a no picture", b"", None], ids=["not_a_picture", "empty", "lost"])
def test_one_poison_picture_fails_alone_with_its_reason(
    stage: str, data: bytes | None, request: pytest.FixtureRequest
) -> None:
    if stage in ("embedding", "domain", "alignment"):
        request.getfixturevalue("models")
        use_tiny_clip()
    with transaction() as session:
        ids = arrive(session, stage)
        poison(session, ids[POISON], data)
    run_one(stage)
    found = outcomes(stage)
    assert {id_: finding.outcome for id_, finding in found.items()} == {
        id_: Outcome.ERROR if number == POISON else Outcome.OK for number, id_ in enumerate(ids)
    }
    why = "its picture is not in the store" if data is None else "its picture can't be read"
    assert found[ids[POISON]].evidence["why"] == why
    assert found[ids[POISON]].score is None
    with transaction() as session:
        assert not session.scalar(select(func.count()).where(StageTodo.stage == stage))


@pytest.mark.parametrize("stage", ["domain", "faces", "writing"])
def test_of_64_pictures_only_the_poison_one_fails(stage: str, request: pytest.FixtureRequest) -> None:
    if stage == "domain":
        request.getfixturevalue("models")
        use_tiny_clip()
    with transaction() as session:
        ids = arrive(session, stage, count=64)
        poison(session, ids[33], b"GIF89a no picture")
    run_one(stage)
    found = outcomes(stage)
    assert {id_ for id_, finding in found.items() if finding.outcome is Outcome.ERROR} == {ids[33]}
    assert len(found) == 64
    assert found[ids[33]].evidence["why"] == "its picture can't be read"


def test_a_poison_picture_is_found_in_few_tries() -> None:
    """Halves of halves: a batch of 256 with one bad picture is not looked at picture by picture."""
    tries = []

    class Stage:
        @staticmethod
        def run(batch: list[StageInput], setting: dict[str, object], job: object) -> list[StageResult]:
            tries.append(len(batch))
            if any(item.candidate_id == 77 for item in batch):
                raise OSError
            return [StageResult(item.candidate_id) for item in batch]

    batch = [StageInput(number, number, "a" * 64, None, "") for number in range(256)]
    results = prefilter._computed(Stage, batch, {}, None)  # type: ignore[arg-type]
    assert [r.candidate_id for r in results] == list(range(256))
    assert [r.candidate_id for r in results if r.outcome is Outcome.ERROR] == [77]
    assert len(tries) == 17


# --- figures that are no numbers ----------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("stage", ["quality", "sameness", "panels", "caption", "language", "domain", "alignment"])
def test_a_figure_that_is_no_number_is_an_error_of_its_candidate_and_is_never_written(
    stage: str, bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"workers.stages.{stage}")
    real: Callable[..., list[StageResult]] = module.run
    with transaction() as session:
        first, other = arrive(session, stage, count=2)

    def with_a_bad_figure(batch: list[StageInput], *rest: object) -> list[StageResult]:
        results = real(batch, *rest)
        for result in results:
            result.outcome = Outcome.OK
            if result.candidate_id == first:
                result.score = bad
        return results

    monkeypatch.setattr(module, "run", with_a_bad_figure)
    run_one(stage)
    found = outcomes(stage)
    assert (found[first].outcome, found[first].score) == (Outcome.ERROR, None)
    assert found[first].evidence["why"] == "a figure that it computed is not a number"
    assert found[other].outcome is Outcome.OK
    with transaction() as session:
        assert session.get_one(FindingNow, (first, stage)).score is None


def test_evidence_that_is_no_number_is_an_error_too() -> None:
    result = prefilter._storable(StageResult(7, score=0.5, evidence={"cosine": float("nan")}))
    assert (result.outcome, result.score) == (Outcome.ERROR, None)


# --- hostile captions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "caption",
    [
        "x" * 20_000,
        "\u202eevil\u202c",
        "<script>alert(1)</script>",
        "%s %d {0} {{7*7}}",
        "👩🏽‍⚕️" * 500,
        "a\u0300" * 3000,
        "\ufffe\U0010ffff",
    ],
    ids=["long", "bidi", "script", "format", "emoji", "combining", "noncharacters"],
)
@pytest.mark.parametrize("stage", ["caption", "language"])
def test_stages_that_read_captions_take_any_text(stage: str, caption: str) -> None:
    with transaction() as session:
        (id_,) = arrive(session, stage, count=1, caption=caption)
    run_one(stage)
    assert outcomes(stage)[id_].outcome is Outcome.OK


# --- a model that can't be had ------------------------------------------------------------------


def test_a_missing_model_is_asked_for_once_and_no_candidate_is_tried_alone() -> None:
    from workers.ml.weights import BadWeights

    tries = []

    class Stage:
        @staticmethod
        def run(batch: list[StageInput], setting: dict[str, object], job: object) -> list[StageResult]:
            tries.append(len(batch))
            raise BadWeights("run-1.safetensors is not a safetensors file")

    batch = [StageInput(number, number, "a" * 64, None, "") for number in range(32)]
    results = prefilter._computed(Stage, batch, {}, None)  # type: ignore[arg-type]
    assert tries == [32]
    assert {result.outcome for result in results} == {Outcome.NOT_RUN}
    assert results[0].evidence == {"why": "run-1.safetensors is not a safetensors file"}
