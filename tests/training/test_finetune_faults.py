"""A worker that is killed or asked to end while it trains: no trainer is left, and the next one goes on."""

import os
import signal
from dataclasses import replace

import psutil
import pytest
from sqlalchemy import select

from app.db import transaction
from app.tables import Job, JobState, Run, RunStep, WaitReason
from app.training.folders import folder_of
from tests.test_faults import site, until, worker
from tests.training.running import accept_pairs, freeze, launch, put_config
from tests.training.shards import QUICK

__all__ = ["site"]
pytestmark = [pytest.mark.process, pytest.mark.usefixtures("site")]


def training(run: Run) -> list[psutil.Process]:
    """Processes anywhere on this machine that train the run."""
    folder = str(folder_of(run.id).parent)
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "workers.ml.trainer" in words and folder in words:
            found.append(process)
    return found


def state(job: Job) -> Job:
    with transaction() as session:
        return session.get_one(Job, job.id)


def steps(run: Run) -> list[int]:
    with transaction() as session:
        return list(session.scalars(select(RunStep.step).where(RunStep.run_id == run.id).order_by(RunStep.step)))


@pytest.fixture
def run() -> tuple[Run, Job]:
    """A run of ten epochs of four steps."""
    put_config()
    with transaction() as session:
        accept_pairs(session, 60, authors=30)
    return launch(replace(QUICK, epochs=10), snapshot_id=freeze().id)


def test_a_killed_worker_leaves_no_trainer_and_the_next_one_goes_on_at_the_last_border(run: tuple[Run, Job]) -> None:
    made, job = run
    with worker() as first:
        until(lambda: len(steps(made)) > 4, 300)  # in the second epoch
        assert len({one.pid for one in training(made)}) >= 1
        os.kill(first.child.pid, signal.SIGKILL)
        until(lambda: not training(made), 15)
        first.child.wait()
    with worker():
        until(lambda: state(job).state is JobState.SUCCEEDED, 400)
    assert steps(made) == list(range(40))
    assert state(job).lost == 1
    log = (folder_of(made.id) / "console.log").read_text()
    assert log.count("Start epoch 0") == 1  # the first epoch was not repeated
    assert "=> resuming checkpoint" in log


def test_a_worker_that_is_asked_to_end_ends_its_trainer_and_gives_the_run_back(run: tuple[Run, Job]) -> None:
    made, job = run
    with worker() as only:
        until(lambda: len(steps(made)) > 0, 300)
        os.kill(only.child.pid, signal.SIGTERM)
        only.child.wait(20)
        assert not training(made)
    given_back = state(job)
    assert (given_back.state, given_back.wait_reason, given_back.lost) == (JobState.QUEUED, WaitReason.DEPLOY, 0)
    assert given_back.message.startswith("The worker stopped in epoch ")
