"""What every test may ask for: a database of the worker's own with a rolled-back session, or a fresh one."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine
from sqlalchemy.orm import Session

# Before any module of the app reads its settings: none of the developer's own, and a home of our own.
for name in list(os.environ):
    if name.startswith("IPATH_") or name in ("DATABASE_URL", "REDIS_URL"):
        del os.environ[name]
os.environ["IPATH_HOME"] = tempfile.mkdtemp(prefix="ipath-test-")
# Before torch is imported, here or in a child: tests run side by side, and threads that wait for a core spin on it.
os.environ["OMP_NUM_THREADS"] = "1"

from app import config, db, storage  # noqa: E402
from app.accounts import actions  # noqa: E402
from app.embedded import EmbeddedServices  # noqa: E402
from tests import services  # noqa: E402

pytest_plugins = ["tests.web_client"]


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["IPATH_HOME"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start processes come first, then those of many tests: no core should wait for one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("process")}
    many = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -many[item.path]))


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """Argon2 at its least cost: what a password costs to check is its setting, not what tests are about."""
    actions.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session")
def server() -> Iterator[services.Server]:
    """The PostgreSQL that all tests share."""
    with services.running() as found:
        yield found


@pytest.fixture(scope="session")
def database_url(server: services.Server) -> Iterator[str]:
    """This worker's database for in-process tests, which the app's settings then name; with a Valkey."""
    url = server.create()
    with EmbeddedServices(config.settings().home_path, postgres=False):
        os.environ["DATABASE_URL"] = url
        forget_settings()
        yield url
        forget_settings()
        del os.environ["DATABASE_URL"]
    server.drop(url)


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    made = db.make_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session whose commits end in a savepoint; the outer transaction is rolled back after the test."""
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as made:
            yield made
        outer.rollback()


@pytest.fixture
def fresh_database(server: services.Server) -> Iterator[Callable[..., str]]:
    """`fresh_database()` gives the URL of a migrated database for other processes, dropped after the test.

    `fresh_database(url)` is a copy of the one at `url`.
    """
    made: list[str] = []

    def create(like: str = "") -> str:
        made.append(server.create(like))
        return made[-1]

    yield create
    for url in made:
        server.drop(url)


@pytest.fixture
def own_database(fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The app's settings name a database and a blob folder of this test's own, so that it may commit."""
    monkeypatch.setenv("DATABASE_URL", fresh_database())
    monkeypatch.setenv("IPATH_BLOBS", str(tmp_path / "blobs"))
    forget_settings()
    yield
    forget_settings()


@pytest.fixture
def fresh_valkey(tmp_path: Path) -> Iterator[EmbeddedServices]:
    """A Valkey for other processes, by its `redis_url`; it may be killed and ends with the test."""
    with EmbeddedServices(tmp_path / "valkey-home", postgres=False) as made:
        yield made


def forget_settings() -> None:
    """Makes the app read its settings and open its engine again."""
    if db.engine.cache_info().currsize:
        db.engine().dispose()
    for cached in (config.settings, db.engine, db.sessions, storage.blobs):
        cached.cache_clear()
