"""The candidate list, one candidate, and the pictures themselves."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.candidates import actions, policies, queries
from app.candidates.forms import ListForm, ResolveForm, ViewForm
from app.candidates.links import jump_target
from app.candidates.pages import candidate_page
from app.candidates.tags import tags
from app.candidates.thumbnails import SIDE, thumbnail
from app.curation import actions as curation
from app.curation import queries as curation_queries
from app.curation.crops import read_crop, read_masks
from app.curation.vocabulary import FIELDS
from app.errors import Conflict, Invalid, NotFound, Stale
from app.prefilter import actions as prefilter
from app.prefilter.privacy import counted
from app.prefilter.stages import STAGES
from app.search import facets
from app.search import pages as search
from app.search.queries import MOST
from app.storage import blobs
from app.tables.candidate import CandidateState
from app.tables.review import ReviewKind
from app.web.deps import Admin, Anyone, FormDep, Reviewer, RowId, SessionDep, parse
from app.web.flash import Level, flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()

LIST_LENGTH = 50
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


# --- the list -----------------------------------------------------------------------------------


@router.get("/candidates", name="candidates")
def candidates(request: Request, session: SessionDep, actor: Reviewer) -> Response:
    try:
        wanted = parse(ListForm, request.query_params)  # type: ignore[arg-type]  # it reads like a form
    except Invalid as error:
        return list_page(request, session, actor, ListForm(), error=error, status=422)
    target = jump_target(wanted.q) if wanted.searches else None
    found = queries.jump(session, actor, target) if target is not None else []
    if len(found) == 1:
        return redirect(request, request.url_for("candidate", candidate_id=found[0][0]).path)
    if found:
        return redirect(request, f"{request.url_for('candidates').path}?post={found[0][1]}")
    return list_page(request, session, actor, wanted)


def list_page(
    request: Request,
    session: Session,
    actor: Actor,
    wanted: ListForm,
    *,
    error: Invalid | None = None,
    status: int = 200,
) -> Response:
    sources = queries.sources(session)
    view, views = wanted.view(), queries.saved_views(session, actor)
    context = {
        **(searched if wanted.searches else listed)(session, actor, wanted),
        "wanted": wanted,
        "states": list(CandidateState),
        "counts": queries.counts(session, actor),
        "sources": sources,
        "stages": STAGES,
        "score_of": next((s.title for s in STAGES if s.name == (wanted.stage or "domain")), ""),
        "tags": tags(wanted, {source.id: source.name for source in sources}),
        "facets": facets.facets(session),
        "facet_count": facets.shown,
        "most": MOST,
        "view": view,
        "views": views,
        "saved": next((kept for kept in views if kept.query == view.query()), None),
        "may_save": narrows(view),
        "any_of": search.any_of(wanted.q),
        "vocabulary": FIELDS,
        "errors": error.fields if error else {},
    }
    return render(request, "candidates/candidates.html", context, block="results", status=status)


def searched(session: Session, actor: Actor, wanted: ListForm) -> dict[str, Any]:
    """The best that a search finds among what the filters leave."""
    return search.context(search.found(session, actor, wanted), wanted)


def listed(session: Session, actor: Actor, wanted: ListForm) -> dict[str, Any]:
    """The newest that the filters leave."""
    rows = queries.listed(session, actor, wanted.filter(), LIST_LENGTH + 1)
    shown = rows[:LIST_LENGTH]
    older = wanted.query(before=shown[-1].id) if len(rows) > LIST_LENGTH else None
    return {"rows": shown, "next_url": f"?{older}" if older else None, "search": None, "unserved": ""}


@router.post("/candidates/rerun", name="candidates_rerun")
def rerun_listed(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    """Sends all candidates of the filter through the stages again."""
    wanted = parse(ListForm, form)
    ids = queries.matching(session, actor, wanted.filter())
    job = prefilter.run_again(session, actor, stage=None, candidate_ids=ids)
    response = redirect(request, request.url_for("job", job_id=job.id).path)
    flash(request, response, "The undecided of these candidates go through the stages again.")
    return response


# --- views --------------------------------------------------------------------------------------


def narrows(view: ListForm) -> bool:
    return view.searches or bool(tags(view, {}))


@router.post("/candidates/views", name="view_save")
def save_view(request: Request, session: SessionDep, actor: Reviewer, form: FormDep) -> Response:
    view, name = parse(ListForm, form).view(), parse(ViewForm, form).name
    if not narrows(view):
        raise Invalid(
            "This is the whole list; there is nothing to keep of it.", "Search, or set a filter, and save that."
        )
    try:
        actions.save_view(session, actor, name, view.query())
    except Conflict as error:
        return to_list(request, view, f"{error.message} {error.what_next}", "bad")
    return to_list(request, view, f"“{name}” is saved.")


@router.post("/candidates/views/{view_id}/delete", name="view_delete")
def delete_view(request: Request, session: SessionDep, actor: Reviewer, form: FormDep, view_id: RowId) -> Response:
    """Shows on what the view showed, so that it can be saved again."""
    view = parse(ListForm, form).view()
    name = actions.delete_view(session, actor, view_id)
    return to_list(request, view, f"The view “{name}” is deleted. What it showed is still here and can be saved again.")


def to_list(request: Request, view: ListForm, text: str, level: Level = "ok") -> Response:
    response = redirect(request, f"{request.url_for('candidates').path}?{view.query()}")
    flash(request, response, text, level)
    return response


# --- one candidate ------------------------------------------------------------------------------


@router.get("/candidates/{candidate_id}", name="candidate")
def candidate(request: Request, session: SessionDep, actor: Reviewer, candidate_id: RowId) -> Response:
    return one_page(request, session, actor, candidate_id)


def one_page(
    request: Request,
    session: Session,
    actor: Actor,
    candidate_id: int,
    *,
    error: Invalid | None = None,
    values: dict[str, Any] | None = None,
    status: int = 200,
) -> Response:
    page = candidate_page(session, actor, candidate_id)
    state = page.shown.candidate.state
    context = {
        "page": page,
        "vocabulary": FIELDS,
        "reasons": curation_queries.reasons(session),
        "may_requeue": actor.is_admin and policies.may_requeue(state, page.withheld),
        "held_for": counted,
        "may_run_again": actor.is_admin and policies.may_run_again(state),
        "may_resolve": actor.is_admin and policies.may_resolve(state),
        "errors": error.fields if error else {},
        "values": values or {**page.to_resolve, "caption": page.shown.offered, "note": "", "reason": []},
    }
    return render(request, "candidates/candidate.html", context, status=status)


@router.post("/candidates/{candidate_id}/requeue", name="candidate_requeue")
def requeue(request: Request, session: SessionDep, actor: Admin, candidate_id: RowId) -> Response:
    queries.readable(session, actor, candidate_id)
    curation.requeue(session, actor, candidate_id)
    return back(request, candidate_id, f"C-{candidate_id} waits for review again, in a new round.")


@router.post("/candidates/{candidate_id}/rerun", name="candidate_rerun")
def rerun(request: Request, session: SessionDep, actor: Admin, candidate_id: RowId) -> Response:
    state = queries.readable(session, actor, candidate_id).state
    if not policies.may_run_again(state):
        raise Conflict(
            f"C-{candidate_id} is {state.value.replace('_', ' ')}; its stages don't run again.",
            "Send it back to the queue first.",
        )
    prefilter.run_again(session, actor, stage=None, candidate_ids=[candidate_id])
    return back(request, candidate_id, f"The stages look at C-{candidate_id} again.")


@router.post("/candidates/{candidate_id}/resolve", name="candidate_resolve")
def resolve(request: Request, session: SessionDep, actor: Admin, form: FormDep, candidate_id: RowId) -> Response:
    queries.readable(session, actor, candidate_id)
    try:
        sent = parse(ResolveForm, form)
        curation.resolve(session, actor, decision(session, candidate_id, sent))
    except Invalid as error:
        values = {"caption": "", "note": "", **form, "reason": form.getlist("reason")}
        return one_page(request, session, actor, candidate_id, error=error, values=values, status=422)
    word = {"accept": "accepted", "reject": "rejected"}[sent.decision]
    return back(request, candidate_id, f"C-{candidate_id} is {word}.")


def decision(session: Session, candidate_id: int, sent: ResolveForm) -> curation.Decision:
    """What an admin decided. Raises Stale when the caption changed, Invalid for an unknown reason."""
    shown = curation_queries.shown(session, candidate_id)
    if shown is None or shown.candidate.caption_version != sent.caption_version:
        raise Stale(f"The caption of C-{candidate_id} changed meanwhile.", "Load the page and decide again.")
    if not set(sent.reason) <= {reason.code for reason in curation_queries.reasons(session)}:
        raise Invalid("Choose a reason of the list.", fields={"reasons": "Choose a reason of the list."})
    return curation.Decision(
        candidate_id=candidate_id,
        token=uuid4(),
        caption_version=sent.caption_version,
        submission_id=sent.submission_id,
        kind=ReviewKind(sent.decision),
        caption=sent.caption,
        reasons=sent.reason if sent.decision == "reject" else (),
        fields=sent.chosen(),
        diagnosis=sent.diagnosis,
        note=sent.note,
        crop=read_crop(sent.crop) if sent.crop else None,
        masks=None if sent.masks is None else read_masks(sent.masks),
    )


def back(request: Request, candidate_id: int, text: str) -> Response:
    response = redirect(request, request.url_for("candidate", candidate_id=candidate_id).path)
    flash(request, response, text)
    return response


# --- pictures -----------------------------------------------------------------------------------


@router.get("/images/{sha256}.jpg", name="image")
def image(request: Request, session: SessionDep, actor: Anyone, sha256: Sha256) -> Response:
    queries.require_image(session, actor, sha256)
    return picture(request, sha256, lambda: blobs().get(sha256))


@router.get("/thumbs/{sha256}.jpg", name="thumb")
def thumb(request: Request, session: SessionDep, actor: Anyone, sha256: Sha256) -> Response:
    queries.require_image(session, actor, sha256)
    return picture(request, f"{sha256}-{SIDE}", lambda: thumbnail(sha256))


def picture(request: Request, tag: str, read: Callable[[], bytes]) -> Response:
    """A JPEG that never changes under its name; the browser's own copy is as good."""
    etag = f'"{tag}"'
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        return Response(read(), media_type="image/jpeg", headers=headers)
    except FileNotFoundError:
        raise NotFound(
            "The file of this picture is missing.", "Tell an admin; `ipath doctor` checks the storage."
        ) from None
