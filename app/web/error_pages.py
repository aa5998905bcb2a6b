"""One answer for each error: a page, a message for htmx, JSON for the API. Details stay in the log."""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, Forbidden, Invalid, NotFound, NotSignedIn, TooLarge, TooMany, Unavailable
from app.web.flash import Flash, as_oob
from app.web.navigation import path_of
from app.web.responses import is_htmx
from app.web.templating import render

log = structlog.get_logger()

NO_DATABASE = (OperationalError, InterfaceError, PoolTimeout)

BY_STATUS: Mapping[int, AppError] = {
    401: NotSignedIn("You are not signed in.", "Sign in and try again."),
    403: Forbidden("This is not open to you.", "Ask an admin if you need it."),
    404: NotFound("There is no such page, or it is not yours to see.", "The link may be old."),
    413: TooLarge("More was sent than can be taken. Nothing was changed.", "Send less at once."),
    429: TooMany("Too much was asked at once. Nothing was changed.", "Try again in a minute."),
    503: Unavailable("This part does not answer. Nothing was changed.", "Try again in a minute."),
}


def install(app: FastAPI) -> None:
    """Registers the handlers. Call before adding other middleware: what is added later stands outside."""
    for kind in (AppError, HTTPException, RequestValidationError, *NO_DATABASE):
        app.add_exception_handler(kind, handle)
    app.add_middleware(UnhandledErrors)


class UnhandledErrors:
    """ASGI middleware: an error nobody foresaw becomes a numbered page, and the log holds the rest.

    Not an exception handler of Starlette's: that one answers outside of all middleware, without our headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if started:
                raise
            request = Request(scope, receive)
            answer = error_response(request, broken(noted(request, error)))
            await answer(scope, receive, send)


def noted(request: Request, error: Exception) -> str:
    """Logs the error under a new number, which is all that a person is told of it."""
    number = f"e-{secrets.token_hex(3)}"
    where = {"method": request.method, "path": request.url.path}
    log.error("request failed", number=number, **where, exc_info=error)
    return number


def broken(number: str) -> AppError:
    return AppError("What was saved before stays saved.", f"Tell an admin this number: {number}.")


def handle(request: Request, error: Exception) -> Response:
    """The handler of every error we foresee."""
    if isinstance(error, NO_DATABASE):
        noted(request, error)
        gone = Unavailable("The database does not answer. Nothing was changed.", "Try again in a minute.")
        return error_response(request, gone)
    answer = error_response(request, as_app_error(error))
    if isinstance(error, HTTPException):
        answer.headers.update(error.headers or {})
    return answer


def as_app_error(error: Exception) -> AppError:
    """What a person is told about `error`."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status in BY_STATUS:
        return BY_STATUS[status]
    told = AppError("The request can't be answered. Nothing was changed.", title="Not done")
    told.status = status
    return told


def _invalid(error: RequestValidationError) -> AppError:
    places = [(tuple(part["loc"]), str(part["msg"])) for part in error.errors()]
    if any(place[:1] == ("path",) for place, _ in places):
        return BY_STATUS[404]
    fields = {str(place[-1]): f"{said}." for place, said in places}
    return Invalid("Some of what was sent can't be read. Nothing was changed.", fields=fields)


def error_response(request: Request, error: AppError) -> Response:
    """The answer in the shape that the caller reads, always with the error's own status."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": _as_json(error)}, status_code=error.status)
    if is_htmx(request):
        return HTMLResponse(_as_flash(request, error), status_code=error.status)
    sign_in = _sign_in_url(request) if isinstance(error, NotSignedIn) else None
    if sign_in and request.method == "GET":
        return RedirectResponse(sign_in, status_code=303)
    # The page must not fail on what has just failed, as the counts do without a database.
    request.state.counts = no_counts
    context = {"error": error, "links": _links(request, error, sign_in)}
    return render(request, "errors/error.html", context, status=error.status)


def no_counts(_request: Request) -> dict[str, int]:
    return {}


def _as_json(error: AppError) -> dict[str, Any]:
    told: dict[str, Any] = {"status": error.status, "title": error.title, "message": error.message}
    if error.what_next:
        told["what_next"] = error.what_next
    if isinstance(error, Invalid):
        told["fields"] = error.fields
    return told


def _as_flash(request: Request, error: AppError) -> str:
    text = " ".join(part for part in (f"{error.title}.", error.message, error.what_next) if part)
    sign_in = path_of(request, "sign_in") if isinstance(error, NotSignedIn) else None
    return as_oob(Flash(text, "bad"), ("Sign in in a new tab", sign_in) if sign_in else None)


def _links(request: Request, error: AppError, sign_in: str | None) -> list[tuple[str, str]]:
    """The buttons of the page, the likely one first."""
    links = [("Sign in", sign_in)] if sign_in else []
    if error.status in (429, 500, 503) and request.method == "GET":
        links.append(("Try again", _here(request)))
    if home := path_of(request, "home"):
        links.append(("Home", home))
    return links


def _sign_in_url(request: Request) -> str | None:
    """The sign-in page that leads back here; a post can't be repeated by a link, so it leads home."""
    sign_in = path_of(request, "sign_in")
    if sign_in is None or request.method != "GET":
        return sign_in
    return f"{sign_in}?{urlencode({'next': _here(request)})}"


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
