"""A small site of its own that has nothing but the parts under test."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import FastAPI, Form, Request, Response
from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from app.accounts.policies import Actor
from app.errors import AppError
from app.tables.account import Role
from app.web import error_pages
from app.web.body_limit import RequestLimits
from app.web.csp import SecurityHeaders
from app.web.csrf import SameOrigin
from app.web.environment import TEMPLATES, environment
from app.web.flash import flash
from app.web.responses import redirect
from app.web.templating import render

STATIC = Path(__file__).parents[2] / "static"
BROWSER = {"sec-fetch-site": "same-origin"}
HTMX = BROWSER | {"HX-Request": "true"}

PAGES = {
    "page.html": (
        '{% extends "base.html" %}{% block title %}Page{% endblock %}'
        "{% block main %}<p>whole</p>"
        "{% block part %}<p>{{ word }} {{ state_badge('accepted') }}</p>{% endblock %}"
        "{% block other %}<p>other</p>{% endblock %}{% endblock %}"
    ),
}


@dataclass
class Site:
    """The app and what its routes do: whom they know, and what they raise."""

    app: FastAPI
    actor: Actor | None = field(default_factory=lambda: Actor(1, "elm", Role.ADMIN))
    raises: Exception | None = None
    writes: int = 0

    def client(self, **headers: str) -> TestClient:
        return TestClient(self.app, base_url="http://localhost", headers=headers, follow_redirects=False)

    def fail_with(self, error: AppError | Exception) -> None:
        self.raises = error


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(environment, "loader", ChoiceLoader([FileSystemLoader(TEMPLATES), DictLoader(PAGES)]))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.secret_key = "a key of the tests"
    error_pages.install(app)
    app.add_middleware(RequestLimits, body=1000, paths={"/upload": 5000})
    app.add_middleware(SameOrigin)
    app.add_middleware(SecurityHeaders)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    made = Site(app)
    add_routes(app, made)
    yield made
    environment.cache.clear()  # type: ignore[union-attr]


def add_routes(app: FastAPI, site: Site) -> None:
    def known(request: Request) -> None:
        request.state.actor = site.actor
        if site.raises:
            raise site.raises

    @app.get("/", name="home")
    @app.get("/review", name="review")
    @app.get("/imports", name="imports")
    @app.get("/imports/{number}")
    @app.get("/api/things")
    def page(request: Request) -> Response:
        known(request)
        return render(request, "page.html", {"word": "<b>"}, block="part")

    @app.get("/two-blocks")
    def two_blocks(request: Request) -> Response:
        known(request)
        return render(request, "page.html", {"word": "x"}, block=["part", "other"])

    @app.post("/act")
    def act(request: Request) -> Response:
        known(request)
        site.writes += 1
        response = redirect(request, "/")
        flash(request, response, "Saved <b>.")
        return response

    @app.post("/part")
    def part(request: Request, level: str = "ok") -> Response:
        response = render(request, "page.html", {"word": "x"}, block="part")
        flash(request, response, "Accepted C-1.", "bad" if level == "bad" else "ok")
        return response

    @app.post("/upload")
    @app.post("/read")
    async def read(request: Request) -> dict[str, int]:
        return {"taken": len(await request.body())}

    @app.post("/form")
    def form(words: Annotated[str, Form()]) -> str:
        return words

    @app.get("/things/{number}")
    def thing(number: int, size: int = 1) -> int:
        return number * size

    @app.get("/sign-in", name="sign_in")
    def sign_in() -> str:
        return "sign in"

    @app.get("/picture")
    def picture() -> Response:
        return Response(b"", headers={"Cache-Control": "private, max-age=60"})


def database_gone() -> OperationalError:
    return OperationalError("SELECT secret", {}, Exception("connection to host secret failed"))


def http_error(status: int) -> HTTPException:
    return HTTPException(status, "secret detail", {"X-Mine": "1"})
