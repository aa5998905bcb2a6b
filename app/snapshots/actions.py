"""Asking for a snapshot."""

from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.errors import Invalid
from app.tables import Job, WorkQueue


def make_snapshot(session: Session, actor: Actor, val: int, test: int, note: str) -> Job:
    """Starts the job that freezes all accepted pairs and writes their files; one at a time.

    Raises Invalid for wanted sizes below zero.
    """
    if val < 0 or test < 0:
        raise Invalid("Use zero or more pairs.")
    arguments = {"val": val, "test": test, "note": note.strip()[:500]}
    job = jobs.submit(
        session,
        "snapshot",
        WorkQueue.EXPORT,
        arguments,
        unit="pictures",
        dedupe="snapshot",
        requested_by=actor.user_id,
    )
    jobs.record(session, "snapshot.requested", "job", job.id, user_id=actor.user_id)
    return job


def note_download(session: Session, actor: Actor, number: int, what: str) -> None:
    details = {"what": what}
    jobs.record(session, "snapshot.downloaded", "snapshot", number, user_id=actor.user_id, details=details)
