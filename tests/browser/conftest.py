"""A whole site of real processes, shared by the browser tests, and Chromium to use it."""

import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from sqlalchemy.orm import Session

from app import serving
from app.db import make_engine
from app.embedded import EmbeddedServices
from app.supervisor import Child, Supervisor
from app.tables import Role
from tests import services
from tests.factories import PASSWORD, make_candidate, make_person

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PEOPLE = {"elm": Role.ADMIN, "alder": Role.REVIEWER, "birch": Role.REVIEWER, "fir": Role.RESEARCHER}


@dataclass
class Site:
    """Where the site answers, and the way to its database."""

    url: str
    home: Path
    database_url: str
    environment: dict[str, str]
    supervisor: Supervisor

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the site's database that commits at the end of its block."""
        engine = make_engine(self.database_url)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
        engine.dispose()

    def add_candidates(self, count: int, caption: str = "Basal cell carcinoma, nodular type, number {}.") -> list[int]:
        """Queued candidates with real pictures."""
        with self.session() as session:
            return [make_candidate(session, caption=caption.format(n), with_blob=True).id for n in range(count)]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def site(
    server: services.Server, tmp_path_factory: pytest.TempPathFactory, monkeypatch_module: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Database, broker and web server of a test module's own."""
    home = tmp_path_factory.mktemp("site")
    database_url, port = server.create(), free_port()
    with Supervisor(home / "logs") as supervisor, EmbeddedServices(home, supervisor, postgres=False) as valkey:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": valkey.redis_url,
            "IPATH_HOME": str(home),
            "IPATH_PORT": str(port),
            "IPATH_CLIP_MODEL": "tests/tiny_clip.json",
            "IPATH_CLIP_PRETRAINED": "",
        }
        for name, value in environment.items():
            monkeypatch_module.setenv(name, value)
        forget()
        url = f"http://127.0.0.1:{port}"
        found = Site(url, home, database_url, environment, supervisor)
        with found.session() as session:
            for name, role in PEOPLE.items():
                make_person(session, name, role)
        supervisor.start(Child("web", [sys.executable, "-m", "app.cli", "web"], ready=lambda: answers(url)))
        yield found
    forget()
    server.drop(database_url)


@pytest.fixture(scope="module")
def worker(site: Site) -> None:
    """The site's worker, for modules whose pages have something done; it imports torch while pages are used already."""
    site.supervisor.start(Child("worker", serving.worker_command(), stop_seconds=5))


def forget() -> None:
    from tests.conftest import forget_settings

    forget_settings()


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert path, "Chromium or Chrome is needed: `make test` says how to get it."
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


Open = Callable[..., Page]


@pytest.fixture
def sign_in(browser: Browser, site: Site) -> Iterator[Open]:
    """`sign_in("alder")` gives a page signed in as that person; any console error fails the test at its end."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not expected(message.text):
            problems.append(message.text)

    def opened(name: str, width: int = 1280, height: int = 720, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{site.url}/sign-in")
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        page.click("text=Sign in >> nth=-1")
        page.wait_for_url(lambda url: "/sign-in" not in url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def expected(text: str) -> bool:
    """What the browser says of an answer that a test provokes."""
    return "Failed to load resource" in text and any(f"status of {code}" in text for code in (401, 404, 409, 422))
