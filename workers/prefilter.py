"""Pre-filter jobs: pull a stage's due candidates, run it, write findings; move thresholds; run again; train."""

import importlib
import json
import time
from types import ModuleType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app import jobs
from app.db import transaction
from app.jobs import RunningJob
from app.prefilter import actions, due, queries, recording, stages
from app.prefilter.policies import StageInput, StageResult
from app.prefilter.privacy import OF_STAGE
from app.tables import Finding, Outcome, WaitReason, WorkQueue
from workers import silence
from workers.training_turns import wait_for_gpu
from workers.vectors import reason

log = structlog.get_logger()

TURN_SECONDS = 60
STOPPED = ("dropped", "held")  # sides of `recording.Sent` that a job's cursor counts
ANEW = ("sameness", "caption", "private", "llm")  # what they find again would lack what they put on offer beside it


def run_stage(job: RunningJob) -> None:
    """Works on a stage's due candidates for at most a minute, then lets other jobs have a turn."""
    stage = stages.BY_NAME[job.arguments["stage"]]
    until = time.monotonic() + TURN_SECONDS
    while time.monotonic() < until:
        if stage.name == "llm" and not silence.may_go_on(job):
            return
        if stage.queue is WorkQueue.GPU:
            wait_for_gpu(job)
        with transaction() as session:
            batch = due.take(session, stage)
            inputs = queries.inputs(session, batch.candidate_ids)
            waiting = queries.waiting(session, stage.name)
        if not batch.candidate_ids:
            _note(job, stage.name)
            return
        job.total = job.done + waiting
        try:
            results, hashes = _results(stage, inputs, batch.setting, job)
        except jobs.Wait:
            with transaction() as session:
                due.give_back(session, stage, batch.token)
            raise
        with job.step() as session:
            sent = recording.write_results(session, stage, batch, results, hashes, job.id)
            if len(results) < len(inputs):
                due.give_back(session, stage, batch.token)
            job.done += sum(sent)
            job.cursor = {side: job.cursor.get(side, 0) + getattr(sent, side) for side in STOPPED}
    raise jobs.Wait(WaitReason.TURN, 0)


def _note(job: RunningJob, stage: str) -> None:
    """One event for all that this job did."""
    if job.done:
        with job.step() as session:
            details = {"count": job.done} | {side: job.cursor.get(side, 0) for side in STOPPED}
            jobs.record(session, "stage.ran", "stage", stage, job_id=job.id, details=details)


def _results(
    stage: stages.Stage, batch: list[StageInput], setting: dict[str, object], job: RunningJob
) -> tuple[list[StageResult], dict[int, str]]:
    """A result for every candidate: found again where the same input was looked at before, else computed."""
    module = importlib.import_module(f"workers.stages.{stage.name}")
    hashes = {item.candidate_id: _hash(module, item, setting) for item in batch}
    known: dict[int, Finding] = {}
    if stage.name not in ANEW:
        with transaction() as session:
            known = queries.known_findings(session, stage.name, stage.version, hashes)
    results = [_again(known[item.candidate_id]) for item in batch if item.candidate_id in known]
    fresh = [item for item in batch if item.candidate_id not in known]
    results += _computed(module, fresh, setting, job)
    hashes |= {item.candidate_id: _hash(module, item, setting) for item in fresh}
    return results, hashes


def _hash(module: ModuleType, item: StageInput, setting: dict[str, object]) -> str:
    return queries.input_hash(*(module.looked_at(item, setting) or ()))


def _again(finding: Finding) -> StageResult:
    return StageResult(finding.candidate_id, finding.outcome, finding.score, finding.label, finding.evidence)


def _computed(
    module: ModuleType, batch: list[StageInput], setting: dict[str, object], job: RunningJob
) -> list[StageResult]:
    """The stage's results. When a batch fails, its halves are tried: one bad picture fails only itself."""
    if not batch:
        return []
    try:
        results: list[StageResult] = module.run(batch, setting, job)
        return [_storable(result) for result in results]
    except (jobs.Cancelled, jobs.LeaseLost, jobs.Wait, SQLAlchemyError):
        raise
    except Exception as error:
        if why := _model_is_missing(error):
            return [StageResult(item.candidate_id, Outcome.NOT_RUN, evidence={"why": why}) for item in batch]
        if len(batch) > 1:
            middle = len(batch) // 2
            halves = batch[:middle], batch[middle:]
            return [result for half in halves for result in _computed(module, half, setting, job)]
        log.warning("stage_error", candidate=batch[0].candidate_id, error=type(error).__name__)
        return [_failed(batch[0].candidate_id, type(error).__name__, _reason(error))]


def _model_is_missing(error: Exception) -> str:
    """Why a stage's model can't be had; "" for any other error. No candidate is to blame, so none is tried alone."""
    from workers.ml.weights import BadWeights, WeightsUnavailable

    return str(error)[:300] if isinstance(error, BadWeights | WeightsUnavailable) else ""


def _storable(result: StageResult) -> StageResult:
    """The result, or an error in its place: what is no number would pass every threshold, or none."""
    try:
        json.dumps([result.score, result.evidence], allow_nan=False)
    except ValueError:
        return _failed(result.candidate_id, "NotANumber", "a figure that it computed is not a number")
    return result


def _failed(candidate_id: int, error: str, reason: str) -> StageResult:
    evidence = {"error": error} | ({"why": reason} if reason else {})
    return StageResult(candidate_id, Outcome.ERROR, evidence=evidence)


def _reason(error: Exception) -> str:
    """What is wrong, in words of ours: another error's message may quote the post."""
    return reason(error) if isinstance(error, OSError) else ""


def run_threshold(job: RunningJob) -> None:
    """Applies a stage's threshold to stored scores, in batches; what is in review now goes when its lease ends."""
    name = job.arguments["stage"]
    counts = {"dropped": 0, "reopened": 0, "after": 0} | job.cursor
    while True:
        with job.step() as session:
            dropped, reopened, last = actions.apply_threshold(session, name, counts["after"])
            counts["dropped"] += dropped
            counts["reopened"] += reopened
            job.done = counts["dropped"] + counts["reopened"]
            job.cursor = counts | {"after": last or 0}
        if last is None:
            break
        counts["after"] = last
    with transaction() as session:
        left = actions.left_in_review(session, name)
    if left:
        held = "1 is being reviewed and goes" if left == 1 else f"{left} are being reviewed and go"
        raise jobs.Wait(WaitReason.TURN, 30, f"{held} when that ends.")
    with job.step() as session:
        if name in OF_STAGE:
            details = {"held": counts["dropped"], "let_go": counts["reopened"]}
            jobs.record(session, "stage.privacy_applied", "stage", name, job_id=job.id, details=details)
        else:
            details = {"dropped": counts["dropped"], "reopened": counts["reopened"]}
            jobs.record(session, "stage.threshold_applied", "stage", name, job_id=job.id, details=details)


def run_again(job: RunningJob) -> None:
    """Sends candidates back before a stage, in batches."""
    name, ids = job.arguments["stage"], job.arguments["candidates"]
    after: int | None = job.cursor.get("after", 0)
    while after is not None:
        with job.step() as session:
            count, after = actions.send_back(session, name, ids, after)
            job.done += count
            job.cursor = {"after": after or 0}
