"""Stopping a job and trying it again."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.errors import Conflict, NotFound
from app.operations import queries
from app.operations.policies import is_open, may_retry
from app.prefilter import actions as prefilter
from app.tables import Import, Job, Run
from app.training.policies import is_tidied


def stop(session: Session, actor: Actor, job_id: int) -> None:
    """Asks a job to stop at its next step. Raises Conflict when it is over.

    Stopping a stage pauses it: its due candidates would make the next job at once.
    """
    job = queries.shown_job(session, job_id).job
    if job.kind == "prefilter" and is_open(job):
        prefilter.pause(session, actor, job.arguments["stage"], paused=True)
    elif not jobs.request_cancel(session, job_id, actor.user_id):
        raise Conflict(f"Job {job_id} is over already.", "Load the page again.")


def retry(session: Session, actor: Actor, job_id: int) -> Job:
    """A new job that goes on where this one stopped. Raises Conflict unless it stopped, and only once."""
    job = session.scalars(
        select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if not may_retry(job):
        raise Conflict(f"Job {job_id} is {job.state.value}.", "Only a job that stopped can be tried again.")
    if later := queries.retry_of(session, job_id):
        raise Conflict(f"Job {job_id} was tried again as job {later}.", "Look at that one.")
    if job.kind == "prefilter":
        prefilter.pause(session, actor, job.arguments["stage"], paused=False)
    if run := session.scalars(select(Run).where(Run.job_id == job_id)).one_or_none():
        _refuse_tidied(run)
    again = jobs.retry(session, job, actor.user_id)
    for owner in (Import, Run):
        session.execute(update(owner).where(owner.job_id == job_id).values(job_id=again.id))
    return again


def _refuse_tidied(run: Run) -> None:
    """Without its checkpoints it would begin at step 0, over the curves that were promised to stay."""
    if is_tidied(run):
        raise Conflict(f"The checkpoints of run {run.id} were deleted.", "Duplicate it to train again.")
