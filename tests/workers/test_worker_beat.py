"""What a worker says of itself while it runs jobs."""

import pytest
from sqlalchemy import select

from app import jobs
from app.db import transaction
from app.jobs import RunningJob
from app.operations.queries import live_workers
from app.tables import Job, JobState, WorkQueue
from workers import main as worker


@pytest.mark.usefixtures("own_database")
def test_a_worker_is_never_called_idle_while_its_job_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []

    def look(_job: RunningJob | None = None) -> None:
        with transaction() as session:
            seen.extend(live.job_id for live in live_workers(session))

    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)
    monkeypatch.setattr(worker, "_pulse", [worker.Pulse(["cpu"])])  # its thread, which beats every 2 s, does not run
    monkeypatch.setattr(worker, "handler", lambda kind: look)
    with transaction() as session:
        job_id = jobs.submit(session, "rerun", WorkQueue.CPU, {}).id
    worker.run_job(job_id)
    look()
    assert seen == [job_id, None]
    with transaction() as session:
        assert session.scalars(select(Job.state)).one() is JobState.SUCCEEDED
