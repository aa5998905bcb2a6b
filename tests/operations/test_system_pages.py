"""The system page, a job's page, and stopping and trying again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app import jobs
from app.db import get_session, make_engine
from app.jobs import record
from app.tables import Event, Import, Job, JobState, Worker, WorkQueue
from tests.factories import make_import
from tests.web_client import SignIn

HTMX = {"HX-Request": "true"}


def make_job(session: Session, state: JobState = JobState.QUEUED, error: str = "") -> Job:
    job = jobs.submit(session, "import", WorkQueue.CPU, {"import": 43}, unit="files", total=200)
    if state is not JobState.QUEUED:
        job.state, job.error, job.started_at = state, error, func.clock_timestamp()
    if state is JobState.RUNNING:
        job.token, job.heartbeat, job.done = func.gen_random_uuid(), func.clock_timestamp(), 50
    elif state is not JobState.QUEUED:
        job.finished_at = func.clock_timestamp()
    session.flush()
    session.refresh(job)
    return job


def test_the_system_page_answers_whether_all_is_running(session: Session, sign_in: SignIn) -> None:
    elm = sign_in("elm")
    page = elm.get("/system")
    assert "<h1>All is running</h1>" in page.text
    assert "No worker runs" in page.text
    assert "Nothing runs or waits" in page.text
    make_job(session)
    page = elm.get("/system")
    assert "<h1>One thing needs mending</h1>" in page.text
    assert "No worker serves “cpu”" in page.text
    assert "ipath worker --queues cpu" in page.text


def test_it_shows_workers_and_what_they_do(session: Session, sign_in: SignIn) -> None:
    job = make_job(session, JobState.RUNNING)
    session.add(Worker(host="bench-3", pid=71, queues=["cpu", "gpu"], job_id=job.id, memory=310_000_000))
    session.flush()
    page = sign_in("elm").get("/system")
    for words in ("bench-3, 71", "cpu, gpu", "Import 43", "310\N{NO-BREAK SPACE}MB", "50 of 200 files", "Stop"):
        assert words in page.text


def test_the_living_part_comes_alone_for_htmx_and_whole_without(sign_in: SignIn) -> None:
    elm = sign_in("elm")
    part = elm.get("/system/live", headers=HTMX).text
    assert part.strip().startswith('<div id="live"')
    assert 'hx-trigger="every 2s"' in part
    assert "<html" not in part
    whole = elm.get("/system/live").text
    assert "<html" in whole
    assert 'http-equiv="refresh"' in whole


def test_a_job_that_stopped_says_why_and_can_be_tried_again(session: Session, sign_in: SignIn) -> None:
    failed = make_job(session, JobState.FAILED, "OSError: <no> such file")
    elm = sign_in("elm")
    for url in ("/system", f"/jobs/{failed.id}"):
        page = elm.get(url)
        assert "OSError: &lt;no&gt; such file" in page.text
        assert "Try again" in page.text
    answer = elm.post(f"/jobs/{failed.id}/retry")
    again = session.scalars(select(Job).where(Job.retry_of == failed.id)).one()
    assert answer.headers["location"] == f"/jobs/{again.id}"
    assert f"job {again.id}" in elm.get(f"/jobs/{failed.id}").text
    assert "Jobs that stopped" not in elm.get("/system").text


def test_a_retry_goes_on_where_the_job_stopped_and_its_import_follows(session: Session, sign_in: SignIn) -> None:
    failed = make_job(session, JobState.FAILED)
    failed.cursor, failed.done = {"row": 12}, 12
    run = make_import(session)
    run.job_id = failed.id
    session.flush()
    sign_in("elm").post(f"/jobs/{failed.id}/retry")
    again = session.scalars(select(Job).where(Job.retry_of == failed.id)).one()
    assert (again.cursor, again.done) == ({"row": 12}, 12)
    session.refresh(run)
    assert session.get_one(Import, run.id).job_id == again.id


def test_two_clicks_make_one_retry(session: Session, sign_in: SignIn) -> None:
    failed = make_job(session, JobState.FAILED)
    elm = sign_in("elm")
    assert [elm.post(f"/jobs/{failed.id}/retry").status_code for _ in range(2)] == [303, 409]
    assert len(session.scalars(select(Job).where(Job.retry_of == failed.id)).all()) == 1


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED])
def test_only_a_job_that_stopped_is_tried_again(session: Session, sign_in: SignIn, state: JobState) -> None:
    assert sign_in("elm").post(f"/jobs/{make_job(session, state).id}/retry").status_code == 409


def test_a_waiting_job_is_stopped_at_once(session: Session, sign_in: SignIn) -> None:
    job = make_job(session)
    answer = sign_in("elm").post(f"/jobs/{job.id}/stop")
    assert answer.headers["location"] == f"/jobs/{job.id}"
    session.refresh(job)
    assert job.state is JobState.CANCELLED
    event = session.scalars(select(Event).where(Event.act == "job.cancel_requested")).one()
    assert event.user_id is not None


def test_a_running_job_is_asked_to_stop(session: Session, sign_in: SignIn) -> None:
    job = make_job(session, JobState.RUNNING)
    elm = sign_in("elm")
    elm.post(f"/jobs/{job.id}/stop")
    session.refresh(job)
    assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)
    assert "Stops at its next step" in elm.get(f"/jobs/{job.id}").text


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_is_over_is_not_stopped(session: Session, sign_in: SignIn, state: JobState) -> None:
    assert sign_in("elm").post(f"/jobs/{make_job(session, state).id}/stop").status_code == 409


def test_a_jobs_page_tells_its_progress_and_log(session: Session, sign_in: SignIn) -> None:
    job = make_job(session, JobState.RUNNING)
    record(session, "import.finished", "import", 43, job_id=job.id, details={"taken": 5})
    page = sign_in("elm").get(f"/jobs/{job.id}")
    for words in ("<h1>Import 43</h1>", "50 of 200 files", "5 taken", 'hx-trigger="every 2s"', "Running"):
        assert words in page.text


def test_a_job_that_is_over_asks_no_more(session: Session, sign_in: SignIn) -> None:
    job = make_job(session, JobState.SUCCEEDED)
    page = sign_in("elm").get(f"/jobs/{job.id}", headers=HTMX)
    assert page.text.strip().startswith('<div id="live"')
    assert "hx-trigger" not in page.text


@pytest.mark.parametrize("act", ["stop", "retry"])
@pytest.mark.parametrize(("persona", "status"), [("alder", 403), ("fir", 403), ("", 401)])
def test_jobs_are_an_admins(session: Session, sign_in: SignIn, act: str, persona: str, status: int) -> None:
    job = make_job(session)
    assert sign_in(persona).post(f"/jobs/{job.id}/{act}").status_code == status


def test_there_is_no_job_of_another_number(sign_in: SignIn) -> None:
    elm = sign_in("elm")
    assert elm.get("/jobs/999999999").status_code == 404
    assert elm.post("/jobs/999999999/stop").status_code == 404
    assert elm.post("/jobs/999999999/retry").status_code == 404


# --- health -------------------------------------------------------------------------------------


def test_health_needs_no_one_signed_in(sign_in: SignIn) -> None:
    answer = sign_in("").get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_health_says_when_the_database_does_not_answer(web_app: FastAPI, tmp_path: Path) -> None:
    nowhere = make_engine(f"postgresql+psycopg://ipath@/nothing?host={tmp_path}")

    def no_database() -> Iterator[Session]:
        with Session(nowhere) as session, session.begin():
            yield session

    web_app.dependency_overrides[get_session] = no_database
    with TestClient(web_app, base_url="http://localhost") as client:
        answer = client.get("/health")
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["status"]
