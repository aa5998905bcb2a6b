"""The job that draws the audit sample."""

from app import jobs
from app.jobs import RunningJob
from app.prefilter import audit


def run_audit(job: RunningJob) -> None:
    """Asks for audits until the sample has its share of what is filtered out now, or waits for stages to look at it."""
    is_left = True
    while is_left:
        with job.step() as session:
            drawn = audit.draw(session)
            job.done += drawn.asked
            is_left = any(drawn)
    if job.done:
        with job.step() as session:
            details = {"count": job.done}
            jobs.record(session, "audit.drawn", "setting", "audit_sample", job_id=job.id, details=details)
