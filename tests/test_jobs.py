"""The life of a job row. These need committed rows, so they have a database of their own."""

import errno
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app import jobs, presence
from app.db import sessions, transaction
from app.errors import Invalid
from app.jobs import Cancelled, LeaseLost, RunningJob
from app.tables import Event, Job, JobState, WaitReason, Worker, WorkQueue
from tests.conftest import forget_settings
from workers import main as worker

CPU = WorkQueue.CPU


@pytest.fixture(autouse=True)
def database(fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The app's settings name a database of this test's own."""
    monkeypatch.setenv("DATABASE_URL", fresh_database())
    forget_settings()
    yield
    forget_settings()


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, WorkQueue]]:
    """The wake-ups that left, in place of a broker."""
    messages: list[tuple[int, WorkQueue]] = []
    monkeypatch.setattr(jobs, "send", lambda job_id, queue: messages.append((job_id, queue)))
    return messages


def submit(dedupe: str | None = None) -> int:
    with transaction() as session:
        return jobs.submit(session, "import", CPU, {"import": 1}, dedupe=dedupe).id


def claimed(job_id: int) -> RunningJob:
    job = jobs.claim(job_id)
    assert job is not None
    return job


def row(job_id: int) -> Job:
    with transaction() as session:
        return session.get_one(Job, job_id)


def change(job_id: int, **values: object) -> None:
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def expire(job_id: int) -> None:
    change(job_id, lease_until=func.clock_timestamp() - timedelta(seconds=1))


def note(session: Session, act: str) -> None:
    """Some work that a step does."""
    jobs.record(session, act, "candidate", 1)


def noted() -> list[str]:
    with transaction() as session:
        return list(session.scalars(select(Event.act).where(Event.act.like("test.%")).order_by(Event.id)))


# --- submitting ---------------------------------------------------------------------------------


def test_two_clicks_make_one_job() -> None:
    first = submit(dedupe="import:x")
    assert submit(dedupe="import:x") == first
    assert claimed(first).id == submit(dedupe="import:x"), "also while it runs"
    assert submit(dedupe="import:y") != first
    assert submit() != submit()


def test_the_key_is_free_again_when_the_job_is_over() -> None:
    first = submit(dedupe="import:x")
    claimed(first).finish(JobState.SUCCEEDED)
    assert submit(dedupe="import:x") != first


def test_a_wake_up_leaves_after_the_commit(sent: list[tuple[int, WorkQueue]]) -> None:
    with transaction() as session:
        job = jobs.submit(session, "import", CPU, {})
        assert sent == []
    assert sent == [(job.id, CPU)]


def test_a_savepoint_neither_sends_nor_drops_a_wake_up(sent: list[tuple[int, WorkQueue]]) -> None:
    with transaction() as session:
        with session.begin_nested():
            first = jobs.submit(session, "import", CPU, {}).id
        with session.begin_nested() as savepoint:
            savepoint.rollback()
        assert sent == [], "a worker would look for a job that is not committed yet"
    assert sent == [(first, CPU)]


def test_a_rollback_drops_the_wake_up(sent: list[tuple[int, WorkQueue]]) -> None:
    with sessions()() as session:
        jobs.submit(session, "import", CPU, {})
        session.rollback()
        session.commit()
    assert sent == []


# --- claiming -----------------------------------------------------------------------------------


def test_a_job_is_claimed_once() -> None:
    job_id = submit()
    job = claimed(job_id)
    assert jobs.claim(job_id) is None
    assert (row(job_id).state, row(job_id).token) == (JobState.RUNNING, job.token)


def test_a_job_that_is_not_due_or_over_is_not_claimed() -> None:
    later, over = submit(), submit()
    change(later, not_before=func.clock_timestamp() + timedelta(minutes=1))
    claimed(over).finish(JobState.FAILED, "no")
    assert jobs.claim(later) is None
    assert jobs.claim(over) is None
    assert jobs.claim(10**9) is None


# --- steps --------------------------------------------------------------------------------------


def test_a_step_commits_work_cursor_and_progress_together() -> None:
    job = claimed(submit())
    with job.step() as session:
        note(session, "test.work")
        job.cursor, job.done, job.total, job.message = {"row": 5}, 5, 10, "half"
    found = row(job.id)
    assert (found.cursor, found.done, found.total, found.message) == ({"row": 5}, 5, 10, "half")
    assert noted() == ["test.work"]


def test_a_step_that_fails_leaves_nothing() -> None:
    job = claimed(submit())

    def failing() -> None:
        with job.step() as session:
            note(session, "test.work")
            job.cursor = {"row": 5}
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        failing()
    assert (row(job.id).cursor, noted()) == ({}, [])


def test_a_step_whose_token_is_another_workers_leaves_nothing() -> None:
    job = claimed(submit())
    change(job.id, token=uuid4())

    def late() -> None:
        with job.step() as session:
            note(session, "test.work")
            job.cursor = {"row": 5}

    with pytest.raises(LeaseLost):
        late()
    assert (row(job.id).cursor, noted()) == ({}, [])


def test_a_step_renews_the_lease() -> None:
    job = claimed(submit())
    expire(job.id)
    with job.step():
        pass
    with transaction() as session:
        assert session.scalar(select(Job.lease_until > func.clock_timestamp()).where(Job.id == job.id))


def test_a_lost_job_cannot_be_finished_by_its_old_worker() -> None:
    job = claimed(submit())
    change(job.id, token=uuid4())
    job.finish(JobState.FAILED, "too late")
    assert (row(job.id).state, row(job.id).error) == (JobState.RUNNING, "")


def test_a_cancelled_job_stops_at_its_next_step_and_keeps_that_step() -> None:
    job = claimed(submit())
    with transaction() as session:
        assert jobs.request_cancel(session, job.id, None)

    def step() -> None:
        with job.step() as session:
            note(session, "test.work")
            job.done = 7

    with pytest.raises(Cancelled):
        step()
    assert (row(job.id).done, noted()) == (7, ["test.work"])
    with pytest.raises(Cancelled):
        job.check()


def test_a_waiting_job_is_cancelled_at_once_and_an_ended_one_not_at_all() -> None:
    job_id = submit()
    with transaction() as session:
        assert jobs.request_cancel(session, job_id, None)
        assert not jobs.request_cancel(session, job_id, None)
    assert row(job_id).state is JobState.CANCELLED
    assert jobs.claim(job_id) is None


def test_a_retry_goes_on_where_the_old_job_stopped() -> None:
    job = claimed(submit(dedupe="import:x"))
    with job.step():
        job.cursor, job.done = {"row": 5}, 5
    job.finish(JobState.FAILED, "OSError: no")
    with transaction() as session:
        again = jobs.retry(session, session.get_one(Job, job.id), None)
    assert (again.retry_of, again.cursor, again.done) == (job.id, {"row": 5}, 5)
    assert claimed(again.id).cursor == {"row": 5}


# --- sweeping -----------------------------------------------------------------------------------


def test_the_sweeper_takes_back_a_job_whose_lease_ran_out(sent: list[tuple[int, WorkQueue]]) -> None:
    job = claimed(submit())
    sent.clear()
    assert jobs.sweep() == 0
    expire(job.id)
    assert jobs.sweep() == 1
    found = row(job.id)
    assert (found.state, found.lost, found.token) == (JobState.QUEUED, 1, None)
    assert sent == [(job.id, CPU)]
    with pytest.raises(LeaseLost), job.step():
        pass


def test_a_job_that_loses_its_worker_three_times_fails() -> None:
    job_id = submit()
    for _ in range(3):
        claimed(job_id)
        expire(job_id)
        jobs.sweep()
    found = row(job_id)
    assert (found.state, found.lost) == (JobState.FAILED, 3)
    assert "lost 3 times" in found.error


def test_a_lost_job_that_was_to_stop_is_cancelled() -> None:
    job = claimed(submit())
    change(job.id, cancel_requested=True)
    expire(job.id)
    jobs.sweep()
    assert row(job.id).state is JobState.CANCELLED


def test_the_sweeper_wakes_again_what_waits_too_long(sent: list[tuple[int, WorkQueue]]) -> None:
    job_id = submit()
    sent.clear()
    assert jobs.sweep() == 0
    change(job_id, sent_at=func.clock_timestamp() - timedelta(minutes=1))
    assert jobs.sweep() == 1
    assert jobs.sweep() == 0
    assert sent == [(job_id, CPU)]


def test_two_sweepers_do_not_sweep_at_once() -> None:
    job_id = submit()
    change(job_id, sent_at=None)
    with transaction() as session:
        session.execute(text("SELECT pg_advisory_xact_lock(20419)"))
        assert jobs.sweep() == 0
    assert jobs.sweep() == 1


# --- what a worker does with it -----------------------------------------------------------------


def running(monkeypatch: pytest.MonkeyPatch, body: Callable[[RunningJob], None]) -> Job:
    """A submitted job after a worker ran it with `body` as what the job does."""
    monkeypatch.setattr(worker, "handler", lambda _kind: body)
    job_id = submit()
    worker.run_job(job_id)
    return row(job_id)


def test_a_job_that_returns_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    found = running(monkeypatch, lambda _job: None)
    assert (found.state, found.finished_at is not None) == (JobState.SUCCEEDED, True)


def test_a_job_that_raises_fails_with_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(_job: RunningJob) -> None:
        raise ValueError("row 205\nis broken")

    found = running(monkeypatch, body)
    assert found.state is JobState.FAILED
    assert found.error == "is broken"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Invalid("labels.csv has i\0m\0a\0g\0e.", "Save it anew."), "i�m�a�g�e. Save it anew."),
        (ValueError("caf\udce9.png is broken"), "caf\\udce9.png is broken"),
        (MemoryError(), "The memory was not enough."),
    ],
)
def test_whatever_an_error_quotes_the_job_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def body(_job: RunningJob) -> None:
        raise error

    found = running(monkeypatch, body)
    assert found.state is JobState.FAILED
    assert said in found.error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_waits_and_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def body(job: RunningJob) -> None:
        with job.step():
            job.done = 204
        raise OSError(code, "No space left on device")

    found = running(monkeypatch, body)
    assert (found.state, found.wait_reason, found.done) == (JobState.QUEUED, WaitReason.DISK, 204)
    assert found.lost == 0
    assert jobs.claim(found.id) is None, "it is tried again a minute later"


def test_a_full_disk_of_the_database_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(job: RunningJob) -> None:
        with job.step() as session:
            session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$"))

    assert running(monkeypatch, body).wait_reason is WaitReason.DISK


def test_a_turn_goes_to_the_end_of_the_queue_at_once(
    monkeypatch: pytest.MonkeyPatch, sent: list[tuple[int, WorkQueue]]
) -> None:
    def body(_job: RunningJob) -> None:
        raise jobs.Wait(WaitReason.TURN, 0)

    found = running(monkeypatch, body)
    assert (found.state, found.wait_reason, found.lost) == (JobState.QUEUED, WaitReason.TURN, 0)
    assert sent == [(found.id, CPU)] * 2
    assert jobs.claim(found.id) is not None


def test_a_job_that_was_asked_to_stop_ends_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(job: RunningJob) -> None:
        change(job.id, cancel_requested=True)
        with job.step():
            pass

    found = running(monkeypatch, body)
    assert found.state is JobState.CANCELLED
    with transaction() as session:
        event = session.scalars(select(Event).where(Event.act == "job.cancelled")).one()
    assert event.job_id == found.id


def test_a_second_message_for_a_job_finds_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setattr(worker, "handler", lambda _kind: lambda job: ran.append(job.id))
    job_id = submit()
    for _ in range(3):
        worker.run_job(job_id)
    assert ran == [job_id]


# --- workers ------------------------------------------------------------------------------------


def test_a_worker_is_alive_while_it_beats_and_gone_when_it_stops() -> None:
    presence.beat_worker("here", 1, ["cpu", "gpu"], None, 100)
    presence.beat_worker("here", 1, ["cpu", "gpu"], None, 200)
    with transaction() as session:
        assert presence.served_queues(session) == {"cpu", "gpu"}
        assert session.scalars(select(Worker.memory)).all() == [200]
    presence.drop_worker("here", 1)
    with transaction() as session:
        assert presence.served_queues(session) == set()


def test_a_worker_that_is_silent_for_some_seconds_serves_nothing() -> None:
    presence.beat_worker("here", 1, ["cpu"], None, 100)
    with transaction() as session:
        silent = func.clock_timestamp() - presence.WORKER_ALIVE - timedelta(seconds=1)
        session.execute(update(Worker).values(seen_at=silent))
        assert presence.served_queues(session) == set()
