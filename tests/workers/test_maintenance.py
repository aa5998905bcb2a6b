"""Tidying: what a crash left goes after a day, and nothing else."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from app.config import settings
from app.db import transaction
from app.storage import blobs
from app.tables import LoginAttempt, UserSession
from tests.conftest import forget_settings
from tests.factories import PASSWORD, make_person
from workers.maintenance import tidy


@pytest.fixture(autouse=True)
def own_home(own_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPATH_HOME", str(tmp_path / "home"))
    forget_settings()


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, times=(time.time() - days * 86400,) * 2)
    return path


def test_temporary_files_of_the_day_before_go_and_all_others_stay() -> None:
    uploads = settings().uploads_path
    old, fresh, upload = aged(uploads / ".old", 2), aged(uploads / ".fresh", 0), aged(uploads / "kept", 9)
    sha256 = blobs().put(b"picture")
    half = aged(Path(blobs().path(sha256)).with_name(".half"), 2)
    assert tidy() == 2
    assert (old.exists(), half.exists(), fresh.exists(), upload.exists()) == (False, False, True, True)
    assert blobs().get(sha256) == b"picture"


def test_sessions_that_are_over_and_old_attempts_go() -> None:
    from app.accounts import actions

    with transaction() as session:
        make_person(session, "alder")
        assert actions.sign_in(session, "alder", PASSWORD, "127.0.0.1", "") is not None
        assert actions.sign_in(session, "alder", PASSWORD, "127.0.0.1", "") is not None
        assert actions.sign_in(session, "alder", "wrong", "127.0.0.1", "") is None
        first = session.scalars(select(UserSession.id).order_by(UserSession.id)).first()
        idle = func.clock_timestamp() - timedelta(hours=13)
        session.execute(update(UserSession).where(UserSession.id == first).values(seen_at=idle))
        session.execute(update(LoginAttempt).values(at=func.clock_timestamp() - timedelta(hours=1)))
    tidy()
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(UserSession)) == 1
        assert session.scalar(select(func.count()).select_from(LoginAttempt)) == 0
