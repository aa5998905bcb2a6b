"""Evaluation sets and how their classes are worded: register, look, go on; read, edit, compare."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.responses import FileResponse

from app import presence
from app.config import settings
from app.errors import Invalid, NotFound
from app.evaluation import actions, catalogue, folders, queries, wordings
from app.evaluation.forms import SetForm, WordingForm, lines, names
from app.evaluation.planning import wording_layout
from app.spreadsheets import neutral
from app.tables import ClassPrompts
from app.web import filters
from app.web.deps import Admin, DataReader, FormDep, RowId, RowNumber, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()
SHOWN = 100


@router.get("/evaluation/sets", name="evaluation_sets")
def sets(request: Request, session: SessionDep, actor: DataReader) -> Response:
    return sets_page(request, session)


@router.post("/evaluation/sets", name="evaluation_set_register")
def register(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(SetForm, form)
        made = actions.register_set(session, actor, sent.name, sent.folder, sent.layout)
    except Invalid as error:
        return sets_page(request, session, error, form)
    return redirect(request, request.url_for("evaluation_set", set_id=made.id).path)


def sets_page(
    request: Request, session: Session, error: Invalid | None = None, values: Mapping[str, Any] | None = None
) -> Response:
    found = queries.sets(session)
    context = {
        "sets": found,
        "folders": folders.folders(),
        "roots": settings().evaluation_roots,
        "layouts": catalogue.sets(),
        "is_live": any(one.is_busy for one in found),
        "served": presence.served_queues(session),
        "features_size": folders.features_size,
        "error": error,
        "errors": error.fields if error else {},
        "values": values or {},
    }
    status = 422 if error else 200
    return render(request, "evaluation/sets.html", context, block=None if error else "live", status=status)


@router.post("/evaluation/sets/features/delete", name="evaluation_features_delete")
def delete_features(request: Request, session: SessionDep, actor: Admin) -> Response:
    freed = actions.delete_features(session, actor)
    response = redirect(request, request.url_for("evaluation_sets").path)
    flash(request, response, f"{filters.bytes_size(freed)} of features are deleted. The next evaluation makes its own.")
    return response


@router.get("/evaluation/sets/{set_id}", name="evaluation_set")
def evaluation_set(request: Request, session: SessionDep, actor: DataReader, set_id: RowId) -> Response:
    shown = queries.set_shown(session, set_id)
    row = shown.row
    is_known = row.layout in catalogue.sets()
    context = {
        "shown": shown,
        "set": row,
        "folder": row.folder.partition("/")[2],
        "report": row.report,
        "known": catalogue.known(row.layout) if is_known else None,
        "wordings": queries.wordings(session, wording_layout(row)) if is_known else [],
        "unserved": shown.job.queue.value
        if shown.job and shown.job.queue not in presence.served_queues(session)
        else "",
    }
    return render(request, "evaluation/set.html", context, block="live")


@router.post("/evaluation/sets/{set_id}/go-on", name="evaluation_set_go_on")
def go_on(request: Request, session: SessionDep, actor: Admin, set_id: RowId) -> Response:
    actions.go_on(session, actor, set_id)
    return to_set(request, set_id, "The set can be used; its pages say that its counts differ.")


@router.post("/evaluation/sets/{set_id}/read", name="evaluation_set_read")
def read_again(request: Request, session: SessionDep, actor: Admin, set_id: RowId) -> Response:
    actions.read_again(session, actor, set_id)
    return to_set(request, set_id, "The folder is read again.")


@router.post("/evaluation/sets/{set_id}/delete", name="evaluation_set_delete")
def delete(request: Request, session: SessionDep, actor: Admin, set_id: RowId) -> Response:
    name = actions.delete_set(session, actor, set_id)
    response = redirect(request, request.url_for("evaluation_sets").path)
    flash(request, response, f"{name} is deleted. Its folder is as it was, and can be registered again.")
    return response


def to_set(request: Request, set_id: int, said: str) -> Response:
    response = redirect(request, request.url_for("evaluation_set", set_id=set_id).path)
    flash(request, response, said)
    return response


@router.get("/evaluation/sets/{set_id}/problems.csv", name="evaluation_set_problems")
def problems(request: Request, session: SessionDep, actor: DataReader, set_id: RowId) -> Response:
    """Everything that was skipped, unreadable or missing, by name."""
    row = queries.set_row(session, set_id)
    columns = ("path", "what", "why")
    path = folders.problems_file(row.id, row.items_sha256)
    if not path.is_file():
        raise NotFound(f"{row.name} was not read yet.", "Its page shows how far it is.")
    rows = folders.read_rows(path, columns)
    return csv_of(f"set-{row.id}-problems.csv", columns, ([one[name] for name in columns] for one in rows))


@router.get("/evaluation/sets/{set_id}/items.csv", name="evaluation_set_items")
def items(request: Request, session: SessionDep, actor: DataReader, set_id: RowId) -> Response:
    """Every item of every variant with its label, split and independent unit."""
    row = queries.set_row(session, set_id)
    columns = ("variant", "number", "id", "label", "split", "group")
    rows = folders.read_rows(folders.items_file(row.id, row.items_sha256), columns)
    return csv_of(f"set-{row.id}-items.csv", columns, ([one[name] for name in columns] for one in rows))


def csv_of(name: str, header: Any, rows: Any) -> Response:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([neutral(cell) for cell in row] for row in rows)
    return attached(name, out.getvalue(), "text/csv; charset=utf-8")


def attached(name: str, content: str | bytes, kind: str) -> Response:
    """A file that was made for this answer."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-cache"}
    return Response(content, media_type=kind, headers=headers)


@router.get("/evaluation/sets/{set_id}/thumbs/{item_id}", name="evaluation_thumb")
def thumb(request: Request, session: SessionDep, actor: DataReader, set_id: RowId, item_id: RowId) -> Response:
    """A small JPEG that a worker made of a picture, by the set's and the picture's number."""
    row = queries.set_row(session, set_id)
    path = folders.thumbnail_file(row.id, row.items_sha256, item_id)
    if not path.is_file():
        raise NotFound("There is no small copy of this picture.")
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


# --- wordings -----------------------------------------------------------------------------------


@router.get("/evaluation/wordings/{wording_id}", name="wording")
def wording(
    request: Request, session: SessionDep, actor: DataReader, wording_id: RowId, against: RowNumber = None
) -> Response:
    other = queries.wording(session, against) if against else None
    return wording_page(request, session, queries.wording(session, wording_id), other)


@router.post("/evaluation/wordings/{wording_id}", name="wording_add")
def add_wording(request: Request, session: SessionDep, actor: Admin, form: FormDep, wording_id: RowId) -> Response:
    row = queries.wording(session, wording_id)
    sent = names(form, list(row.names))
    try:
        typed = parse(WordingForm, form)
        made = actions.add_wording(session, actor, row, sent, lines(typed.templates), typed.note)
    except Invalid as error:
        return wording_page(request, session, row, None, error, form)
    response = redirect(request, request.url_for("wording", wording_id=made.id).path)
    flash(request, response, f"Version {made.version} is saved. Evaluations so far keep theirs.")
    return response


def wording_page(
    request: Request,
    session: Session,
    row: ClassPrompts,
    against: ClassPrompts | None,
    error: Invalid | None = None,
    typed: FormData | None = None,
) -> Response:
    context = {
        "wording": row,
        "versions": queries.wordings(session, row.layout),
        "against": against,
        "changes": wordings.changes(against, row) if against else [],
        "prompts": wordings.prompts(row)[:SHOWN],
        "used": queries.used_in(session, row.id),
        "error": error,
        "errors": error.fields if error else {},
        "typed": typed,
    }
    return render(request, "evaluation/wording.html", context, status=422 if error else 200)
