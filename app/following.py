"""Waiting for a job from the shell: a bar while it runs, and its end as an exit code."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import func, select

from app import jobs
from app.db import transaction
from app.errors import NotFound
from app.supervisor import Supervisor
from app.tables import Job, JobState, StageTodo

POLL = 0.2


def progress_bar(console: Console, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=quiet, transient=True)


def look(job_id: int) -> Job:
    """The job as it is now. Raises NotFound."""
    with transaction() as session:
        job = session.get(Job, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    return job


def wait_for(job_id: int, supervisor: Supervisor | None = None) -> Job:
    """The job when it is over; meanwhile `supervisor` restarts what dies."""
    while (job := look(job_id)).state in jobs.OPEN:
        if supervisor:
            supervisor.watch()
        time.sleep(POLL)
    return job


def follow(job_id: int, console: Console, supervisor: Supervisor | None = None, *, quiet: bool = False) -> Job:
    """Shows a job's bar until it is over, and returns it whatever its end; `supervisor` restarts what dies."""
    with progress_bar(console, quiet) as progress:
        task = progress.add_task("waits for a worker", total=None)
        while (job := look(job_id)).state in jobs.OPEN:
            text = job.message or job.kind if job.state is JobState.RUNNING else "waits for a worker"
            progress.update(task, completed=job.done, total=job.total, description=text)
            if supervisor:
                supervisor.watch()
            time.sleep(POLL)
    return job


@contextmanager
def bar(console: Console, label: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar for work done in this process; what it yields is told how much is done."""
    with progress_bar(console, quiet) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)


def wait_for_prefilter(console: Console, supervisor: Supervisor) -> None:
    """Waits until no stage has anything left to look at and no job is open; `supervisor` restarts what dies."""
    with console.status("Pre-filter"):
        while True:
            with transaction() as session:
                due = session.scalar(select(func.count()).select_from(StageTodo))
                opened = session.scalar(select(func.count()).where(Job.state.in_(jobs.OPEN)))
            if not due and not opened:
                return
            supervisor.watch()
            time.sleep(POLL)
