"""What each kind of private detail does, and the candidates that stages hold for an admin."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.curation.queries import reasons
from app.errors import Invalid
from app.prefilter import held, holding, privacy, stages
from app.prefilter.forms import HeldForm, HeldListForm, PrivacyForm
from app.web.deps import Admin, FormDep, RowId, SessionDep, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()

PAGE = 20
PLACES = (("private", "In captions"), ("writing", "In pictures"))


# --- settings -----------------------------------------------------------------------------------


@router.get("/prefilter/privacy", name="privacy")
def settings(request: Request, session: SessionDep, actor: Admin) -> Response:
    """The actions in force; with others in the address, what these would do. Nothing changes until they are saved."""
    try:
        wanted = parse(PrivacyForm, request.query_params).actions()  # type: ignore[arg-type]  # it reads like a form
    except Invalid:
        wanted = {}
    in_force = held.actions(session)
    shown = {name: {**of_stage, **wanted.get(name, {})} for name, of_stage in in_force.items()}
    changed = {name: of_stage for name, of_stage in shown.items() if of_stage != in_force[name]}
    context = {
        "shown": shown,
        "in_force": in_force,
        "seen": held.version(in_force),
        "effects": {name: held.effect(session, name, of_stage) for name, of_stage in changed.items()},
        "found": held.kinds_found(session),
        "kinds": privacy.TITLES,
        "does": privacy.DOES,
        "of_stage": privacy.OF_STAGE,
        "places": PLACES,
        "titles": {name: stages.BY_NAME[name].title for name in privacy.OF_STAGE},
        "held_now": sum(held.counts(session).values()),
    }
    return render(request, "prefilter/privacy.html", context, block="settings")


@router.post("/prefilter/privacy", name="privacy_save")
def save(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    sent = parse(PrivacyForm, form)
    changed = holding.set_actions(session, actor, sent.actions(), sent.seen)
    response = redirect(request, request.url_for("privacy").path)
    flash(request, response, "Saved; candidates move." if changed else "Nothing changed.")
    return response


# --- held candidates ----------------------------------------------------------------------------


@router.get("/prefilter/held", name="held")
def held_list(request: Request, session: SessionDep, actor: Admin) -> Response:
    try:
        wanted = parse(HeldListForm, request.query_params)  # type: ignore[arg-type]  # it reads like a form
    except Invalid:
        wanted = HeldListForm()
    return held_page(request, session, wanted)


def held_page(
    request: Request, session: Any, wanted: HeldListForm, error: Invalid | None = None, status: int = 200
) -> Response:
    rows = held.listed(session, wanted.stage, wanted.after, PAGE + 1)
    context = {
        "wanted": wanted,
        "rows": rows[:PAGE],
        "next_url": f"?stage={wanted.stage}&after={rows[PAGE - 1].candidate_id}" if len(rows) > PAGE else None,
        "counts": held.counts(session),
        "lately": held.settled_lately(session),
        "reasons": reasons(session),
        "stages": [stages.BY_NAME[name] for name in privacy.OF_STAGE],
        "titles": privacy.TITLES,
        "counted": privacy.counted,
        "error": error,
    }
    return render(request, "prefilter/held.html", context, status=status)


@router.post("/prefilter/held/release", name="held_release")
def release(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    sent = parse(HeldForm, form)
    count = holding.release(session, actor, sent.chosen)
    return back(request, sent, f"Released {_many(count)}; the stages go on from there.", count)


@router.post("/prefilter/held/reject", name="held_reject")
def reject(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    sent = parse(HeldForm, form)
    try:
        count = holding.reject(session, actor, sent.chosen, sent.reason)
    except Invalid as error:
        return held_page(request, session, sent, error, status=422)
    return back(request, sent, f"Rejected {_many(count)}.", count)


@router.post("/prefilter/held/{candidate_id}/again", name="held_again")
def again(request: Request, session: SessionDep, actor: Admin, candidate_id: RowId) -> Response:
    holding.hold_again(session, actor, candidate_id)
    return back(request, HeldForm(), f"C-{candidate_id} is held again.", 1)


def back(request: Request, sent: HeldForm, done: str, count: int) -> Response:
    """To the list, or to the page of the one candidate whose page sent the form."""
    path = request.url_for("held").path + (f"?stage={sent.stage}" if sent.stage else "")
    if sent.page and sent.only:
        path = request.url_for("candidate", candidate_id=sent.only).path
    response = redirect(request, path)
    nothing = "None of these is held any more." if sent.chosen else "Tick at least one candidate."
    flash(request, response, done if count else nothing, "ok" if count else "warn")
    return response


def _many(count: int) -> str:
    return f"{count} candidate{'' if count == 1 else 's'}"
