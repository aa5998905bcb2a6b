"""The fine-tuning job, with the real trainer: what it reads, records, refuses and leaves."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
import pytest
import torch
from sqlalchemy import func, select, update

from app import jobs
from app.accounts.policies import SYSTEM
from app.config import settings
from app.curation import moves
from app.db import transaction
from app.encoders.policies import OWN_LICENCE
from app.tables import (
    Candidate,
    Encoder,
    Event,
    Job,
    JobState,
    Run,
    RunEpoch,
    RunStep,
    Snapshot,
    Weights,
    WorkQueue,
)
from app.training import actions
from app.training.folders import checkpoints, folder_of
from tests.training.running import launch, now, work
from tests.training.shards import QUICK
from workers import finetune
from workers import main as worker
from workers.vectors import load

pytestmark = pytest.mark.process
SHORT = replace(QUICK, epochs=1)
REACHING = {"stage": "domain", "encoder": "CONCH", "licence": "CC BY-NC-ND 4.0", "reaches_data": True}


def steps_of(run: Run) -> list[RunStep]:
    with transaction() as session:
        return list(session.scalars(select(RunStep).where(RunStep.run_id == run.id).order_by(RunStep.step)))


def epochs_of(run: Run) -> dict[int, RunEpoch]:
    with transaction() as session:
        found = session.scalars(select(RunEpoch).where(RunEpoch.run_id == run.id))
        return {one.epoch: one for one in found}


def model_of(run: Run) -> Encoder:
    with transaction() as session:
        return session.get_one(Encoder, run.encoder_id)


# --- what a run leaves --------------------------------------------------------------------------


def test_a_run_from_scratch_what_goes_on_from_it_and_one_from_its_model_leave_curves_and_models(
    snapshot: Snapshot,
) -> None:
    run, job = launch(QUICK, snapshot_id=snapshot.id)
    done = work(job)
    assert done.state is JobState.SUCCEEDED, done.error
    run, model = now(run), model_of(now(run))
    steps, epochs = steps_of(run), epochs_of(run)
    assert [step.step for step in steps] == list(range(done.done)) == list(range(done.total or 0))
    assert np.mean([step.loss for step in steps[-3:]]) < np.mean([step.loss for step in steps[:3]])
    assert all(step.memory and step.gpu_memory is None and step.job_id == job.id for step in steps)
    assert sorted(epochs) == [1, 2, 3]
    assert run.best_epoch in epochs
    assert model.name == f"ip-clip v0001 run {run.id}"
    assert model.licence == OWN_LICENCE
    assert (model.weights, model.provenance["run"], model.provenance["snapshot"]) == (Weights.TRAINED, run.id, "v0001")
    assert model.provenance["command"] == run.command
    assert run.report["retrieval"]["strict"]["image_to_text"]["queries"] <= 8
    assert run.report["forgetting"]["before"] is None
    assert 0 <= run.report["forgetting"]["after"]["accuracy"] <= 1
    assert run.report["first_step_seconds"] < run.report["seconds"]
    assert [one.name for one in checkpoints(run.id)][-1] == "epoch_latest.pt"  # "best_and_latest" goes on later
    best = torch.load(folder_of(run.id) / "checkpoints/best.pt", weights_only=True)
    stored = load(model)
    assert best["epoch"] == run.best_epoch
    assert stored.logit_scale == pytest.approx(best["state_dict"]["logit_scale"].exp().item())

    begins_behind_its_last_epoch_and_its_data_s_licence_reaches_the_model(run)
    and_goes_on_until_the_loss_is_no_number(run, job)
    again, job = launch(replace(SHORT, keep="best", learning_rate=1e-4), snapshot_id=snapshot.id, base_id=model.id)
    done = work(job)
    assert done.state is JobState.SUCCEEDED, done.error
    again = now(again)
    assert f"local-dir:{settings().models_path / model.package}" in again.command
    assert steps_of(again)[0].loss < steps[0].loss  # it starts from what the base learned
    assert again.report["forgetting"]["before"]["accuracy"] == run.report["forgetting"]["after"]["accuracy"]
    assert checkpoints(again.id) == []  # "best" keeps the model alone


def begins_behind_its_last_epoch_and_its_data_s_licence_reaches_the_model(run: Run) -> None:
    with transaction() as session:
        stored = session.get_one(Snapshot, run.snapshot_id)
        stored.report = stored.report | {"filtered_by": [REACHING]}
        more = actions.go_on(session, SYSTEM, run.id, 1)
        job = session.get_one(Job, more.job_id)
    done = work(job)
    assert done.state is JobState.SUCCEEDED, done.error
    steps = len(steps_of(run))
    assert [step.step for step in steps_of(more)] == list(range(steps, steps * 4 // 3))
    models = [model_of(now(one)) for one in (run, more)]
    assert [model.reaches_data for model in models] == [False, True]
    assert models[1].name == f"ip-clip v0001 run {more.id}"


def overflow(checkpoint: Path) -> None:
    """Weights that are numbers, and so large that what is made of them is none."""
    held = torch.load(checkpoint, weights_only=True)
    held["state_dict"]["visual.conv1.weight"] *= 1e36
    torch.save(held, checkpoint)


def and_goes_on_until_the_loss_is_no_number(run: Run, job: Job) -> None:
    """It stops, names the step, keeps the last good epoch, and a lower rate is offered."""
    overflow(folder_of(run.id) / "checkpoints/epoch_latest.pt")
    with transaction() as session:
        session.execute(update(Run).where(Run.id == run.id).values(settings=replace(QUICK, epochs=4).as_json()))
        again = jobs.retry(session, session.get_one(Job, job.id), None)
    failed = work(again)
    assert failed.state is JobState.FAILED
    said = "The loss was not a number at step 12. Epoch 3 is kept. Lower the learning rate, such as to 0.0001."
    assert failed.error == said
    assert now(run).report["offer"] == {"learning_rate": pytest.approx(1e-4)}
    assert now(run).report["trained_seconds"] > run.report["trained_seconds"]  # of both attempts
    assert [step.step for step in steps_of(run)] == list(range(12))
    assert torch.load(folder_of(run.id) / "checkpoints/best.pt", weights_only=True)["epoch"] == run.best_epoch


# --- failures -----------------------------------------------------------------------------------


def trainers() -> list[psutil.Process]:
    """The trainer and what it started, of this process."""
    return [one for one in psutil.Process().children(recursive=True) if "workers.ml.trainer" in " ".join(one.cmdline())]


@contextmanager
def at_work(job: Job) -> Iterator[threading.Thread]:
    """The job in a thread, as a worker has it; its trainer is at its first step when the block begins."""
    thread = threading.Thread(target=worker.run_job, args=(job.id,))
    thread.start()
    until(lambda: bool(now_job(job).done), 120)
    yield thread
    thread.join(60)
    assert not thread.is_alive()
    until(lambda: not trainers(), 10)


def until(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def now_job(job: Job) -> Job:
    with transaction() as session:
        return session.get_one(Job, job.id)


def test_a_killed_trainer_probably_lacked_memory_and_its_best_epoch_can_become_a_model_all_the_same(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, job = launch(replace(QUICK, epochs=200), snapshot_id=snapshot.id)
    with at_work(job):
        until(lambda: now_job(job).cursor.get("saved", 0) >= 1, 200)
        trainers()[0].kill()
    failed = now_job(job)
    assert failed.state is JobState.FAILED
    assert failed.error == (
        "It was killed, probably because memory ran out, at batch 16. Try batch 8 with 2 steps gathered."
    )
    assert now(run).report["offer"] == {"batch_size": 8, "accumulate": 2}

    (folder_of(run.id) / "checkpoints/best.pt").unlink()  # as if it was killed before it linked the first
    monkeypatch.setattr("workers.finetuned.measured", _unmeasurable)
    with transaction() as session:
        again = jobs.submit(session, "finetune", WorkQueue.TRAIN, {"run": run.id, "finish": True}, unit="steps")
    done = work(again)
    assert done.state is JobState.SUCCEEDED, done.error
    assert not trainers()
    saved = torch.load(folder_of(run.id) / "checkpoints/best.pt", weights_only=True)["epoch"]
    assert now(run).best_epoch == model_of(now(run)).provenance["epoch"] == saved
    assert now(run).report["notes"][-1] == "The model could not be measured: ValueError: no room for it"
    with transaction() as session:
        assert session.scalar(select(Event.job_id).where(Event.act == "run.finished")) == again.id


def _unmeasurable(*_: object, **__: object) -> None:
    raise ValueError("no room for it")


def test_a_stopped_run_that_saved_no_epoch_becomes_no_model(own_home: Path) -> None:
    run, _ = launch(SHORT)
    with transaction() as session:
        job = jobs.submit(session, "finetune", WorkQueue.TRAIN, {"run": run.id, "finish": True})
        session.execute(update(Job).where(Job.id < job.id).values(state=JobState.CANCELLED))
    failed = work(job)
    assert failed.error == "No epoch of this run is kept. Start it again with the same settings."
    assert now(run).encoder_id is None


def test_pairs_withdrawn_while_it_trains_stop_the_run_and_nothing_is_registered(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "LOOK_SECONDS", 1.0)
    run, job = launch(replace(QUICK, epochs=200), snapshot_id=snapshot.id)
    with at_work(job):
        report = now(run).report
        assert (report["device_kind"], report["processes"]) == ("cpu", 1)  # known before it ends
        assert report["versions"]["open_clip_torch"]
        with transaction() as session:
            moves.withdraw(session, session.scalars(select(Candidate.id).limit(2)).all())
        until(lambda: now_job(job).state is JobState.FAILED, 60)
    said = "2 pairs were withdrawn while it trained. Freeze a new snapshot and train on that."
    assert now_job(job).error == said
    assert now(run).encoder_id is None


def test_a_trainer_that_stands_still_is_ended_and_the_run_says_what_to_do(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, job = launch(replace(QUICK, epochs=200), snapshot_id=snapshot.id)
    with at_work(job):
        for process in trainers():
            process.suspend()
        monkeypatch.setattr(finetune, "STILL_SECONDS", 3)
        until(lambda: now_job(job).state is JobState.FAILED, 60)
    assert now_job(job).error.startswith("The trainer made no step for ")
    assert "start a run with fewer loaders or a smaller batch" in now_job(job).error
    assert now(run).encoder_id is None


def test_a_cancelled_run_ends_within_ten_seconds_and_goes_on_later_even_from_a_broken_checkpoint(
    snapshot: Snapshot,
) -> None:
    rules = replace(QUICK, epochs=200)
    run, job = launch(rules, snapshot_id=snapshot.id)
    with at_work(job):
        until(lambda: len(epochs_of(run)) >= 2 and (folder_of(run.id) / "checkpoints/best.pt").exists(), 120)
        with transaction() as session:
            jobs.request_cancel(session, job.id, None)
        asked = time.monotonic()
        until(lambda: now_job(job).state is JobState.CANCELLED, 30)
        assert time.monotonic() - asked <= 10
    saved = folder_of(run.id) / "checkpoints"
    best = torch.load(saved / "best.pt", weights_only=True)["epoch"]
    (saved / "epoch_latest.pt").unlink()
    (saved / "epoch_latest.pt").write_bytes((saved / "best.pt").read_bytes()[:-1_000])
    with transaction() as session:
        session.execute(update(Run).where(Run.id == run.id).values(settings=replace(rules, epochs=best + 1).as_json()))
        again = jobs.retry(session, session.get_one(Job, job.id), None)
    done = work(again)
    assert done.state is JobState.SUCCEEDED, done.error
    assert "The last checkpoint could not be read; it goes on from the best epoch." in now(run).report["notes"]
    assert [step.step for step in steps_of(run)] == list(range(4 * (best + 1)))
    assert sorted(epochs_of(run)) == list(range(1, best + 2))


def test_a_worker_that_lost_its_job_ends_its_trainer_and_writes_nothing_more(snapshot: Snapshot) -> None:
    run, job = launch(replace(QUICK, epochs=200), snapshot_id=snapshot.id)
    with at_work(job), transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(token=uuid4()))
        before = session.scalar(select(func.count()).where(RunStep.run_id == run.id))
    assert len(steps_of(run)) == before
    assert now_job(job).state is JobState.RUNNING  # whoever has it now says how it ends
