"""The checks of the system page and of `ipath doctor`."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func
from sqlalchemy.orm import Session

from app import config, jobs
from app.operations import checks, queries
from app.operations.policies import QueueState, mending
from app.storage import blobs
from app.tables import Encoder, EncoderKind, Weights, Worker, WorkQueue


def work(session: Session, *names: str, seconds_ago: float = 0) -> None:
    seen = func.clock_timestamp() - timedelta(seconds=seconds_ago)
    session.add(Worker(host="here", pid=1, queues=list(names), seen_at=seen))
    session.flush()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Settings of the environment for one test; the app reads them again before and after."""
    yield monkeypatch
    monkeypatch.undo()
    config.settings.cache_clear()
    blobs.cache_clear()


def setting(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    config.settings.cache_clear()
    blobs.cache_clear()


def test_in_a_sound_house_nothing_is_bad(session: Session) -> None:
    found = {check.name: check for check in checks.all_checks(session)}
    assert [name for name, check in found.items() if check.state == "bad"] == []
    assert list(found) == ["Database", "Broker", "Workers", "Storage", "Disk", "Model weights", "Language model"]
    assert "PostgreSQL 18" in found["Database"].text
    assert "pgvector" in found["Database"].text
    assert "Valkey" in found["Broker"].text
    assert "to write and read back" in found["Storage"].text


def test_jobs_that_wait_on_an_unserved_queue_are_bad_and_name_the_command(session: Session) -> None:
    work(session, "cpu")
    jobs.submit(session, "snapshot", WorkQueue.EXPORT, {})
    jobs.submit(session, "import", WorkQueue.CPU, {})
    check = checks.workers(queries.queue_states(session))
    assert check.state == "bad"
    assert check.text == "no worker serves “export”; 1 job waits"
    assert check.what_to_do == "Start one: ipath worker --queues export"


def test_a_worker_counts_as_gone_some_seconds_after_its_last_beat(session: Session) -> None:
    jobs.submit(session, "import", WorkQueue.CPU, {})
    work(session, "cpu", seconds_ago=30)
    assert checks.workers(queries.queue_states(session)).state == "bad"
    assert queries.live_workers(session) == []


def test_a_job_that_is_not_due_yet_waits_for_nobody(session: Session) -> None:
    job = jobs.submit(session, "import", WorkQueue.CPU, {})
    job.not_before = func.clock_timestamp() + timedelta(minutes=1)
    session.flush()
    assert checks.workers(queries.queue_states(session)).state == "warn"


def test_without_workers_and_work_it_only_warns() -> None:
    idle = [QueueState(queue, 0, 0, None) for queue in WorkQueue]
    assert checks.workers(idle).state == "warn"


def test_a_broker_that_does_not_answer_is_bad(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    setting(environment, "REDIS_URL", f"redis+socket://{tmp_path}/no.sock")
    check = checks.broker()
    assert (check.name, check.state) == ("Broker", "bad")
    assert "Jobs are safe" in check.what_to_do


def test_a_storage_that_cannot_be_written_is_bad(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("where a folder should be")
    setting(environment, "IPATH_BLOBS", str(tmp_path / "file"))
    assert checks.storage().state == "bad"


def test_the_storage_check_leaves_nothing_behind(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    setting(environment, "IPATH_BLOBS", str(tmp_path / "blobs"))
    assert checks.storage().state == "ok"
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_a_page_that_polls_writes_to_the_storage_once_a_minute(
    session: Session, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    checks.all_checks(session)
    (tmp_path / "file").write_text("where a folder should be")
    setting(environment, "IPATH_BLOBS", str(tmp_path / "file"))

    def storage(found: list[checks.Check]) -> str:
        return next(check.state for check in found if check.name == "Storage")

    assert storage(checks.live_checks(session)) == "ok"
    assert storage(checks.all_checks(session)) == "bad"
    checks._kept.clear()


def test_random_weights_are_a_warning(session: Session) -> None:
    assert checks.model_weights(session).state == "ok"
    encoder = Encoder(
        name="ViT-B-32",
        source="open_clip",
        model="ViT-B-32",
        width=512,
        kind=EncoderKind.IMAGE_TEXT,
        weights=Weights.RANDOM,
    )
    session.add(encoder)
    session.flush()
    check = checks.model_weights(session)
    assert check.state == "warn"
    assert "ViT-B-32 (random)" in check.text


def test_the_disk_says_how_full_it_is() -> None:
    assert "% full" in checks.disk().text


@pytest.mark.parametrize(
    ("count", "title"), [(0, "All is running"), (1, "One thing needs mending"), (3, "3 things need mending")]
)
def test_the_title_is_the_answer(count: int, title: str) -> None:
    assert mending(count) == title
