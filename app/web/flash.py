"""Messages shown once: on the next page by a signed cookie, or at once out of band for htmx."""

from dataclasses import asdict, dataclass
from typing import Literal

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

from app.config import settings
from app.web.environment import environment
from app.web.responses import is_htmx, oob, redirects

Level = Literal["ok", "info", "warn", "bad"]

MOST = 3
LONGEST = 400
SECONDS_KEPT = 300


@dataclass(frozen=True)
class Flash:
    text: str
    level: Level = "ok"


def flash(request: Request, response: Response, text: str, level: Level = "ok") -> None:
    """Shows `text` once: in this answer if htmx swaps it, else on the next page.

    The cookie is signed with `app.state.secret_key`.
    """
    message = Flash(text[:LONGEST], level)
    if is_htmx(request) and not redirects(response):
        return oob(response, as_oob(message))
    messages = [*getattr(request.state, "flashes", pending(request)), message][-MOST:]
    request.state.flashes = messages
    kept = _serializer(request).dumps([asdict(message) for message in messages])
    response.set_cookie(
        cookie_name(), kept, max_age=SECONDS_KEPT, httponly=True, samesite="lax", secure=settings().behind_tls
    )
    return None


def pending(request: Request) -> list[Flash]:
    """The messages that came with the request; none if the cookie is old or not ours."""
    kept = request.cookies.get(cookie_name())
    if not kept:
        return []
    try:
        return [Flash(**message) for message in _serializer(request).loads(kept, max_age=SECONDS_KEPT)]
    except (BadData, TypeError):
        return []


def forget(request: Request, response: Response) -> None:
    """Drops the cookie: its messages stand on the page now."""
    if cookie_name() in request.cookies:
        response.delete_cookie(cookie_name(), httponly=True, samesite="lax", secure=settings().behind_tls)


def as_oob(message: Flash, link: tuple[str, str] | None = None) -> str:
    """The message as an element that htmx adds to the page; `link` is a label and a URL."""
    macros = environment.get_template("macros/flash.html").module
    return str(macros.out_of_band(message, link))  # type: ignore[attr-defined]


def cookie_name() -> str:
    return "__Host-flash" if settings().behind_tls else "flash"


def _serializer(request: Request) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(request.app.state.secret_key, salt="flash")
