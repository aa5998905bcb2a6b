"""The pre-filter: the stages with their counts, one stage's threshold with its preview, running again."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app import presence
from app.curation import orders
from app.errors import Invalid, NotFound
from app.prefilter import actions, audit, evidence, queries, stages
from app.prefilter.forms import AuditForm, FunnelForm, OrderForm, PreviewForm, ThresholdForm
from app.prefilter.presets import presets_of
from app.web.deps import Admin, FormDep, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/prefilter", name="prefilter")
def prefilter(request: Request, session: SessionDep, actor: Admin) -> Response:
    try:
        wanted = parse(FunnelForm, request.query_params)  # type: ignore[arg-type]  # it reads like a form
    except Invalid:
        wanted = FunnelForm()
    return stages_page(request, session, wanted)


def stages_page(
    request: Request, session: Any, wanted: FunnelForm, error: Invalid | None = None, status: int = 200
) -> Response:
    where = queries.came_from(wanted.source, wanted.import_id)
    total, funnel = queries.funnel(session, where)
    context = {
        "wanted": wanted,
        "sources": queries.sources(session),
        "imports": queries.recent_imports(session),
        "weeks": evidence.weeks(session, where),
        "effects": evidence.effects(session),
        "audit": evidence.audit_settings(session),
        "audits": evidence.audit_counts(session),
        "orders": orders.ORDERS,
        "order": orders.in_force(session),
        "errors": error.fields if error else {},
        "total": total,
        "funnel": funnel,
        "running": queries.open_jobs(session),
        "served": presence.served_queues(session),
        "classifier": queries.classifier_facts(session),
        "encoder": queries.encoder_in_use(session),
    }
    return render(request, "prefilter/stages.html", context, block="live", status=status)


@router.post("/prefilter/audit", name="prefilter_audit")
def change_audit(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(AuditForm, form)
        audit.set_audit(session, actor, sent.share / 100, sent.bound / 100)
    except Invalid as error:
        return stages_page(request, session, FunnelForm(), error, status=422)
    return back(request, f"{sent.share:g} % of what is filtered out goes to reviewers, blind.")


@router.post("/prefilter/order", name="prefilter_order")
def change_order(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(OrderForm, form)
        orders.choose(session, actor, sent.order)
    except Invalid as error:
        return stages_page(request, session, FunnelForm(), error, status=422)
    return back(request, f"{orders.ORDERS[sent.order].title}: the queue is put in this order now.")


@router.post("/prefilter/again", name="prefilter_again")
def run_everything_again(request: Request, session: SessionDep, actor: Admin) -> Response:
    actions.run_again(session, actor, None, None)
    return back(request, "Every candidate that nobody decided goes through the stages again.")


@router.get("/prefilter/{stage}", name="stage")
def stage(request: Request, session: SessionDep, actor: Admin, stage: str) -> Response:
    try:
        wanted = parse(PreviewForm, request.query_params)  # type: ignore[arg-type]  # it reads like a form
    except Invalid as error:
        return stage_page(request, session, stage, None, error, status=422)
    return stage_page(request, session, stage, wanted.threshold)


def stage_page(
    request: Request,
    session: Any,
    name: str,
    threshold: float | None,
    error: Invalid | None = None,
    status: int = 200,
) -> Response:
    """One stage; with a `threshold`, what it would do. Nothing changes until it is applied."""
    if name not in stages.BY_NAME:
        raise NotFound(f"There is no stage {name[:40]}.")
    row = queries.stage_row(session, name)
    wanted = row.threshold if threshold is None else threshold
    context: dict[str, Any] = {
        "stage": stages.BY_NAME[name],
        "row": row,
        "wanted": wanted,
        "error": error,
        "typed": request.query_params.get("threshold", "") if error else wanted,
        "preview": None,
        "not_run": evidence.not_run(session, name),
        "presets": presets_of(name),
        "languages": queries.language_choices(session) if name == "language" else [],
    }
    if wanted is not None and stages.BY_NAME[name].has_threshold:
        context |= {
            "preview": evidence.preview(session, name, wanted),
            "above": queries.edge(session, name, wanted, above=True),
            "below": queries.edge(session, name, wanted, above=False),
            "proof": evidence.proof(session, name, wanted, row.threshold or 0.0),
            "changes": evidence.changes(session, name),
        }
    return render(request, "prefilter/stage.html", context, block="preview", status=status)


@router.post("/prefilter/{stage}/threshold", name="stage_threshold")
def apply_threshold(request: Request, session: SessionDep, actor: Admin, form: FormDep, stage: str) -> Response:
    try:
        sent = parse(ThresholdForm, form)
        actions.set_threshold(session, actor, stage, sent.threshold, sent.expected)
    except Invalid as error:
        return stage_page(request, session, stage, None, error, status=422)
    return back(request, f"The threshold of {stages.BY_NAME[stage].title} is {sent.threshold:g} now; candidates move.")


@router.post("/prefilter/{stage}/resume", name="stage_resume")
def resume_stage(request: Request, session: SessionDep, actor: Admin, stage: str) -> Response:
    actions.pause(session, actor, stage, paused=False)
    return back(request, f"{stages.BY_NAME[stage].title} goes on.")


@router.post("/prefilter/{stage}/again", name="stage_again")
def run_stage_again(request: Request, session: SessionDep, actor: Admin, stage: str) -> Response:
    actions.run_again(session, actor, stage, None)
    return back(request, f"{stages.BY_NAME[stage].title} runs again on all that reached it and nobody decided.")


def back(request: Request, text: str) -> Response:
    response = redirect(request, request.url_for("prefilter").path)
    flash(request, response, text)
    return response
