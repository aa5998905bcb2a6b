"""`render`: a whole page, or only the blocks of it that htmx swaps in."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from jinja2_fragments.fastapi import Jinja2Blocks
from starlette.requests import Request
from starlette.responses import Response

from app.web import flash
from app.web.environment import environment
from app.web.navigation import navigation, path_of
from app.web.responses import is_htmx


def page_context(request: Request) -> dict[str, Any]:
    """What every template knows. Pages call `nav` and `flashes`; a swapped block pays for neither."""
    actor = getattr(request.state, "actor", None)
    return {
        "actor": actor,
        "nav": partial(navigation, request, actor),
        "flashes": partial(flash.pending, request),
        "path_of": partial(path_of, request),
        "notice": partial(notice, request),
    }


def notice(request: Request) -> str:
    """What every page says about the data as a whole, if the app keeps such a sentence."""
    found = getattr(request.app.state, "notice", None)
    return found(request) if found else ""


templates = Jinja2Blocks(env=environment, context_processors=[page_context])


def render(
    request: Request,
    name: str,
    context: Mapping[str, Any] | None = None,
    *,
    block: str | Iterable[str] | None = None,
    status: int = 200,
) -> Response:
    """The page `name`; of it only `block` (one name or several) when htmx asks and a block is named."""
    blocks = [block] if isinstance(block, str) else list(block or ())
    is_part = bool(blocks) and is_htmx(request)
    response = templates.TemplateResponse(
        request, name, dict(context or {}), status_code=status, block_names=blocks if is_part else []
    )
    response.headers.add_vary_header("HX-Request")
    if not is_part:
        flash.forget(request, response)
    return response
