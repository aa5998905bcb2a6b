"""Training: the list of runs, launching one, one run live, and runs side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse, StreamingResponse

from app.errors import Invalid, NotFound
from app.training import actions, comparing, folders, pages, queries
from app.training.forms import MoreForm, RunForm, TidyForm
from app.training.policies import curve_of_epochs
from app.web.deps import Admin, FormDep, RowId, RowNumber, SessionDep, parse
from app.web.filters import bytes_size
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()

Runs = Annotated[list[Annotated[int, Query(ge=1, le=2**63 - 1)]] | None, Query()]
After = Annotated[int, Query(ge=-1, le=2**62)]


@router.get("/runs", name="runs")
def runs(request: Request, session: SessionDep, actor: Admin, before: RowNumber = None) -> Response:
    return render(request, "training/runs.html", pages.listed(session, before), block="live")


@router.post("/runs", name="run_launch")
def launch(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(RunForm, form)
        made = actions.launch(session, actor, sent.new(), confirmed=sent.confirmed)
    except Invalid as error:
        context = pages.form(session, dict(form), error)
        return render(request, "training/run_new.html", context, status=422)
    if len(made) > 1:
        ids = "&".join(f"run={run.id}" for run in made)
        return redirect(request, f"{request.url_for('runs_compare').path}?{ids}")
    return to_run(request, made[0].id)


@router.post("/runs/practice", name="run_practice")
def practise(request: Request, session: SessionDep, actor: Admin) -> Response:
    return to_run(request, actions.practise(session, actor).id)


@router.get("/runs/new", name="run_new")
def new(request: Request, session: SessionDep, actor: Admin) -> Response:
    """The form, and what to expect of a run as it is filled in: htmx takes that part alone when a field changes."""
    values, is_typed = pages.start_values(session, request.query_params)
    block = "expect" if is_typed else "form"
    return render(request, "training/run_new.html", pages.form(session, values), block=block)


@router.get("/runs/compare", name="runs_compare")
def compare(
    request: Request, session: SessionDep, actor: Admin, run: Runs = None, every: Annotated[bool, Query()] = False
) -> Response:
    context = pages.side_by_side(session, run or [], every=every)
    return render(request, "training/compare.html", context)


@router.get("/runs/compare.csv", name="runs_compare_csv")
def compare_csv(request: Request, session: SessionDep, actor: Admin, run: Runs = None) -> Response:
    found = pages.compared(session, run or [])
    headers = {"Content-Disposition": 'attachment; filename="runs.csv"'}
    return Response(comparing.as_csv(found), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/runs/{run_id}", name="run")
def run(
    request: Request,
    session: SessionDep,
    actor: Admin,
    run_id: RowId,
    cancel: Annotated[bool, Query()] = False,
) -> Response:
    """One run; with `cancel`, what that would lose, and the button that does it."""
    context = pages.one(session, run_id) | {"cancel": cancel}
    return render(request, "training/run.html", context, block="live")


@router.get("/runs/{run_id}/curves", name="run_curves")
def curves(
    request: Request, session: SessionDep, actor: Admin, run_id: RowId, after: After = -1, written: str = ""
) -> Response:
    """All validated epochs, and the steps behind `after`, as JSON. They begin anew where that step, as it was
    `written`, was done again since: the reader keeps its own steps up to the `after` of the answer.
    """
    shown = queries.shown(session, run_id)
    epochs = queries.epochs(session, [run_id])[run_id]
    last = queries.last_step(session, shown.run)
    after = after if queries.is_written(session, run_id, after, written) else -1
    answer: dict[str, Any] = {
        "open": shown.is_open,
        "after": after,
        "written": last.at.isoformat() if last else "",
        "steps_per_epoch": shown.steps_per_epoch,
        "steps": queries.curves(session, shown.run, after),
        "epochs": curve_of_epochs([(row.epoch, row.metrics) for row in epochs], shown.steps_per_epoch),
    }
    return JSONResponse(answer)


@router.get("/runs/{run_id}/log", name="run_log")
def log(request: Request, session: SessionDep, actor: Admin, run_id: RowId) -> Response:
    """The whole log as plain text, as long as it is now."""
    queries.shown(session, run_id)
    path = folders.log_of(run_id)
    if path is None:
        raise NotFound(f"Run {run_id} has no log yet.", "It begins when the trainer starts.")
    return StreamingResponse(folders.pieces(path), media_type="text/plain; charset=utf-8")


@router.post("/runs/{run_id}/cancel", name="run_cancel")
def cancel(request: Request, session: SessionDep, actor: Admin, run_id: RowId) -> Response:
    actions.cancel(session, actor, run_id)
    return to_run(request, run_id, "The run stops within seconds. Finished epochs are kept.")


@router.post("/runs/{run_id}/resume", name="run_resume")
def resume(request: Request, session: SessionDep, actor: Admin, run_id: RowId) -> Response:
    actions.resume(session, actor, run_id)
    return to_run(request, run_id, "The run goes on from its last finished epoch.")


@router.post("/runs/{run_id}/keep", name="run_keep_best")
def keep_best(request: Request, session: SessionDep, actor: Admin, run_id: RowId) -> Response:
    actions.keep_best(session, actor, run_id)
    return to_run(request, run_id, "A worker makes a model of the best epoch and measures it.")


@router.post("/runs/{run_id}/more", name="run_go_on")
def go_on(request: Request, session: SessionDep, actor: Admin, form: FormDep, run_id: RowId) -> Response:
    try:
        made = actions.go_on(session, actor, run_id, parse(MoreForm, form).more)
    except Invalid as error:
        context = pages.one(session, run_id) | {"error": error}
        return render(request, "training/run.html", context, status=422)
    return to_run(request, made.id)


@router.post("/runs/{run_id}/tidy", name="run_tidy")
def tidy(request: Request, session: SessionDep, actor: Admin, form: FormDep, run_id: RowId) -> Response:
    try:
        freed = actions.tidy(session, actor, run_id, parse(TidyForm, form).confirm)
    except Invalid as error:
        context = pages.one(session, run_id) | {"error": error}
        return render(request, "training/run.html", context, status=422)
    return to_run(request, run_id, f"{bytes_size(freed)} came free. The model stays.")


def to_run(request: Request, run_id: int, text: str = "") -> Response:
    response = redirect(request, request.url_for("run", run_id=run_id).path)
    if text:
        flash(request, response, text)
    return response
