"""Judgements about jobs and workers that need no database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from app.tables.operation import Job, JobState, WorkQueue


@dataclass(frozen=True)
class QueueState:
    """A queue as it is now: live workers, jobs that wait and since when the oldest of them does."""

    queue: WorkQueue
    workers: int
    waiting: int
    oldest: datetime | None

    @property
    def is_unserved(self) -> bool:
        """Jobs wait here and nobody will take them."""
        return self.waiting > 0 and self.workers == 0

    @property
    def command(self) -> str:
        """What starts a worker for it."""
        return f"ipath worker --queues {self.queue.value}"


def unserved(queues: Iterable[QueueState]) -> list[QueueState]:
    return [queue for queue in queues if queue.is_unserved]


def is_open(job: Job) -> bool:
    return job.state in (JobState.QUEUED, JobState.RUNNING)


def may_stop(job: Job) -> bool:
    return is_open(job) and not job.cancel_requested


def may_retry(job: Job) -> bool:
    return job.state in (JobState.FAILED, JobState.CANCELLED)


def mending(count: int) -> str:
    """The title of the system page, which is its answer."""
    if count == 0:
        return "All is running"
    return "One thing needs mending" if count == 1 else f"{count} things need mending"
