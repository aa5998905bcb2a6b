"""The matrix of evaluations, what is missing of it, one evaluation's page, and the report."""

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.responses import FileResponse

from app import presence
from app.config import settings
from app.errors import Invalid, NotFound
from app.evaluation import (
    actions,
    catalogue,
    folders,
    literature,
    matrix,
    metrics,
    planning,
    plots,
    queries,
    reports,
    shown,
)
from app.evaluation.forms import DeleteForm, GapsForm, MatrixChoice, WishForm, as_form
from app.evaluation.policies import ABOUT, KS, PRESETS, SEEN, TITLES, UNTESTED, Task
from app.evaluation.set_routes import attached, csv_of
from app.jobs import request_cancel
from app.tables import Evaluation
from app.web.deps import Admin, DataReader, FormDep, RowId, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()
SVG = "image/svg+xml"


def choice(request: Request) -> MatrixChoice:
    """What the query asks for; what it can't mean is left out."""
    form = as_form(request.query_params)
    try:
        return parse(MatrixChoice, form)
    except Invalid as wrong:
        kept = [(name, value) for name, value in form.multi_items() if name not in wrong.fields]
        return parse(MatrixChoice, FormData(kept))


@router.get("/evaluation", name="evaluation")
def evaluation_matrix(request: Request, session: SessionDep, actor: DataReader) -> Response:
    asked = choice(request)
    table = table_of(session, asked)
    tables = {one.set_id for one in table.columns}
    layouts = {one.layout for one in queries.ready_sets(session) if one.id in tables}
    gaps = planning.gaps(session, table)
    context = {
        "table": table,
        "asked": asked,
        "tasks": TITLES,
        "metrics": metrics.known(asked.task, queries.ks(session, asked.task)),
        "m": metrics,
        "gaps": gaps,
        "licences": planning.licences(gaps),
        "layouts": catalogue.sets(),
        "literature": literature.of(asked.task, layouts),
        "unknown": literature.UNKNOWN,
        "untested": UNTESTED,
        "sets": len(queries.sets(session)),
        "roots": settings().evaluation_roots,
        "is_live": any(cell and cell.is_open for row in table.rows for cell in row.cells),
    }
    return render(request, "evaluation/matrix.html", context, block="live")


def table_of(session: Session, asked: MatrixChoice) -> matrix.Matrix:
    """The table that was asked for, under its task's usual metric where the one named is none of the task's."""
    ks, baseline = queries.ks(session, asked.task), asked.baseline or None
    metric = asked.metric if asked.metric in metrics.known(asked.task, ks) else metrics.usual(asked.task, ks)
    found = queries.measured(session, asked.task, metric, baseline)
    every, sets = asked.protocols == "all", queries.set_rows(session)
    return matrix.build(asked.task, metric, found, baseline, all_protocols=every, sets=sets)


@router.post("/evaluation/gaps", name="evaluation_gaps")
def fill(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    """Starts what the table lacks: all of it, or the one place that the button stands in."""
    sent, asked = parse(GapsForm, form), parse(MatrixChoice, form)
    only = (sent.model, sent.column) if sent.model else None
    made = actions.fill(session, actor, table_of(session, asked), only, sent.confirmed)
    return started(request, made)


@router.get("/evaluation/new", name="evaluation_new")
def new(request: Request, session: SessionDep, actor: Admin) -> Response:
    return wish_page(request, session, as_form(request.query_params))


@router.post("/evaluation/new", name="evaluation_launch")
def launch(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(WishForm, form)
        made = actions.launch(session, actor, sent.wish(), confirmed=sent.confirmed)
    except Invalid as error:
        return wish_page(request, session, form, error)
    return started(request, made)


def started(request: Request, made: Sequence[Evaluation]) -> Response:
    one = len(made) == 1
    path = request.url_for("evaluation").path + f"?task={made[0].task.value}"
    if one:
        path = request.url_for("evaluation_page", evaluation_id=made[0].id).path
    response = redirect(request, path)
    flash(request, response, f"{len(made)} evaluation{'' if one else 's'} started.")
    return response


def wish_page(request: Request, session: Session, form: FormData, error: Invalid | None = None) -> Response:
    """The form with what was ticked and typed, and what that would start, as far as it can be said."""
    refused, typed = error, {}
    try:
        wish = parse(WishForm, form)
    except Invalid as wrong:
        refused = refused or wrong
        typed = {name: str(form[name]) for name in wrong.fields if name in form}
        wish = parse(WishForm, FormData([(name, value) for name, value in form.multi_items() if name not in typed]))
    planned = planning.plan(session, wish.wish())
    ready = queries.ready_sets(session)
    context = {
        "wish": wish,
        "typed": typed,
        "planned": planned,
        "gaps": [one for one in planned if one.is_gap],
        "licences": planning.licences([one for one in planned if one.is_gap]),
        "models": queries.models(session),
        "sets": ready,
        "snapshots": queries.snapshots(session),
        "variants": sorted({name for one in ready for name in one.report.get("variants", {})}),
        "tasks": TITLES,
        "about": ABOUT,
        "presets": PRESETS,
        "ks": KS,
        "served": presence.served_queues(session),
        "error": refused,
        "errors": refused.fields if refused else {},
    }
    return render(request, "evaluation/new.html", context, block="plan", status=422 if error else 200)


# --- the report ---------------------------------------------------------------------------------


@router.get("/evaluation/report", name="evaluation_report")
def report(request: Request, session: SessionDep, actor: DataReader) -> Response:
    asked = choice(request)
    task = asked.task if "task" in asked.model_fields_set else None
    context = {
        "report": report_of(request, session),
        "asked": asked,
        "caption": plots.caption,
        "task": task,
        "metrics": metrics.known(task, queries.ks(session, task)) if task else [],
        "m": metrics,
        "titles": TITLES,
        "unknown": literature.UNKNOWN,
        "query": request.url.query,
    }
    return render(request, "evaluation/report.html", context)


@router.get("/evaluation/report.csv", name="evaluation_report_csv")
def report_csv(request: Request, session: SessionDep, actor: DataReader) -> Response:
    made = report_of(request, session)
    return csv_of("evaluation-report.csv", reports.HEADER, reports.rows(made))


@router.get("/evaluation/report.tex", name="evaluation_report_tex")
def report_tex(request: Request, session: SessionDep, actor: DataReader) -> Response:
    made = reports.latex(report_of(request, session))
    return attached("evaluation-report.tex", made, "application/x-tex; charset=utf-8")


@router.get("/evaluation/report.svg", name="evaluation_report_svg")
def report_svg(request: Request, session: SessionDep, actor: DataReader) -> Response:
    """The figure of one table of the report."""
    asked = choice(request)
    return attached(f"{asked.task.value}.svg", plots.points(table_of(session, asked)), SVG)


def report_of(request: Request, session: Session) -> reports.Report:
    """Every task that has figures, each under its usual metric, or the one that was asked for."""
    asked = choice(request)
    found = queries.all_finished(session)
    there = {one.row.task for one in found}
    wanted: Sequence[Task] = [task for task in Task if task in there]
    if "task" in asked.model_fields_set:
        wanted = [task for task in wanted if task is asked.task]
    tables = [table_of(session, replace_task(asked, task)) for task in wanted]
    return reports.make(tables, found)


def replace_task(asked: MatrixChoice, task: Task) -> MatrixChoice:
    return asked if asked.task is task else asked.model_copy(update={"task": task, "metric": ""})


# --- one evaluation -----------------------------------------------------------------------------


@router.get("/evaluation/{evaluation_id}", name="evaluation_page")
def evaluation_page(request: Request, session: SessionDep, actor: DataReader, evaluation_id: RowId) -> Response:
    return one_page(request, session, evaluation_id)


def one_page(request: Request, session: Session, evaluation_id: int, error: Invalid | None = None) -> Response:
    found = queries.evaluation(session, evaluation_id)
    job, of = found.job, found.set
    context = {
        "found": found,
        "row": found.row,
        "figures": found.row.metrics,
        "ordered": metrics.in_order(found.row.task, found.row.metrics.get("figures", {})),
        "headline": shown.headline(found.row.task, found.row.metrics),
        "examples": shown.examples(session, found),
        "seen": SEEN,
        "has_thumbs": found.set is not None and found.row.settings["items"] == found.set.items_sha256,
        "known": catalogue.known(of.layout) if of else None,
        "marks": catalogue.marks(of.layout, of.report, found.row.settings["variant"]) if of else (),
        "safe": catalogue.leak_safe(of.layout, of.report) if of else [],
        "command": shown.command_of(found),
        "m": metrics,
        "unserved": job.queue.value if job and job.queue not in presence.served_queues(session) else "",
        "error": error,
    }
    block, status = (None, 422) if error else ("live", 200)
    return render(request, "evaluation/evaluation.html", context, block=block, status=status)


@router.post("/evaluation/{evaluation_id}/cancel", name="evaluation_cancel")
def cancel(request: Request, session: SessionDep, actor: Admin, evaluation_id: RowId) -> Response:
    found = queries.evaluation(session, evaluation_id)
    stops = found.job is not None and request_cancel(session, found.job.id, actor.user_id)
    return back(
        request, evaluation_id, "It stops; the features made so far are kept." if stops else "It was over already."
    )


@router.post("/evaluation/{evaluation_id}/again", name="evaluation_again")
def again(request: Request, session: SessionDep, actor: Admin, evaluation_id: RowId) -> Response:
    actions.again(session, actor, evaluation_id)
    return back(request, evaluation_id, "It goes on with what was done.")


@router.post("/evaluation/{evaluation_id}/delete", name="evaluation_delete")
def delete(request: Request, session: SessionDep, actor: Admin, form: FormDep, evaluation_id: RowId) -> Response:
    try:
        actions.delete(session, actor, evaluation_id, parse(DeleteForm, form).confirm)
    except Invalid as error:
        return one_page(request, session, evaluation_id, error)
    response = redirect(request, request.url_for("evaluation").path)
    flash(request, response, f"Evaluation {evaluation_id} is deleted.")
    return response


def back(request: Request, evaluation_id: int, said: str) -> Response:
    response = redirect(request, request.url_for("evaluation_page", evaluation_id=evaluation_id).path)
    flash(request, response, said)
    return response


@router.get("/evaluation/{evaluation_id}/passport", name="evaluation_passport")
def passport(request: Request, session: SessionDep, actor: DataReader, evaluation_id: RowId) -> Response:
    found = queries.finished(session, evaluation_id)
    name = f"evaluation-{evaluation_id}.passport.json.gz"
    headers = {"ETag": f'"{found.row.passport_sha256}"'}
    return download(folders.passport_file(evaluation_id), name, "application/gzip", headers)


@router.get("/evaluation/{evaluation_id}/predictions", name="evaluation_predictions")
def predictions(request: Request, session: SessionDep, actor: DataReader, evaluation_id: RowId) -> Response:
    """Every prediction with its scores, as Parquet."""
    queries.finished(session, evaluation_id)
    name = f"evaluation-{evaluation_id}.parquet"
    return download(folders.predictions_file(evaluation_id), name, "application/vnd.apache.parquet")


@router.get("/evaluation/{evaluation_id}/plots/{name}", name="evaluation_plot")
def plot(request: Request, session: SessionDep, actor: DataReader, evaluation_id: RowId, name: str) -> Response:
    found = queries.finished(session, evaluation_id)
    metric, draw = plots.PLOTS.get(name, ("", None))
    if draw is None or not found.row.metrics.get(metric):
        raise NotFound(f"Evaluation {evaluation_id} has no figure {name}.")
    return attached(f"evaluation-{evaluation_id}-{name}", draw(found), SVG)


def download(path: Path, name: str, kind: str, headers: dict[str, str] | None = None) -> Response:
    if not path.is_file():
        raise NotFound(f"{path.name} is not there any more.", "Evaluate again.")
    kept = {"Cache-Control": "private, no-cache"} | (headers or {})
    return FileResponse(path, filename=name, media_type=kind, headers=kept)


@router.get("/evaluation/{evaluation_id}/items.csv", name="evaluation_items")
def items(request: Request, session: SessionDep, actor: DataReader, evaluation_id: RowId) -> Response:
    """Every item that was used, with what was said of it, and every one that was skipped, with why."""
    found = queries.finished(session, evaluation_id)
    return csv_of(f"evaluation-{evaluation_id}-items.csv", shown.ITEM_COLUMNS, shown.items(found))
