"""Signing in and out, one's own account, and the people page."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.accounts import actions, queries
from app.accounts.forms import AddPerson, ChangeRole, DailyGoal, NewPassword, OwnPassword, SignIn
from app.accounts.policies import Actor
from app.config import settings
from app.curation.moves import overlap
from app.errors import AppError, Conflict, Invalid
from app.tables.account import Role
from app.web.deps import Admin, Anyone, FormDep, RowId, SessionDep, cookie_name, current_actor, parse
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

router = APIRouter()


@router.get("/sign-in", name="sign_in")
def sign_in_page(request: Request, session: SessionDep, next: str = "") -> Response:
    if current_actor(request, session):
        return redirect(request, request.url_for("home").path)
    return render(request, "accounts/sign_in.html", {"next": next, "name": "", "error": ""})


@router.post("/sign-in", name="sign_in_submit")
def sign_in(request: Request, session: SessionDep, form: FormDep) -> Response:
    address = request.client.host if request.client else ""
    name, goal = str(form.get("name", "")), str(form.get("next", ""))
    try:
        sent = parse(SignIn, form)
        agent = request.headers.get("user-agent", "")
        token = actions.sign_in(session, sent.name, sent.password, address, agent)
    except actions.Paused as paused:
        response = not_signed_in(request, goal, name, paused.message, paused.status)
        response.headers["Retry-After"] = str(paused.seconds)
        return response
    except Invalid as error:
        return not_signed_in(request, goal, name, error.message)
    if token is None:
        return not_signed_in(request, goal, name, wrong_password(session, sent.name, address))
    actions.sign_out(session, request.cookies.get(cookie_name(), ""))
    response = redirect(request, local_path(goal) or request.url_for("home").path)
    set_session_cookie(response, token)
    return response


def not_signed_in(request: Request, goal: str, name: str, error: str, status: int = 422) -> Response:
    context = {"next": goal, "name": name, "error": error}
    return render(request, "accounts/sign_in.html", context, block="sign_in_form", status=status)


def wrong_password(session: Any, name: str, address: str) -> str:
    left = actions.tries_left(session, name, address)
    tries = "1 try" if left == 1 else f"{left} tries"
    return f"Name or password is wrong. {tries} left before a pause." if left else "Name or password is wrong."


def local_path(url: str) -> str | None:
    """`url` if it stays on this site, so that a link can't send someone elsewhere after signing in."""
    plain = url.startswith("/") and not url.startswith(("//", "/\\"))
    return url if plain and url.isprintable() and "\\" not in url else None


def set_session_cookie(response: Response, token: str) -> None:
    secure = settings().behind_tls
    age = int(queries.ABSOLUTE.total_seconds())
    response.set_cookie(cookie_name(), token, max_age=age, path="/", httponly=True, samesite="lax", secure=secure)


@router.post("/sign-out", name="sign_out")
def sign_out(request: Request, session: SessionDep, actor: Anyone) -> Response:
    actions.sign_out(session, request.cookies.get(cookie_name(), ""))
    response = redirect(request, request.url_for("sign_in").path)
    response.delete_cookie(cookie_name(), path="/", secure=settings().behind_tls)
    return response


@router.get("/account", name="account")
def account(request: Request, session: SessionDep, actor: Anyone) -> Response:
    return account_page(request, actor)


@router.post("/account/password", name="account_password")
def change_own_password(request: Request, session: SessionDep, actor: Anyone, form: FormDep) -> Response:
    try:
        sent = parse(OwnPassword, form)
        actions.change_own_password(session, actor, sent.old, sent.password)
    except Invalid as error:
        return account_page(request, actor, error, status=422)
    response = redirect(request, request.url_for("sign_in").path)
    flash(request, response, "Password changed. You are signed out everywhere; sign in with the new one.")
    return response


@router.post("/account/goal", name="account_goal")
def change_goal(request: Request, session: SessionDep, actor: Anyone, form: FormDep) -> Response:
    try:
        actions.set_daily_goal(session, actor, parse(DailyGoal, form).goal)
    except Invalid as error:
        return account_page(request, actor, error, status=422)
    response = redirect(request, request.url_for("home").path)
    flash(request, response, "Goal changed.")
    return response


def account_page(request: Request, actor: Actor, error: Invalid | None = None, status: int = 200) -> Response:
    context = {"person": actor, "errors": error.fields if error else {}}
    return render(request, "accounts/account.html", context, status=status)


@router.get("/people", name="people")
def people(request: Request, session: SessionDep, actor: Admin) -> Response:
    return people_page(request, session)


@router.post("/people", name="people_add")
def add_person(request: Request, session: SessionDep, actor: Admin, form: FormDep) -> Response:
    try:
        sent = parse(AddPerson, form)
        user = actions.add_user(session, actor, sent.name, sent.password, sent.role, sent.adjudicator)
    except Invalid as error:
        return people_page(request, session, error, dict(form), status=422)
    response = redirect(request, request.url_for("people").path)
    flash(request, response, f"{user.name} can sign in now.")
    return response


def people_page(
    request: Request,
    session: Any,
    error: Invalid | None = None,
    values: dict[str, Any] | None = None,
    status: int = 200,
) -> Response:
    context = {
        "people": queries.people(session),
        "roles": list(Role),
        "overlap_percent": f"{100 * overlap(session)[0]:g}",
        "errors": error.fields if error else {},
        "values": values or {},
    }
    return render(request, "accounts/people.html", context, status=status)


@router.get("/people/{user_id}", name="person")
def person(request: Request, session: SessionDep, actor: Admin, user_id: RowId) -> Response:
    return person_page(request, session, user_id)


def person_page(
    request: Request, session: Any, user_id: int, error: AppError | None = None, status: int = 200
) -> Response:
    context = {
        "user": queries.user_by_id(session, user_id),
        "roles": list(Role),
        "error": error,
        "errors": error.fields if isinstance(error, Invalid) else {},
    }
    return render(request, "accounts/person.html", context, status=status)


@router.post("/people/{user_id}/role", name="person_role")
def change_role(request: Request, session: SessionDep, actor: Admin, form: FormDep, user_id: RowId) -> Response:
    user = queries.user_by_id(session, user_id)
    try:
        sent = parse(ChangeRole, form)
        actions.change_role(session, actor, user, sent.role, sent.adjudicator)
    except (Invalid, Conflict) as error:
        return person_page(request, session, user_id, error, status=error.status)
    return back_to_people(request, f"{user.name} is signed out and now works as {sent.role.value}.")


@router.post("/people/{user_id}/password", name="person_password")
def reset_password(request: Request, session: SessionDep, actor: Admin, form: FormDep, user_id: RowId) -> Response:
    user = queries.user_by_id(session, user_id)
    try:
        actions.set_password(session, actor, user, parse(NewPassword, form).password)
    except Invalid as error:
        return person_page(request, session, user_id, error, status=422)
    return back_to_people(request, f"{user.name} has a new password and is signed out everywhere.")


@router.post("/people/{user_id}/sessions", name="person_end_sessions")
def end_sessions(request: Request, session: SessionDep, actor: Admin, user_id: RowId) -> Response:
    user = queries.user_by_id(session, user_id)
    actions.sign_out_everywhere(session, actor, user)
    return back_to_people(request, f"{user.name} is signed out everywhere.")


@router.post("/people/{user_id}/disable", name="person_disable")
def disable(request: Request, session: SessionDep, actor: Admin, user_id: RowId) -> Response:
    user = queries.user_by_id(session, user_id)
    try:
        actions.disable(session, actor, user)
    except Conflict as error:
        return person_page(request, session, user_id, error, status=error.status)
    return back_to_people(request, f"{user.name} can no longer sign in. Their reviews stay.")


@router.post("/people/{user_id}/enable", name="person_enable")
def enable(request: Request, session: SessionDep, actor: Admin, user_id: RowId) -> Response:
    user = queries.user_by_id(session, user_id)
    actions.enable(session, actor, user)
    return back_to_people(request, f"{user.name} can sign in again.")


def back_to_people(request: Request, text: str) -> Response:
    response = redirect(request, request.url_for("people").path)
    flash(request, response, text)
    return response
