"""The job that tries prompts and models beside each other."""

import time
from typing import Any

from app import jobs
from app.db import transaction
from app.jobs import RunningJob
from app.prefilter.policies import StageInput
from app.prefilter.queries import inputs
from app.prompts import queries, sendable, trials
from app.prompts.proposals import judged
from app.tables import TrialKind, WaitReason
from workers.asking import Answered, Asked, Side, ask, side
from workers.silence import LATE, SOON

BATCH = 32
TURN_SECONDS = 60


def run_trial(job: RunningJob) -> None:
    """Asks every side of a trial about its candidates, and keeps what came of it. Arguments: trial.

    What was answered before is not asked again, so that it goes on where it was. Stops where the budget is spent.
    """
    with transaction() as session:
        trial = queries.trial(session, job.arguments["trial"]).trial
        items = [item for item in inputs(session, trial.candidates) if trials.base_of(item).strip()]
    sides = [side(one["endpoint"], one["prompt"], with_picture=one["with_picture"]) for one in trial.sides]
    rows: list[dict[int, dict[str, Any]]] = [{} for _ in sides]
    job.total, until = len(sides) * len(items), time.monotonic() + TURN_SECONDS
    for one, found in zip(sides, rows, strict=True):
        while left := _left(items, found):
            asked = _ask(job, one, left[:BATCH], found)
            job.done = sum(map(len, rows))
            job.message = f"The budget is spent; {one.endpoint.name} was not asked the rest." if asked.is_spent else ""
            _keep(job, trial.id, rows)
            if asked.is_spent:
                break
            _give_way(one, asked, len(found) < len(items) and time.monotonic() > until)
    if trial.kind is TrialKind.COMPARE:
        with job.step() as session:
            row = queries.trial(session, trial.id).trial
            row.result = row.result | trials.compared(session, trial.candidates, rows)


def _left(items: list[StageInput], found: dict[int, dict[str, Any]]) -> list[StageInput]:
    """Those still to be asked about that may be sent now: since they were drawn, one may be held or gone."""
    ids = [item.candidate_id for item in items if item.candidate_id not in found]
    with transaction() as session:
        free = sendable.captions(session, ids)
    return [item for item in items if item.candidate_id in free]


def _ask(job: RunningJob, one: Side, items: list[StageInput], found: dict[int, dict[str, Any]]) -> Asked:
    with transaction() as session:
        wanted = queries.wanted(session)
    asked = ask(one, items, job, wanted.budget)
    for item in items:
        if item.candidate_id in asked.answered:
            found[item.candidate_id] = _row(item, asked.answered[item.candidate_id], wanted.min_support)
    return asked


def _give_way(one: Side, asked: Asked, is_long: bool) -> None:
    """Raises Wait where the model is silent, or other jobs should have their turn."""
    if asked.down:
        said = f"{one.endpoint.name} does not answer."
        raise jobs.Wait(WaitReason.ENDPOINT, min(max(asked.down.retry_after, SOON), LATE), said)
    if is_long:
        raise jobs.Wait(WaitReason.TURN, 0)


def _row(item: StageInput, given: Answered, min_support: float) -> dict[str, Any]:
    """What a trial keeps of one answer: ids and figures, no text."""
    row: dict[str, Any] = {
        "text": given.text_id,
        "tokens_in": given.tokens_in,
        "tokens_out": given.tokens_out,
        "cost": given.cost,
        "cached": given.is_cached,
        "why": given.why,
    }
    if given.answer is None:
        return row
    proposal = judged(trials.base_of(item), given.answer.caption, min_support)
    return row | {
        "score": given.answer.score,
        "support": proposal.support,
        "unsupported": proposal.unsupported,
        "rewrote": proposal.rewrote,
        "struck": proposal.struck,
    }


def _keep(job: RunningJob, trial_id: int, rows: list[dict[int, dict[str, Any]]]) -> None:
    with job.step() as session:
        kept = [{str(id_): row for id_, row in one.items()} for one in rows]
        trial = queries.trial(session, trial_id).trial
        trial.result = trial.result | {"rows": kept}
