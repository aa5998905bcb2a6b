"""A database of a test module's own, which every test of it leaves empty."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from app import db
from app.db import Base
from tests.conftest import forget_settings
from tests.services import Server


@pytest.fixture(scope="module", name="database")
def database_of_module(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all tests here: each empties it, which takes less time than to make one."""
    url = server.create()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DATABASE_URL", url)
        patched.setenv("IPATH_BLOBS", str(tmp_path_factory.mktemp("blobs")))
        forget_settings()
        yield url
        forget_settings()
    server.drop(url)


@pytest.fixture
def emptied(database: str) -> Iterator[None]:
    yield
    seeded = {"stage", "reason", "queue", "setting", "prompt"}
    names = [table.name for table in Base.metadata.sorted_tables if table.name not in seeded]
    with db.engine().connect() as connection:
        connection.execute(text("RESET ROLE"))
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # lifts "append-only"
        for name in names:
            connection.execute(text(f'DELETE FROM "{name}"'))
        connection.execute(text("UPDATE stage SET paused = false"))
        connection.execute(text("DELETE FROM prompt WHERE version > 1"))
        connection.execute(text("UPDATE stage SET setting = '{}', threshold = 0 WHERE name = 'llm'"))
        connection.commit()
        connection.invalidate()
