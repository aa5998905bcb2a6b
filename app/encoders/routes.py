"""Models: what there is, adding one, and one model's page with what can be done with it."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app import presence
from app.config import settings
from app.encoders import actions, downloads, queries
from app.encoders.forms import DeleteForm, RegisterForm, UseForm
from app.encoders.policies import INDEX_FROM, INDEXABLE_WIDTH, REACH, no_download, origin, snippet
from app.errors import Conflict, Invalid
from app.operations.sentences import job_label
from app.prefilter.stages import STAGES
from app.training.settings import title_of
from app.web.deps import Admin, DataReader, FormDep, RowId, SessionDep, parse
from app.web.downloads import tar_response
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/models", name="models")
def models(request: Request, session: SessionDep, actor: DataReader) -> Response:
    return list_page(request, session)


@router.post("/models", name="model_register")
def register(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(RegisterForm, form)
        actions.register(session, actor, sent.new(), confirmed=sent.confirmed)
    except Invalid as error:
        return list_page(request, session, error, dict(form), status=422)
    return back(request, "A worker loads the model and looks whether it is what it should be.")


@router.get("/models/{encoder_id}", name="model")
def model(request: Request, session: SessionDep, actor: DataReader, encoder_id: RowId) -> Response:
    return model_page(request, session, encoder_id)


@router.post("/models/{encoder_id}/use", name="model_use")
def use(request: Request, session: SessionDep, actor: Admin, form: FormDep, encoder_id: RowId) -> Response:
    try:
        actions.use(session, actor, encoder_id, confirmed=parse(UseForm, form).confirmed)
    except Invalid as error:
        return model_page(request, session, encoder_id, error, status=422)
    return back(request, "Images are embedded under it now; the one in use stays until all are done.", encoder_id)


@router.post("/models/{encoder_id}/index", name="model_index")
def index(request: Request, session: SessionDep, actor: Admin, encoder_id: RowId) -> Response:
    actions.build_index(session, actor, encoder_id)
    return back(request, "The index is built beside all other work.", encoder_id)


@router.post("/models/{encoder_id}/package", name="model_package")
def package(request: Request, session: SessionDep, actor: Admin, encoder_id: RowId) -> Response:
    actions.prepare(session, actor, encoder_id)
    return back(request, "A worker writes the files of the download.", encoder_id)


@router.get("/models/{encoder_id}/download", name="model_download")
def download(request: Request, session: SessionDep, actor: DataReader, encoder_id: RowId) -> Response:
    """A model's package with its card as one tar. A broken download goes on by Range."""
    one = queries.one_shown(session, encoder_id)
    folder = downloads.folder_of(one.encoder)
    if said := no_download(one.encoder):
        raise Conflict(said)
    if folder is None:
        raise Conflict(f"The download of {one.encoder.name} is not prepared.", "An admin prepares it on its page.")
    tar, digest = downloads.archive_of(folder, one, queries.line(session, encoder_id))
    response = tar_response(request, tar, folder.name, f'"tar-{digest}"')
    if response.status_code < 400:
        actions.note_download(session, actor, one.encoder, is_part=response.status_code == 206)
    return response


@router.post("/models/{encoder_id}/delete", name="model_delete")
def delete(request: Request, session: SessionDep, actor: Admin, form: FormDep, encoder_id: RowId) -> Response:
    try:
        actions.remove(session, actor, encoder_id, parse(DeleteForm, form).confirm)
    except Invalid as error:
        return model_page(request, session, encoder_id, error, status=422)
    return back(request, "The model, its vectors and its index are being deleted.")


def list_page(
    request: Request,
    session: Session,
    error: Invalid | None = None,
    values: dict[str, Any] | None = None,
    status: int = 200,
) -> Response:
    context = _running(session) | {
        "models": queries.shown(session),
        "origin": origin,
        "titles": TITLES,
        "sources": list(actions.SOURCES.items()),
        "models_folder": str(settings().models_path),
        "error": error,
        "errors": error.fields if error else {},
        "values": values or {},
    }
    return render(request, "models/list.html", context, block="live" if status == 200 else None, status=status)


def model_page(
    request: Request, session: Session, encoder_id: int, error: Invalid | None = None, status: int = 200
) -> Response:
    one = queries.one_shown(session, encoder_id)
    folder, steps = downloads.folder_of(one.encoder), queries.line(session, encoder_id)
    context = _running(session, encoder_id) | {
        "one": one,
        "steps": steps,
        "licence": one.encoder.licence or "Unknown",
        "title_of": title_of,
        "images": queries.images(session),
        "origin": origin,
        "titles": TITLES,
        "reach": REACH,
        "index_from": INDEX_FROM,
        "indexable_width": INDEXABLE_WIDTH,
        "no_download": no_download(one.encoder),
        "is_packaged": folder is not None,
        "snippet": snippet(folder.name) if folder else "",
        "errors": error.fields if error else {},
    }
    return render(request, "models/model.html", context, status=status)


TITLES = {stage.name: stage.title for stage in STAGES}


def _running(session: Session, encoder_id: int | None = None) -> dict[str, Any]:
    """The jobs of all models, which their list shows, or of one, which its page shows."""
    return {
        "running": queries.open_jobs(session, encoder_id),
        "failed": queries.failed_jobs(session, encoder_id),
        "served": presence.served_queues(session),
        "job_label": job_label,
    }


def back(request: Request, text: str, encoder_id: int | None = None) -> Response:
    url = request.url_for("model", encoder_id=encoder_id) if encoder_id else request.url_for("models")
    response = redirect(request, url.path)
    flash(request, response, text)
    return response
