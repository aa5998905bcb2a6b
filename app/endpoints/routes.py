"""The endpoints of language models: what there is, adding, changing, testing and retiring one."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from app import presence
from app.config import settings
from app.endpoints import actions, queries
from app.endpoints.actions import Settings
from app.endpoints.forms import EndpointForm
from app.endpoints.policies import RUNGS
from app.errors import Invalid
from app.web.deps import Admin, FormDep, RowId, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/prefilter/endpoints", name="endpoints")
def endpoints(request: Request, session: SessionDep, actor: Admin) -> Response:
    context = {
        "endpoints": queries.shown(session),
        "failed": queries.failed_test(session),
        "served": presence.served_queues(session),
        "rungs": RUNGS,
    }
    return render(request, "endpoints/endpoints.html", context, block="live")


@router.get("/prefilter/endpoints/new", name="endpoint_new")
def new(request: Request, session: SessionDep, actor: Admin) -> Response:
    return endpoint_page(request, None, asdict(Settings("", "", "")))


@router.post("/prefilter/endpoints", name="endpoint_add")
def add(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        made = actions.add(session, actor, parse(EndpointForm, form).settings())
    except Invalid as error:
        return endpoint_page(request, None, dict(form), error)
    return back(request, f"{made.name} is added. Test it before it is used.")


@router.get("/prefilter/endpoints/{endpoint_id}", name="endpoint")
def endpoint(request: Request, session: SessionDep, actor: Admin, endpoint_id: RowId) -> Response:
    row = queries.endpoint(session, endpoint_id)
    values = {name: getattr(row, name) for name in EndpointForm.model_fields}
    return endpoint_page(request, row.id, values | {name: f"{values[name]:g}" for name in ("price_in", "price_out")})


@router.post("/prefilter/endpoints/{endpoint_id}", name="endpoint_change")
def change(request: Request, session: SessionDep, actor: Admin, form: FormDep, endpoint_id: RowId) -> Response:
    had_key = queries.endpoint(session, endpoint_id).key
    try:
        given = parse(EndpointForm, form).settings()
        row = actions.change(session, actor, endpoint_id, given)
    except Invalid as error:
        return endpoint_page(request, endpoint_id, dict(form), error)
    if given.key and not row.key:
        return back(
            request, f"{row.name} is saved without the key {had_key}: name it again if the new host may have it."
        )
    return back(request, f"{row.name} is saved.")


@router.post("/prefilter/endpoints/{endpoint_id}/test", name="endpoint_test")
def test(request: Request, session: SessionDep, actor: Admin, endpoint_id: RowId) -> Response:
    actions.ask_for_test(session, actor, endpoint_id)
    return redirect(request, request.url_for("endpoints").path)


@router.post("/prefilter/endpoints/{endpoint_id}/retire", name="endpoint_retire")
def retire(request: Request, session: SessionDep, actor: Admin, endpoint_id: RowId) -> Response:
    row = actions.retire(session, actor, endpoint_id, retired=True)
    return back(request, f"{row.name} is retired. What it answered is kept.")


@router.post("/prefilter/endpoints/{endpoint_id}/bring-back", name="endpoint_bring_back")
def bring_back(request: Request, session: SessionDep, actor: Admin, endpoint_id: RowId) -> Response:
    row = actions.retire(session, actor, endpoint_id, retired=False)
    return back(request, f"{row.name} can be chosen again.")


def endpoint_page(
    request: Request, endpoint_id: int | None, values: dict[str, Any], error: Invalid | None = None
) -> Response:
    """The form of one endpoint, or of a new one; filled in again where it was refused."""
    context = {
        "endpoint_id": endpoint_id,
        "values": values,
        "error": error,
        "errors": error.fields if error else {},
        "keys_folder": str(settings().keys_path),
    }
    return render(request, "endpoints/endpoint.html", context, status=422 if error else 200)


def back(request: Request, text: str) -> Response:
    response = redirect(request, request.url_for("endpoints").path)
    flash(request, response, text)
    return response
