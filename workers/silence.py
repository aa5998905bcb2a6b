"""When the language-model stage has to wait, and what becomes of its candidates then."""

from app import jobs
from app.db import transaction
from app.endpoints import queries as endpoints
from app.jobs import RunningJob
from app.prefilter import due
from app.prompts import actions, queries
from app.tables import WaitReason

SOON, LATE = 5.0, 60.0  # seconds until one looks again, at least and at most


def may_go_on(job: RunningJob) -> bool:
    """Whether the stage may ask its model now; no longer once the budget is spent.

    Where it is down or the budget is spent, candidates that need not wait for it go on. Raises Wait while nobody may
    call it.
    """
    with transaction() as session:
        wanted = queries.wanted(session)
        is_spent = queries.is_spent(session)
        closed = endpoints.closed_for(session, wanted.endpoint) if wanted.endpoint else 0.0
        due.forget_decided(session)
    if is_spent:
        job.message = "The budget is spent. Raise it and let the stage go on."
        with job.step() as session:
            actions.stop_at_budget(session, job.id)
        _send_ahead(job)
        return False
    if closed and wanted.endpoint:
        wait(job, wanted.endpoint, closed)
    job.message = ""
    return True


def wait(job: RunningJob, endpoint_id: int, seconds: float) -> None:
    """Lets those go on that need not wait, and raises Wait, which says since when it is silent and how many wait."""
    _send_ahead(job)
    with transaction() as session:
        endpoint = endpoints.endpoint(session, endpoint_id)
        pace = queries.pace(session)
    since = f" since {endpoint.down_since:%H:%M} UTC" if endpoint.down_since else ""
    many = "1 candidate waits" if pace.waiting == 1 else f"{pace.waiting:,} candidates wait"
    ahead = f", {pace.ahead:,} of them went on without it" if pace.ahead else ""
    said = f"{endpoint.name} does not answer{since}; {many}{ahead}."
    raise jobs.Wait(WaitReason.ENDPOINT, min(max(seconds, SOON), LATE), said)


def _send_ahead(job: RunningJob) -> None:
    gone = -1
    while gone:
        with job.step() as session:
            gone = due.send_ahead(session) if due.goes_on_without(session) else 0
