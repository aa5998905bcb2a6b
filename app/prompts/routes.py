"""The language-model stage: its prompts and their trials, what is in use, how it asks and what it may spend."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app import presence
from app.endpoints import queries as endpoint_queries
from app.errors import Invalid
from app.prefilter.caption_diff import word_diff
from app.prefilter.queries import stage_row
from app.prompts import actions, queries, trials
from app.prompts.forms import CompareForm, PromptForm, SettingForm, TryForm, UseForm
from app.tables import Prompt, TrialKind
from app.web.deps import Admin, FormDep, RowId, RowNumber, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/prefilter/prompts", name="prompts")
def prompts(request: Request, session: SessionDep, actor: Admin) -> Response:
    return prompts_page(request, session)


@router.post("/prefilter/prompts", name="prompt_add")
def add(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    sent = PromptForm(text=str(form.get("text", "")), note=str(form.get("note", ""))[:200])
    based_on = str(form.get("from", ""))
    try:
        made = actions.add_prompt(session, actor, parse(PromptForm, form).text, sent.note)
    except Invalid as error:
        newest = queries.versions(session)[0].prompt
        row = session.get(Prompt, int(based_on)) if based_on.isdecimal() and len(based_on) < 18 else None
        return prompt_page(request, session, row or newest, None, error, sent)
    response = redirect(request, request.url_for("prompt", prompt_id=made.id).path)
    flash(request, response, f"Version {made.version} is saved. It is asked of nobody until you try or use it.")
    return response


@router.post("/prefilter/prompts/setting", name="prompts_setting")
def change_setting(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        actions.change_setting(session, actor, parse(SettingForm, form).changes())
    except Invalid as error:
        return prompts_page(request, session, error, dict(form), "setting")
    return back(request, "Saved.")


@router.post("/prefilter/prompts/budget", name="prompts_budget")
def begin_budget(request: Request, session: SessionDep, actor: Admin) -> Response:
    actions.begin_budget_anew(session, actor)
    return back(request, "What was spent until now does not count any more.")


@router.post("/prefilter/prompts/stop", name="prompts_stop")
def stop_using(request: Request, session: SessionDep, actor: Admin) -> Response:
    actions.stop_using(session, actor)
    return back(request, "No model is asked any more; what it proposed stays on offer.")


@router.post("/prefilter/prompts/compare", name="prompts_compare")
def compare(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(CompareForm, form)
        made = actions.compare(session, actor, sent.sides(), sent.count)
    except Invalid as error:
        return prompts_page(request, session, error, dict(form), "compare")
    return redirect(request, request.url_for("trial", trial_id=made.id).path)


@router.get("/prefilter/prompts/{prompt_id}", name="prompt")
def prompt(
    request: Request, session: SessionDep, actor: Admin, prompt_id: RowId, against: RowNumber = None
) -> Response:
    other = session.get(Prompt, against) if against else None
    return prompt_page(request, session, queries.prompt(session, prompt_id), other)


@router.post("/prefilter/prompts/{prompt_id}/try", name="prompt_try")
def try_prompt(request: Request, session: SessionDep, actor: Admin, form: FormDep, prompt_id: RowId) -> Response:
    row = queries.prompt(session, prompt_id)
    try:
        sent = parse(TryForm, form)
        made = actions.try_prompt(session, actor, row.id, sent.endpoint, with_picture=sent.with_picture)
    except Invalid as error:
        return prompt_page(request, session, row, None, error)
    return redirect(request, request.url_for("trial", trial_id=made.id).path)


@router.post("/prefilter/prompts/{prompt_id}/use", name="prompt_use")
def use(request: Request, session: SessionDep, actor: Admin, form: FormDep, prompt_id: RowId) -> Response:
    row = queries.prompt(session, prompt_id)
    try:
        actions.use(session, actor, row.id, parse(UseForm, form).endpoint)
    except Invalid as error:
        return prompt_page(request, session, row, None, error)
    return back(request, f"Version {row.version} is in use; undecided candidates go through the stage again.")


@router.get("/prefilter/prompts/trials/{trial_id}", name="trial")
def trial(request: Request, session: SessionDep, actor: Admin, trial_id: RowId) -> Response:
    found = queries.trial(session, trial_id)
    row = found.trial
    figures, difference = trials.figures(row.result)
    context = {
        "found": found,
        "is_comparison": row.kind is TrialKind.COMPARE,
        "sides": queries.sides(session, row),
        "figures": figures,
        "difference": difference,
        "candidates": trials.shown(session, row),
        "served": presence.served_queues(session),
    }
    return render(request, "prompts/trial.html", context, block="live")


def prompts_page(
    request: Request,
    session: Session,
    error: Invalid | None = None,
    values: dict[str, Any] | None = None,
    about: str = "",
) -> Response:
    """The stage as it is set up; `about` is the form that was refused, with what was typed."""
    wanted, row = queries.wanted(session), stage_row(session, "llm")
    job, pace = queries.stage_job(session), queries.pace(session)
    context = {
        "versions": queries.versions(session),
        "wanted": wanted,
        "row": row,
        "in_use": session.get(Prompt, wanted.prompt) if wanted.prompt else None,
        "endpoint": endpoint_queries.in_use(session),
        "endpoints": endpoint_queries.usable(session),
        "pace": pace,
        "spent": queries.spent(session, wanted.budget.begins if wanted.budget else None),
        "job": job,
        "is_live": bool(job) or (pace.waiting and not row.paused),
        "is_spent": queries.is_spent(session),
        "trials": queries.trials(session),
        "served": presence.served_queues(session),
        "error": error,
        "errors": error.fields if error else {},
        "values": values or {},
        "about": about,
    }
    status = 422 if error else 200
    return render(request, "prompts/prompts.html", context, block=None if error else "live", status=status)


def prompt_page(
    request: Request,
    session: Session,
    row: Prompt,
    against: Prompt | None,
    error: Invalid | None = None,
    typed: BaseModel | None = None,
) -> Response:
    """One version; with `against`, what it changes of that one."""
    wanted = queries.wanted(session)
    context = {
        "prompt": row,
        "versions": queries.versions(session),
        "against": against,
        "pieces": word_diff(against.text, row.text) if against else [],
        "in_use": wanted.prompt == row.id,
        "wanted": wanted,
        "endpoints": endpoint_queries.usable(session),
        "error": error,
        "errors": error.fields if error else {},
        "typed": typed,
    }
    return render(request, "prompts/prompt.html", context, status=422 if error else 200)


def back(request: Request, text: str) -> Response:
    response = redirect(request, request.url_for("prompts").path)
    flash(request, response, text)
    return response
