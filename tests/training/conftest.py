"""What the tests of training ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import jobs
from app.db import transaction
from app.tables import Snapshot
from tests.conftest import forget_settings
from tests.training.running import accept_pairs, freeze, put_config


@pytest.fixture
def own_home(own_database: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A database and a home of the test's own; no broker, the test runs the jobs itself."""
    monkeypatch.setenv("IPATH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)
    forget_settings()
    put_config()
    yield tmp_path / "home"
    forget_settings()


@pytest.fixture
def snapshot(own_home: Path) -> Snapshot:
    """50 training, 8 validation and 2 test pairs, two of each author."""
    with transaction() as session:
        accept_pairs(session, 60, authors=30)
    return freeze()
