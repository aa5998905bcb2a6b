"""The life of a job row: submit, claim, step, heartbeat, finish, cancel, sweep.

PostgreSQL is the truth; a Celery message is only a wake-up, so losing every message, or getting each
twice, changes nothing. The lease is the only retry. This module is the only sender of messages.
"""

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import structlog
from celery import Celery
from sqlalchemy import event, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, SessionTransaction

from app.advisory import SWEEP_JOBS
from app.config import settings
from app.db import sessions
from app.errors import AppError
from app.tables import Event, Job, JobState, WaitReason, WorkQueue

log = structlog.get_logger()

TASK = "ipath.run_job"
RESEND_AFTER = timedelta(seconds=30)
MAX_LOST = 3


class Cancelled(Exception):
    """The job was asked to stop; its steps so far are kept."""


class LeaseLost(Exception):
    """Another worker has this job now; what this step did is rolled back."""


@dataclass(eq=False)
class Wait(Exception):
    """The job goes back to its queue and is tried again after `seconds`."""

    reason: WaitReason
    seconds: float
    message: str = ""


# --- submitting ---------------------------------------------------------------------------------


def submit(
    session: Session,
    kind: str,
    queue: WorkQueue,
    arguments: dict[str, Any],
    *,
    unit: str = "",
    total: int | None = None,
    dedupe: str | None = None,
    requested_by: int | None = None,
    retry_of: int | None = None,
) -> Job:
    """Adds a job in the caller's transaction; its wake-up leaves after the commit.

    With `dedupe`, a job of the same key that is still queued or running is returned instead.
    """
    values = {
        "kind": kind,
        "queue": queue,
        "arguments": arguments,
        "unit": unit,
        "total": total,
        "dedupe": dedupe,
        "requested_by": requested_by,
        "retry_of": retry_of,
        "sent_at": func.clock_timestamp(),
    }
    statement = insert(Job).values(values).on_conflict_do_nothing().returning(Job)
    while True:  # the open job that is in the way may end before it is read
        if job := session.scalars(statement).one_or_none():
            wake_after_commit(session, job.id, queue)
            return job
        if job := session.scalars(select(Job).where(Job.dedupe == dedupe, Job.state.in_(OPEN))).one_or_none():
            return job


OPEN = (JobState.QUEUED, JobState.RUNNING)


def wake_after_commit(session: Session, job_id: int, queue: WorkQueue) -> None:
    session.info.setdefault("wake", []).append((job_id, queue))


@event.listens_for(Session, "after_commit")
def _send_wakes(session: Session) -> None:
    if session.in_nested_transaction():  # a savepoint's end: nobody else sees the row yet
        return
    for job_id, queue in session.info.pop("wake", []):
        send(job_id, queue)


@event.listens_for(Session, "after_soft_rollback")
def _drop_wakes(session: Session, ended: SessionTransaction) -> None:
    if not ended.nested:  # after a savepoint's, the rest may still be committed
        session.info.pop("wake", None)


@lru_cache
def sender() -> Celery:
    """A Celery client that gives up at once when the broker is away: the sweeper sends again."""
    app = Celery("ipath", broker=settings().redis_url)
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        broker_transport_options={"socket_connect_timeout": 2, "socket_timeout": 5, "max_retries": 0},
    )
    return app


def send(job_id: int, queue: WorkQueue) -> None:
    try:
        sender().send_task(TASK, args=[job_id], queue=queue.value, retry=False)
    except Exception as error:  # whatever the broker's trouble is, the row is safe
        log.warning("wake_up_not_sent", job=job_id, error=type(error).__name__)


# --- running ------------------------------------------------------------------------------------


def _lease() -> Any:
    return func.clock_timestamp() + timedelta(seconds=settings().job_lease_seconds)


@dataclass
class RunningJob:
    """A claimed job in a worker's hands. All its writes go through `step()`, fenced by its token."""

    id: int
    kind: str
    token: UUID
    arguments: dict[str, Any]
    cursor: dict[str, Any]
    done: int
    total: int | None
    unit: str
    requested_by: int | None
    message: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def step(self, *, limited: bool = True) -> Iterator[Session]:
        """Commits work, cursor and progress together, or nothing of them.

        Raises LeaseLost when another worker has the job, Cancelled when someone asked it to stop.
        `limited=False` lifts the time limit of the transaction (index builds).
        """
        with sessions()() as session, session.begin():
            if limited:
                limit = max(1000, int(settings().job_lease_seconds * 800))
                session.execute(text(f"SET LOCAL transaction_timeout = {limit}"))
            yield session
            stop = self._fence(session)
        if stop:
            self.stop.set()
            raise Cancelled

    def _fence(self, session: Session) -> bool:
        session.flush()
        fence = (
            update(Job)
            .where(Job.id == self.id, Job.token == self.token, Job.state == JobState.RUNNING)
            .values(
                cursor=self.cursor,
                done=self.done,
                total=self.total,
                unit=self.unit,
                message=self.message,
                lease_until=_lease(),
                heartbeat=func.clock_timestamp(),
            )
            .returning(Job.cancel_requested)
            .execution_options(synchronize_session=False)
        )
        stop: bool | None = session.execute(fence).scalar_one_or_none()
        if stop is None:
            raise LeaseLost
        return stop

    def check(self) -> None:
        """Raises Cancelled when the heartbeat has seen a wish to stop; for long work between steps."""
        if self.stop.is_set():
            raise Cancelled

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Keeps the lease from a thread and a connection of its own."""
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(over,), name=f"heartbeat-{self.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5)

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(min(2.0, settings().job_lease_seconds / 4)):
            try:
                with sessions().begin() as session:
                    beat = (
                        update(Job)
                        .where(Job.id == self.id, Job.token == self.token)
                        .values(lease_until=_lease(), heartbeat=func.clock_timestamp())
                        .returning(Job.cancel_requested)
                        .execution_options(synchronize_session=False)
                    )
                    if session.execute(beat).scalar_one_or_none() is not False:
                        self.stop.set()
            except Exception as error:  # the database may be restarting; the lease outlives that
                log.warning("heartbeat_missed", job=self.id, error=type(error).__name__)

    def finish(self, state: JobState, error: str = "") -> None:
        """Ends the job, unless another worker has it by now."""
        values = {
            "state": state,
            "error": error,
            "message": self.message,
            "finished_at": func.clock_timestamp(),
        }
        self._release(values)

    def requeue(self, wait: Wait) -> None:
        """Gives the job back to its queue, to be tried again after `wait.seconds`."""
        not_before = func.clock_timestamp() + timedelta(seconds=wait.seconds)
        values = {
            "state": JobState.QUEUED,
            "wait_reason": wait.reason,
            "not_before": not_before,
            "message": wait.message or self.message,
            "sent_at": func.clock_timestamp() if wait.seconds == 0 else None,
        }
        queue = self._release(values)
        if queue and wait.seconds == 0:
            send(self.id, queue)

    def _release(self, values: dict[str, Any]) -> WorkQueue | None:
        with sessions().begin() as session:
            statement = (
                update(Job)
                .where(Job.id == self.id, Job.token == self.token, Job.state == JobState.RUNNING)
                .values(token=None, lease_until=text("'epoch'"), **values)
                .returning(Job.queue)
                .execution_options(synchronize_session=False)
            )
            queue: WorkQueue | None = session.execute(statement).scalar_one_or_none()
            if queue and values["state"] in (JobState.FAILED, JobState.CANCELLED):
                record(session, f"job.{values['state'].value}", "job", self.id, job_id=self.id)
            return queue


def claim(job_id: int) -> RunningJob | None:
    """Takes a queued job, or a running one whose lease ran out, by compare-and-set; else None."""
    due = (Job.state == JobState.QUEUED) & (Job.not_before <= func.clock_timestamp())
    statement = (
        update(Job)
        .where(Job.id == job_id, due)
        .values(
            state=JobState.RUNNING,
            token=uuid4(),
            lease_until=_lease(),
            heartbeat=func.clock_timestamp(),
            started_at=func.coalesce(Job.started_at, func.clock_timestamp()),
            wait_reason=None,
        )
        .returning(Job)
        .execution_options(synchronize_session=False)
    )
    with sessions().begin() as session:
        job = session.scalars(statement).one_or_none()
        if job is None or job.token is None:
            return None
        return RunningJob(
            id=job.id,
            kind=job.kind,
            token=job.token,
            arguments=job.arguments,
            cursor=job.cursor,
            done=job.done,
            total=job.total,
            unit=job.unit,
            requested_by=job.requested_by,
            message=job.message,
        )


def last_line(error: BaseException) -> str:
    """What a person is told of an exception: an error of ours speaks for itself; else its last line.

    It may quote a hostile file, and holds no character that PostgreSQL refuses: the job could not be ended with it.
    """
    if isinstance(error, AppError):
        said = f"{error.message} {error.what_next}".strip()
    elif isinstance(error, MemoryError):
        said = "The memory was not enough. Close what else needs it, then try again; what is done is kept."
    else:
        said = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1][:500]
    return said.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode("utf-8")


# --- asking, from pages and the CLI --------------------------------------------------------------


def request_cancel(session: Session, job_id: int, user_id: int | None) -> bool:
    """Asks a job to stop. A queued one ends at once; a running one at its next step. False if it is over."""
    queued = (
        update(Job)
        .where(Job.id == job_id, Job.state == JobState.QUEUED)
        .values(state=JobState.CANCELLED, cancel_requested=True, finished_at=func.clock_timestamp())
    )
    running = update(Job).where(Job.id == job_id, Job.state == JobState.RUNNING).values(cancel_requested=True)
    for statement in (queued, running):
        if session.execute(statement).rowcount:  # type: ignore[attr-defined]
            record(session, "job.cancel_requested", "job", job_id, user_id=user_id)
            return True
    return False


def retry(session: Session, job: Job, user_id: int | None) -> Job:
    """A new job with the same arguments that goes on where the old one stopped."""
    again = submit(
        session,
        job.kind,
        job.queue,
        job.arguments,
        unit=job.unit,
        total=job.total,
        dedupe=job.dedupe,
        requested_by=user_id,
        retry_of=job.id,
    )
    if again.retry_of == job.id:
        again.cursor, again.done = job.cursor, job.done
    record(session, "job.retried", "job", job.id, user_id=user_id, details={"as": again.id})
    return again


def record(
    session: Session,
    act: str,
    subject_kind: str,
    subject_id: int | str,
    *,
    user_id: int | None = None,
    job_id: int | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Writes one event in the caller's transaction. `details` never hold text of posts."""
    row = {"act": act, "subject_kind": subject_kind, "subject_id": str(subject_id)}
    session.execute(insert(Event).values(user_id=user_id, job_id=job_id, details=details or {}, **row))


# --- keeping alive ------------------------------------------------------------------------------


def sweep() -> int:
    """Takes back jobs whose lease ran out and wakes those that wait too long. Returns how many it woke.

    Safe to run from every worker: an advisory lock lets one of them through at a time.
    """
    with sessions().begin() as session:
        if not session.scalar(select(func.pg_try_advisory_xact_lock(literal(SWEEP_JOBS)))):
            return 0
        _take_back_lost(session)
        waiting = (
            update(Job)
            .where(
                Job.state == JobState.QUEUED,
                Job.not_before <= func.clock_timestamp(),
                (Job.sent_at.is_(None)) | (Job.sent_at < func.clock_timestamp() - RESEND_AFTER),
            )
            .values(sent_at=func.clock_timestamp())
            .returning(Job.id, Job.queue)
        )
        woken = session.execute(waiting).all()
        for job_id, queue in woken:
            wake_after_commit(session, job_id, queue)
        return len(woken)


def _take_back_lost(session: Session) -> None:
    expired = (Job.state == JobState.RUNNING) & (Job.lease_until < func.clock_timestamp())
    free = {"token": None, "lease_until": text("'epoch'"), "sent_at": None}
    failed = (
        update(Job)
        .where(expired, Job.lost >= MAX_LOST - 1)
        .values(
            state=JobState.FAILED,
            lost=MAX_LOST,
            error="The worker was lost 3 times (out of memory?)",
            finished_at=func.clock_timestamp(),
            **free,
        )
    )
    cancelled = (
        update(Job)
        .where(expired, Job.cancel_requested)
        .values(state=JobState.CANCELLED, finished_at=func.clock_timestamp(), **free)
    )
    for act, statement in (("job.failed", failed), ("job.cancelled", cancelled)):
        for job_id in session.scalars(statement.returning(Job.id)).all():
            record(session, act, "job", job_id, job_id=job_id)
    session.execute(update(Job).where(expired).values(state=JobState.QUEUED, lost=Job.lost + 1, **free))
