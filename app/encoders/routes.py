"""The encoders: what there is, registering one, taking one into use, deleting one."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app import presence
from app.config import settings
from app.encoders import actions, queries
from app.encoders.forms import DeleteForm, RegisterForm, UseForm
from app.encoders.policies import INDEX_FROM, INDEXABLE_WIDTH, REACH
from app.errors import Invalid
from app.operations.sentences import job_label
from app.prefilter.stages import STAGES
from app.web.deps import Admin, FormDep, RowId, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/encoders", name="encoders")
def encoders(request: Request, session: SessionDep, actor: Admin) -> Response:
    return encoders_page(request, session)


@router.post("/encoders", name="encoder_register")
def register(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(RegisterForm, form)
        actions.register(session, actor, sent.new(), confirmed=sent.confirmed)
    except Invalid as error:
        return encoders_page(request, session, error, dict(form), status=422)
    return back(request, "A worker loads the encoder and looks whether it is what it should be.")


@router.post("/encoders/{encoder_id}/use", name="encoder_use")
def use(request: Request, session: SessionDep, actor: Admin, form: FormDep, encoder_id: RowId) -> Response:
    try:
        actions.use(session, actor, encoder_id, confirmed=parse(UseForm, form).confirmed)
    except Invalid as error:
        return encoders_page(request, session, error, about=encoder_id, status=422)
    return back(request, "Images are embedded under it now; the one in use stays until all are done.")


@router.post("/encoders/{encoder_id}/index", name="encoder_index")
def index(request: Request, session: SessionDep, actor: Admin, encoder_id: RowId) -> Response:
    actions.build_index(session, actor, encoder_id)
    return back(request, "The index is built beside all other work.")


@router.post("/encoders/{encoder_id}/delete", name="encoder_delete")
def delete(request: Request, session: SessionDep, actor: Admin, form: FormDep, encoder_id: RowId) -> Response:
    try:
        actions.remove(session, actor, encoder_id, parse(DeleteForm, form).confirm)
    except Invalid as error:
        return encoders_page(request, session, error, about=encoder_id, status=422)
    return back(request, "The encoder, its vectors and its index are being deleted.")


def encoders_page(
    request: Request,
    session: Session,
    error: Invalid | None = None,
    values: dict[str, Any] | None = None,
    about: int | None = None,
    status: int = 200,
) -> Response:
    """All encoders; `about` is the one whose form was refused, None for the form that registers."""
    context = {
        "encoders": queries.shown(session),
        "images": queries.images(session),
        "running": queries.open_jobs(session),
        "failed": queries.last_failed(session),
        "served": presence.served_queues(session),
        "sources": list(actions.SOURCES.items()),
        "job_label": job_label,
        "titles": {stage.name: stage.title for stage in STAGES},
        "models_folder": str(settings().models_path),
        "reach": REACH,
        "index_from": INDEX_FROM,
        "indexable_width": INDEXABLE_WIDTH,
        "error": error,
        "errors": error.fields if error else {},
        "values": values or {},
        "about": about,
    }
    return render(request, "encoders/encoders.html", context, block="live" if status == 200 else None, status=status)


def back(request: Request, text: str) -> Response:
    response = redirect(request, request.url_for("encoders").path)
    flash(request, response, text)
    return response
