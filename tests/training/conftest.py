"""What the tests of training ask for."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import jobs
from app.db import transaction
from app.tables import Snapshot
from tests.conftest import forget_settings
from tests.services import Server
from tests.training.running import accept_pairs, freeze, put_config


def use(patched: pytest.MonkeyPatch, database: str, folder: Path) -> None:
    """The app's settings name this database and what lies in `folder`; no broker, the test runs the jobs itself."""
    patched.setenv("DATABASE_URL", database)
    patched.setenv("IPATH_HOME", str(folder / "home"))
    patched.setenv("IPATH_BLOBS", str(folder / "blobs"))
    patched.setattr(jobs, "send", lambda job_id, queue: None)
    forget_settings()


@pytest.fixture
def own_home(fresh_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A database and a home of the test's own."""
    use(monkeypatch, fresh_database(), tmp_path)
    put_config()
    yield tmp_path / "home"
    forget_settings()


@dataclass(frozen=True)
class Frozen:
    """A snapshot, and the database and folder in which it was made."""

    snapshot: Snapshot
    database: str
    folder: Path


@pytest.fixture(scope="module")
def frozen(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frozen]:
    """Made once for a file: to copy it takes less time than to accept all those pairs."""
    database, folder = server.create(), tmp_path_factory.mktemp("frozen")
    with pytest.MonkeyPatch.context() as patched:
        use(patched, database, folder)
        put_config()
        with transaction() as session:
            accept_pairs(session, 60, authors=30)
        made = freeze()
        forget_settings()
    yield Frozen(made, database, folder)
    server.drop(database)


@pytest.fixture
def snapshot(
    frozen: Frozen, fresh_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Snapshot]:
    """50 training, 8 validation and 2 test pairs, two of each author, in a database and a home of the test's own."""
    shutil.copytree(frozen.folder, tmp_path / "copy")
    use(monkeypatch, fresh_database(frozen.database), tmp_path / "copy")
    yield frozen.snapshot
    forget_settings()
