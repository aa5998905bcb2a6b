"""Limits on what a request may bring, checked before anything parses it."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import TooLarge
from app.web.error_pages import error_response
from app.web.filters import bytes_size

MOST_BODY = 1_000_000
MOST_HEADERS = 32_768
MOST_RANGE = 200


class RequestLimits:
    """ASGI middleware. `paths` gives single paths (an upload) another limit of body bytes than `body`."""

    def __init__(self, app: ASGIApp, body: int = MOST_BODY, paths: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.body = body
        self.paths = paths or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit = self.paths.get(scope["path"], self.body)
        refusal = refused_headers(Headers(scope=scope)) or refused_length(Request(scope, receive), limit)
        if refusal:
            return await refusal(scope, receive, send)
        return await self.app(scope, counted(receive, limit), send)


def refused_headers(headers: Headers) -> Response | None:
    if sum(len(name) + len(value) for name, value in headers.raw) > MOST_HEADERS:
        return PlainTextResponse("The request's headers are too long.\n", status_code=431)
    if len(headers.get("range", "")) > MOST_RANGE:
        return PlainTextResponse("The Range header is too long.\n", status_code=400)
    return None


def refused_length(request: Request, limit: int) -> Response | None:
    """The answer to a body that says itself that it is too long."""
    said = request.headers.get("content-length", "0")
    if not said.isdecimal():
        return PlainTextResponse("The Content-Length is not a number.\n", status_code=400)
    return error_response(request, too_large(limit)) if int(said) > limit else None


def too_large(limit: int) -> TooLarge:
    said = f"At most {bytes_size(limit)} can be sent here. Nothing was changed."
    return TooLarge(said, "Send less at once.")


def counted(receive: Receive, limit: int) -> Receive:
    """`receive` that stops a body without a stated length at the limit."""
    taken = 0

    async def receive_counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            # FastAPI passes on an HTTPException while it reads a body; any other error becomes a 400.
            raise HTTPException(413)
        return message

    return receive_counted
