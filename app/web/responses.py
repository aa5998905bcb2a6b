"""Answers that fit who asked: a browser's plain request, or htmx."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response


def is_htmx(request: Request) -> bool:
    """htmx asked and takes a part of a page. Going back in history it takes the whole page."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and headers.get("HX-History-Restore-Request") != "true"


def redirect(request: Request, url: str) -> Response:
    """Sends the browser to `url` after a post.

    htmx would follow a 303 itself and swap the whole page into its target, so it gets 200 with HX-Redirect.
    """
    if is_htmx(request):
        return Response(headers={"HX-Redirect": url})
    return RedirectResponse(url, status_code=303)


def redirects(response: Response) -> bool:
    return response.status_code in (302, 303, 307) or "HX-Redirect" in response.headers


def oob(response: Response, html: str) -> None:
    """Adds elements with `hx-swap-oob` behind what the answer already holds."""
    response.body = bytes(response.body) + html.encode()
    response.headers["content-length"] = str(len(response.body))
