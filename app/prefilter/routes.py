"""The pre-filter: the stages with their counts, one stage's threshold with its preview, running again."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app import presence
from app.curation import orders
from app.errors import Invalid, NotFound
from app.prefilter import actions, audit, evidence, funnel, limits, queries, rates, stages
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
    where = funnel.came_from(wanted.source, wanted.import_id)
    total, counts = funnel.funnel(session, where)
    context = {
        "wanted": wanted,
        "sources": funnel.sources(session),
        "imports": funnel.recent_imports(session),
        "weeks": funnel.weeks(session, where),
        "effects": evidence.effects(session, wanted.source, wanted.import_id),
        "audit": evidence.audit_settings(session),
        "audits": evidence.audit_counts(session),
        "orders": orders.ORDERS,
        "order": orders.in_force(session),
        "errors": error.fields if error else {},
        "titles": {name: each.title for name, each in stages.BY_NAME.items()},
        "total": total,
        "funnel": counts,
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
    return back(request, f"{sent.share:g} % of what stages with a line filter out goes to reviewers, blind.")


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
    return stage_page(request, session, stage, wanted.threshold, sizes=wanted.limits)


def stage_page(
    request: Request,
    session: Any,
    name: str,
    threshold: float | None,
    error: Invalid | None = None,
    status: int = 200,
    sizes: limits.Limits | None = None,
    typed: Mapping[str, Any] | None = None,
) -> Response:
    """One stage; with a `threshold` or `sizes`, what it would do. Nothing changes until it is applied.

    `typed` holds what was sent and refused, where the address does not.
    """
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
        "limits": None,
        "languages": queries.language_choices(session) if name == "language" else [],
    }
    if name == "quality":
        context |= _limits(session, row.setting, sizes, (typed or request.query_params) if error else {})
    if wanted is not None and stages.BY_NAME[name].has_threshold:
        preview = evidence.preview(session, name, wanted)
        context |= {
            "preview": preview,
            "ahead": rates.ahead(session, name, preview.back) if preview.back else None,
            "above": queries.edge(session, name, wanted, above=True),
            "below": queries.edge(session, name, wanted, above=False),
            "proof": evidence.proof(session, name, wanted, row.threshold or 0.0),
            "changes": evidence.changes(session, name),
        }
    return render(request, "prefilter/stage.html", context, block="preview", status=status)


def _limits(
    session: Session, setting: dict[str, Any], wanted: limits.Limits | None, refused: Mapping[str, Any]
) -> dict[str, Any]:
    in_force = limits.limits_of(setting)
    shown = wanted or in_force
    fields = {"shorter_side": str(shown.shorter_side), "aspect": f"{shown.aspect:g}" if shown.aspect else ""}
    return {
        "limits": in_force,
        "limits_preview": limits.preview(session, shown) if shown != in_force else None,
        "typed_limits": {name: refused.get(name, value) for name, value in fields.items()},
    }


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
