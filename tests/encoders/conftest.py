"""What the tests of encoders ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import jobs
from app.db import transaction
from app.prefilter import actions as prefilter
from app.tables import Encoder
from tests.conftest import forget_settings
from tests.encoders.models import SECOND, TINY_CLIP, fill_models_folder, register
from workers.vectors import loaded


@pytest.fixture
def models(own_database: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A database and a models folder of the test's own; no broker, the test runs the jobs itself."""
    monkeypatch.setenv("IPATH_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)
    forget_settings()
    loaded.cache_clear()
    yield fill_models_folder()
    loaded.cache_clear()


@pytest.fixture
def old(models: Path) -> Encoder:
    """An encoder in use."""
    made = register(TINY_CLIP)
    with transaction() as session:
        prefilter.use_encoder(session, made.id)
    return made


@pytest.fixture
def new(models: Path) -> Encoder:
    """Another one, registered."""
    return register(SECOND)
