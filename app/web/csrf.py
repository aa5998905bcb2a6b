"""Refuses what another site made the browser send. No tokens: the browser says where a request comes from.

The rule is that of Go 1.25's CrossOriginProtection, but stricter: with a cookie, one of the two headers that
every current browser sends has to be there.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Forbidden
from app.web.error_pages import error_response

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOrigin:
    """ASGI middleware: 400 for a host that is not ours, 403 for an unsafe request from elsewhere."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str] = LOCAL_HOSTS) -> None:
        self.app = app
        self.allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"] == "/health":  # asked by address, by whatever watches the server
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        if host_name(headers.get("host", "")) not in self.allowed_hosts:
            refusal = PlainTextResponse("This host name is not served here.\n", status_code=400)
            return await refusal(scope, receive, send)
        if scope["method"] not in SAFE_METHODS and not is_same_origin(headers):
            answer = error_response(Request(scope, receive), from_elsewhere())
            return await answer(scope, receive, send)
        return await self.app(scope, receive, send)


def from_elsewhere() -> Forbidden:
    return Forbidden(
        "The request did not come from a page of this site. Nothing was changed.",
        "Open the page here and do it again.",
        title="Sent from elsewhere",
    )


def host_name(host: str) -> str:
    """The Host header without its port; an IPv6 address keeps its brackets."""
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    return (host[:end] if end > 0 else host).lower()


def is_same_origin(headers: Headers) -> bool:
    """Each header that is there must agree; without both only a client that sends no cookie passes."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return "cookie" not in headers
    site_fits = site in (None, "same-origin", "none")
    origin_fits = origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()
    return site_fits and origin_fits
