"""What tests of evaluation jobs ask for: a database, a models folder and evaluation roots of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import jobs
from app.config import settings
from tests.conftest import forget_settings
from tests.encoders.models import fill_models_folder
from workers.vectors import loaded


@pytest.fixture
def roots(own_database: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The evaluation root of an own home, beside a models folder; no broker, the test runs the jobs itself."""
    monkeypatch.setenv("IPATH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPATH_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)
    forget_settings()
    loaded.cache_clear()
    fill_models_folder()
    (root,) = settings().evaluation_roots
    root.mkdir(parents=True)
    yield root
    loaded.cache_clear()
