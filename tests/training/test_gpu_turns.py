"""Embedding and a run never take one GPU's memory at once: what can wait waits, and says for which run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from app import jobs
from app.db import transaction
from app.prefilter import due, stages
from app.tables import Job, JobState, WaitReason
from app.training.folders import folder_of
from tests.training.running import launch
from tests.training.shards import QUICK
from workers import main as worker
from workers import training_turns
from workers.ml.gpus import uuid_of
from workers.training_watch import Watch

OURS, ANOTHER = "4e7f0c1a-0000", "4e7f0c1a-0001"


@pytest.fixture
def run(own_home: Path) -> jobs.RunningJob:
    """A run whose trainer said that it works on our GPU."""
    _, submitted = launch(replace(QUICK, epochs=2))
    claimed = jobs.claim(submitted.id)
    assert claimed
    folder = folder_of(claimed.arguments["run"])
    folder.mkdir(parents=True)
    (folder / "started.json").write_text(json.dumps({"epoch": 0, "steps_per_epoch": 2, "gpu": OURS}))
    Watch(claimed, claimed.arguments["run"], folder, QUICK).copy(0, None)
    return claimed


def worked(stage: str) -> Job:
    """The job of a stage that has nothing to do, after a worker had it."""
    with transaction() as session:
        job = due.submit_stage(session, stages.BY_NAME[stage])
        session.execute(update(Job).where(Job.id == job.id).values(not_before=job.created_at))
    worker.run_job(job.id)
    with transaction() as session:
        return session.get_one(Job, job.id)


def test_embedding_waits_for_the_run_that_trains_on_its_gpu_and_goes_on_after_it(
    run: jobs.RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_turns, "_own_gpu", lambda: OURS)
    waits = worked("embedding")
    assert (waits.state, waits.wait_reason) == (JobState.QUEUED, WaitReason.TURN)
    assert waits.message == f"Waits for run {run.arguments['run']}, which trains on the same GPU."
    assert worked("quality").state is JobState.SUCCEEDED  # it needs no GPU
    run.finish(JobState.SUCCEEDED)
    done = worked("embedding")
    assert (done.id, done.state, done.message) == (waits.id, JobState.SUCCEEDED, "")


@pytest.mark.parametrize("gpu", [ANOTHER, ""])
def test_a_worker_with_another_gpu_or_none_embeds_meanwhile(
    run: jobs.RunningJob, monkeypatch: pytest.MonkeyPatch, gpu: str
) -> None:
    monkeypatch.setattr(training_turns, "_own_gpu", lambda: gpu)
    assert worked("embedding").state is JobState.SUCCEEDED


def test_a_cpu_is_no_gpu() -> None:
    assert uuid_of("cpu") == ""
