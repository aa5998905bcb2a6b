"""What the stages have still to look at: rows that workers pull, and where a candidate goes next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.config import settings
from app.curation import moves, orders
from app.prefilter import stages
from app.prefilter.privacy import OF_STAGE
from app.prompts import queries as prompts
from app.tables import Candidate, CandidateState, Endpoint, Job, Stage, StageTodo, WaitReason, WorkQueue

AHEAD = 200


def begin(session: Session, candidate_ids: Sequence[int]) -> None:
    """Candidates that are `filtering` wait for the first stage."""
    due(session, stages.STAGES[0], candidate_ids)


def due(session: Session, stage: stages.Stage, candidate_ids: Sequence[int]) -> None:
    """Notes that a stage has to look at candidates, and wakes a worker for it."""
    if not candidate_ids:
        return
    rows = [{"stage": stage.name, "candidate_id": id_} for id_ in sorted(candidate_ids)]
    session.execute(insert(StageTodo).on_conflict_do_nothing(), rows)
    if not session.get_one(Stage, stage.name).paused:
        submit_stage(session, stage)
    if stage.name == "llm" and goes_on_without(session):
        go_on(session, stage.name, candidate_ids)


def submit_stage(session: Session, stage: stages.Stage) -> Job:
    key = f"prefilter:{stage.name}"
    arguments = {"stage": stage.name}
    return jobs.submit(session, "prefilter", stage.queue, arguments, dedupe=key, unit="candidates")


def submit_audit(session: Session, requested_by: int | None = None) -> Job:
    return jobs.submit(
        session, "audit", WorkQueue.CPU, {}, dedupe="audit", unit="candidates", requested_by=requested_by
    )


def wake_due(session: Session) -> None:
    """Submits a job for each stage with work that no open job will take: a dead worker's batch, a lost race."""
    going = select(Stage.name).where(Stage.paused.is_(False))
    free = select(StageTodo.stage).where(StageTodo.until < func.clock_timestamp(), StageTodo.stage.in_(going))
    for name in session.scalars(free.distinct()).all():
        submit_stage(session, stages.BY_NAME[name])


@dataclass(frozen=True)
class Batch:
    """Due candidates in a worker's hands, and the setting under which it looks at them."""

    token: UUID
    candidate_ids: list[int]
    setting: dict[str, Any]


def take(session: Session, stage: stages.Stage) -> Batch:
    """A batch of a stage's due candidates, this caller's for as long as a job's lease; others pass them by.

    A paused stage gives none. Raises Wait in a worker whose code is of another version than the stage in force.
    """
    row = session.get_one(Stage, stage.name)
    if row.active_version != stage.version:
        raise jobs.Wait(WaitReason.DEPLOY, 30, f"{stage.title} is at version {row.active_version} now.")
    token, setting = uuid4(), dict(row.setting)
    if row.paused:
        return Batch(token, [], setting)
    free = (
        select(StageTodo.candidate_id)
        .where(StageTodo.stage == stage.name, StageTodo.until < func.clock_timestamp())
        .order_by(StageTodo.candidate_id)
        .limit(stage.batch)
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    until = func.clock_timestamp() + timedelta(seconds=settings().job_lease_seconds)
    statement = (
        update(StageTodo)
        .where(StageTodo.stage == stage.name, StageTodo.candidate_id.in_(select(free.c.candidate_id)))
        .values(token=token, until=until)
        .returning(StageTodo.candidate_id)
        .execution_options(synchronize_session=False)
    )
    return Batch(token, sorted(session.scalars(statement)), setting)


def give_back(session: Session, stage: stages.Stage, token: UUID) -> None:
    """A batch that nobody looks at any more is free for the next who takes one."""
    mine = (StageTodo.stage == stage.name) & (StageTodo.token == token)
    session.execute(update(StageTodo).where(mine).values(token=None, until=text("'epoch'")))


def done(session: Session, stage: stages.Stage, token: UUID, candidate_ids: Sequence[int]) -> list[int]:
    """Takes those that this caller still has in hand off the stage's list. Returns them in the order of their ids."""
    statement = (
        delete(StageTodo)
        .where(StageTodo.stage == stage.name, StageTodo.token == token, StageTodo.candidate_id.in_(candidate_ids))
        .returning(StageTodo.candidate_id)
        .execution_options(synchronize_session=False)
    )
    return sorted(session.scalars(statement))


def forget(session: Session, candidate_ids: Sequence[int]) -> None:
    """No stage has to look at these candidates; what a worker finds of them just now is not written."""
    session.execute(delete(StageTodo).where(StageTodo.candidate_id.in_(candidate_ids)))


def go_on(session: Session, stage: str, candidate_ids: Sequence[int]) -> None:
    """To the next stage, or after the last one to the reviewers."""
    following = stages.after(stage)
    if following:
        due(session, following, candidate_ids)
    else:
        orders.prioritise(session, moves.enqueue(session, candidate_ids))


def goes_on_without(session: Session) -> bool:
    """Whether the language model is down or its budget spent, and candidates need not wait for it."""
    setting = session.get_one(Stage, "llm").setting
    if setting.get("required") or not setting.get("endpoint"):
        return False
    is_down = session.scalar(select(Endpoint.down_since).where(Endpoint.id == setting["endpoint"])) is not None
    return is_down or prompts.is_spent(session)


def send_ahead(session: Session) -> int:
    """Lets a batch of those that wait for the language model alone go on without it. Returns how many.

    They stay due there: what it finds of them comes later.
    """
    elsewhere = select(StageTodo.candidate_id).where(StageTodo.stage != "llm")
    waiting = (
        select(Candidate.id)
        .join(StageTodo, StageTodo.candidate_id == Candidate.id)
        .where(StageTodo.stage == "llm", Candidate.state == CandidateState.FILTERING, Candidate.id.not_in(elsewhere))
        .order_by(Candidate.id)
        .limit(AHEAD)
    )
    locked = moves.lock(session, session.scalars(waiting).all())
    gone = ahead(session, [one.id for one in locked])
    ids = [one.id for one in locked if one.state is CandidateState.FILTERING and one.id not in gone]
    go_on(session, "llm", ids)
    return len(ids)


def forget_decided(session: Session) -> None:
    """Of those that went on without the language model, it is not asked about what people decided since."""
    open_ = (CandidateState.FILTERING, CandidateState.QUEUED, CandidateState.FILTERED_OUT)
    decided = select(Candidate.id).where(Candidate.id == StageTodo.candidate_id, Candidate.state.not_in(open_))
    session.execute(
        delete(StageTodo).where(StageTodo.stage == "llm", decided.exists()).execution_options(synchronize_session=False)
    )


def ahead(session: Session, candidate_ids: Sequence[int]) -> set[int]:
    """Those that another stage than the language model has still to look at."""
    other = StageTodo.stage != "llm"
    return set(session.scalars(select(StageTodo.candidate_id).where(other, StageTodo.candidate_id.in_(candidate_ids))))


def reopened(session: Session, candidate_ids: Sequence[int]) -> list[int]:
    """Those of `candidate_ids` that were filtered out and are filtered again now; none is screened for the audit."""
    ids = moves.refilter(session, candidate_ids, CandidateState.FILTERED_OUT) if candidate_ids else []
    screening = StageTodo.stage.in_(OF_STAGE) & StageTodo.candidate_id.in_(ids)
    session.execute(delete(StageTodo).where(screening).execution_options(synchronize_session=False))
    return ids


def screen(session: Session, candidate_ids: Sequence[int]) -> None:
    """Has the stages that look for private details look at candidates that another stage stopped before them."""
    for name in OF_STAGE:
        due(session, stages.BY_NAME[name], candidate_ids)
