"""Activity, the system page, one job, and the health check."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.operations import actions, checks, events, queries, reports
from app.operations.events import EventFilter
from app.operations.forms import ActivityForm
from app.operations.policies import is_open, may_retry, may_stop, mending, unserved
from app.operations.sentences import GROUPS, sentence
from app.web.deps import Admin, RowId, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()

LIST_LENGTH = 50
JOB_LOG_LENGTH = 20


@router.get("/health", name="health")
def health(session: SessionDep) -> Response:
    """For load balancers; open to all, so it says nothing else."""
    try:
        queries.ping(session)
    except SQLAlchemyError:
        return JSONResponse({"status": "the database does not answer"}, status_code=503)
    return JSONResponse({"status": "ok"})


# --- activity -----------------------------------------------------------------------------------


@router.get("/activity", name="activity")
def activity(request: Request, session: SessionDep, actor: Admin) -> Response:
    try:
        wanted, error = wanted_events(request), None
    except Invalid as problem:
        wanted, error = ActivityForm(), problem
    found = events.events(session, wanted.filter(), LIST_LENGTH + 1)
    shown = found[:LIST_LENGTH]
    older = wanted.query(before=shown[-1].id) if len(found) > LIST_LENGTH else None
    context = {
        "entries": [(entry, sentence(entry)) for entry in shown],
        "wanted": wanted,
        "typed": request.query_params.get("q", ""),
        "error": error,
        "people": events.people(session),
        "groups": GROUPS,
        "older": f"?{older}" if older else None,
    }
    status = 422 if error else 200
    return render(request, "operations/activity.html", context, status=status)


def wanted_events(request: Request) -> ActivityForm:
    """Raises Invalid."""
    return parse(ActivityForm, request.query_params)  # type: ignore[arg-type]  # it reads like a form


@router.get("/activity.csv", name="activity_csv")
def activity_csv(request: Request, session: SessionDep, actor: Admin) -> Response:
    file = reports.as_csv(events.all_events(session, wanted_events(request).filter()))
    headers = {"Content-Disposition": 'attachment; filename="activity.csv"'}
    return StreamingResponse(reports.chunks(file), media_type="text/csv; charset=utf-8", headers=headers)


# --- system -------------------------------------------------------------------------------------


@router.get("/system", name="system")
def system(request: Request, session: SessionDep, actor: Admin) -> Response:
    return system_page(request, session, checks.all_checks(session))


@router.get("/system/live", name="system_live")
def system_live(request: Request, session: SessionDep, actor: Admin) -> Response:
    return system_page(request, session, checks.live_checks(session))


def system_page(request: Request, session: Session, found: list[checks.Check]) -> Response:
    """The page, of which htmx takes the living part every 2 s."""
    queues = queries.queue_states(session)
    context = {
        "title": mending(sum(check.state == "bad" for check in found)),
        "checks": found,
        "workers": queries.live_workers(session),
        "queues": queues,
        "unserved": unserved(queues),
        "unserved_names": {queue.queue for queue in unserved(queues)},
        "jobs": queries.open_jobs(session),
        "stopped": queries.stopped_jobs(session),
    }
    return render(request, "operations/system.html", context, block="live")


# --- one job ------------------------------------------------------------------------------------


@router.get("/jobs/{job_id}", name="job")
def job(request: Request, session: SessionDep, actor: Admin, job_id: RowId) -> Response:
    shown = queries.shown_job(session, job_id)
    log = events.events(session, EventFilter(job_id=job_id), JOB_LOG_LENGTH)
    later = queries.retry_of(session, job_id)
    context = {
        "shown": shown,
        "is_open": is_open(shown.job),
        "may_stop": may_stop(shown.job),
        "may_retry": may_retry(shown.job) and later is None,
        "later": later,
        "import_id": queries.import_of(session, job_id),
        "unserved": shown.job.queue in {queue.queue for queue in unserved(queries.queue_states(session))},
        "entries": [(entry, sentence(entry)) for entry in log],
    }
    return render(request, "operations/job.html", context, block="live")


@router.post("/jobs/{job_id}/stop", name="job_cancel")
def stop(request: Request, session: SessionDep, actor: Admin, job_id: RowId) -> Response:
    actions.stop(session, actor, job_id)
    of_stage = queries.shown_job(session, job_id).job.kind == "prefilter"
    paused = " Its stage is paused until you let it go on." if of_stage else ""
    return to_job(request, job_id, f"Job {job_id} stops at its next step. What is done stays.{paused}")


@router.post("/jobs/{job_id}/retry", name="job_retry")
def retry(request: Request, session: SessionDep, actor: Admin, job_id: RowId) -> Response:
    again = actions.retry(session, actor, job_id)
    return to_job(request, again.id, f"Job {again.id} goes on where job {job_id} stopped.")


def to_job(request: Request, job_id: int, text: Any) -> Response:
    response = redirect(request, request.url_for("job", job_id=job_id).path)
    flash(request, response, text)
    return response
