"""The web app: the only place that wires routers, middleware, handlers and static mounts."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.staticfiles import StaticFiles

import app.accounts.routes
import app.candidates.routes
import app.corrections.routes
import app.curation.routes
import app.duplicates.routes
import app.encoders.routes
import app.endpoints.routes
import app.evaluation.routes
import app.evaluation.set_routes
import app.intake.routes
import app.operations.routes
import app.prefilter.classifier_routes
import app.prefilter.language_routes
import app.prefilter.limits_routes
import app.prefilter.privacy_routes
import app.prefilter.routes
import app.prompts.routes
import app.search.routes
import app.snapshots.routes
import app.training.routes
from app import logs
from app.config import settings
from app.operations import notices
from app.operations.tallies import candidate_counts
from app.search.uploads import PICTURE_BYTES
from app.web import error_pages
from app.web.body_limit import RequestLimits
from app.web.csp import SecurityHeaders
from app.web.csrf import SameOrigin

STATIC = Path(__file__).parents[1] / "static"
VENDOR = {"htmx.org": "htmx.org/dist", "panzoom": "@panzoom/panzoom/dist", "uplot": "uplot/dist"}
UPLOAD_BYTES = 2_000_000_000

DOMAINS = (
    app.accounts.routes,
    app.curation.routes,
    app.candidates.routes,
    app.search.routes,
    app.encoders.routes,
    app.endpoints.routes,
    app.evaluation.set_routes,
    app.evaluation.routes,
    app.intake.routes,
    app.duplicates.routes,
    app.corrections.routes,
    app.prefilter.classifier_routes,
    app.prefilter.language_routes,
    app.prefilter.limits_routes,
    app.prefilter.privacy_routes,
    app.prompts.routes,
    app.prefilter.routes,
    app.snapshots.routes,
    app.training.routes,
    app.operations.routes,
)


def create_app() -> FastAPI:
    """The whole app. Raises RuntimeError when the static packages are not installed."""
    logs.configure()
    made = FastAPI(title="IPATH Curator", docs_url=None, redoc_url=None, openapi_url=None)
    made.state.secret_key = secret_key(settings().home_path / "secret_key")
    made.state.counts = counts
    made.state.notice = notice
    error_pages.install(made)
    made.add_middleware(RequestLimits, paths={"/imports": UPLOAD_BYTES, "/search/picture": PICTURE_BYTES})
    made.add_middleware(SameOrigin, allowed_hosts=settings().allowed_hosts)
    made.add_middleware(SecurityHeaders, https=settings().behind_tls)
    for name, folder in VENDOR.items():
        made.mount(f"/static/vendor/{name}", vendored(folder), name=f"vendor-{name}")
    made.mount("/static", StaticFiles(directory=STATIC), name="static")
    for domain in DOMAINS:
        made.include_router(domain.router)
    return made


def vendored(folder: str) -> StaticFiles:
    path = STATIC / "node_modules" / folder
    if not path.is_dir():
        raise RuntimeError(f"{path} is missing: run `make setup`.")
    return StaticFiles(directory=path)


def secret_key(file: Path) -> str:
    """The key that signs cookies: random, made at the first start, readable by its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return file.read_text()
    with os.fdopen(descriptor, "w") as opened:
        key = secrets.token_urlsafe(48)
        opened.write(key)
    return key


def notice(request: Request) -> str:
    session = getattr(request.state, "session", None)
    return notices.notice(session) if session else ""


def counts(request: Request) -> Mapping[str, int]:
    """What waits behind an entry of the navigation, counted in the request's own session."""
    session = getattr(request.state, "session", None)
    if session is None:
        return {}
    found = candidate_counts(session)
    return {"review": found["queued"], "adjudicate": found["conflicted"]}
