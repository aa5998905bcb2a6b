"""The fine-tuning job, with the real trainer: what it reads, records, refuses and leaves."""

import tarfile
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
from app.config import settings
from app.curation import moves
from app.db import transaction
from app.snapshots.building import folder_of as snapshot_folder
from app.tables import (
    Candidate,
    DuplicateGroup,
    DuplicateMember,
    Encoder,
    Job,
    JobState,
    Run,
    RunEpoch,
    RunStep,
    Snapshot,
    SnapshotMember,
    WaitReason,
    Weights,
)
from app.training.folders import checkpoints, folder_of
from app.training.leaks import leaking
from tests.training.running import accept_pairs, freeze, launch, now, work
from tests.training.shards import QUICK, pair, write_shard
from workers import finetune
from workers import main as worker
from workers.vectors import load

SHORT = replace(QUICK, epochs=1)


@pytest.fixture
def snapshot(own_home: Path) -> Snapshot:
    """50 training, 8 validation and 2 test pairs, two of each author."""
    with transaction() as session:
        accept_pairs(session, 60, authors=30)
    return freeze()


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


def test_a_run_from_scratch_and_one_from_its_model_leave_curves_and_models(snapshot: Snapshot) -> None:
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

    again, job = launch(replace(SHORT, keep="best", learning_rate=1e-4), snapshot_id=snapshot.id, base_id=model.id)
    done = work(job)
    assert done.state is JobState.SUCCEEDED, done.error
    again = now(again)
    assert f"local-dir:{settings().models_path / model.package}" in again.command
    assert steps_of(again)[0].loss < steps[0].loss  # it starts from what the base learned
    assert again.report["forgetting"]["before"]["accuracy"] == run.report["forgetting"]["after"]["accuracy"]
    assert checkpoints(again.id) == []  # "best" keeps the model alone


# --- what it refuses ----------------------------------------------------------------------------


def refused(job: Job) -> str:
    """The job's error; nothing was started."""
    done = work(job)
    assert done.state is JobState.FAILED, done.state
    assert not (folder_of(done.arguments["run"]) / "checkpoints").exists()
    return done.error


def test_pairs_withdrawn_since_the_freeze_refuse_the_run(snapshot: Snapshot) -> None:
    with transaction() as session:
        moves.withdraw(session, [session.scalars(select(Candidate.id).limit(1)).one()])
    _, job = launch(SHORT, snapshot_id=snapshot.id)
    assert refused(job) == (
        "v0001 can't be trained on: 1 pair of it was withdrawn since it was frozen. "
        "Freeze a new snapshot and train on that."
    )


def shards_of(snapshot: Snapshot) -> list[Path]:
    return sorted((snapshot_folder(snapshot.number) / "shards").glob("train-*.tar"))


def rewrite(shard: Path, **changed: bytes) -> str:
    """Replaces the files of a shard's first pair, by their extension; its key."""
    with tarfile.open(shard) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    key = next(iter(files)).split(".")[0]
    names = [
        f"{name}.{kind}" for name in dict.fromkeys(name.split(".")[0] for name in files) for kind in ("jpg", "txt")
    ]
    for kind, data in changed.items():
        files[f"{key}.{kind}"] = data
    shard.chmod(0o644)
    write_shard(shard, {name[:-4]: (files[name], files[f"{name[:-4]}.txt"].decode()) for name in names[::2]})
    return key


def test_an_empty_caption_and_a_picture_that_does_not_open_are_named(snapshot: Snapshot) -> None:
    first, second = shards_of(snapshot)
    key = rewrite(first, txt=b" ")
    assert key in refused(launch(SHORT, snapshot_id=snapshot.id)[1])
    rewrite(first, txt=b"red above blue")
    key = rewrite(second, jpg=pair(1)[0][:300])
    said = refused(launch(SHORT, snapshot_id=snapshot.id)[1])
    assert "pictures that can't be read" in said
    assert key in said


def test_a_held_out_pair_in_the_training_shards_is_found(snapshot: Snapshot) -> None:
    held_out = snapshot_folder(snapshot.number) / "shards" / "val-000000.tar"
    shard = shards_of(snapshot)[0]
    shard.unlink()
    shard.write_bytes(held_out.read_bytes())
    assert "8 pairs of v0001's training shards were not frozen for training" in refused(
        launch(SHORT, snapshot_id=snapshot.id)[1]
    )


def test_duplicates_found_since_that_join_a_training_pair_with_a_held_out_one_are_a_leak(snapshot: Snapshot) -> None:
    with transaction() as session:
        split = {
            one.split.value: one.candidate_id
            for one in session.scalars(select(SnapshotMember).where(SnapshotMember.snapshot_id == snapshot.id))
        }
        assert leaking(session, snapshot) == []
        group = DuplicateGroup()
        session.add(group)
        session.flush()
        for name in ("train", "val"):
            session.add(DuplicateMember(group_id=group.id, candidate_id=split[name]))
        session.flush()
        leaks = leaking(session, snapshot)
    assert f"{split['train']:012d}" in leaks
    assert len(leaks) == 2  # the author's other pair comes with it
    assert "2 training pairs belong with held-out ones by now" in refused(launch(SHORT, snapshot_id=snapshot.id)[1])


def test_a_batch_beyond_the_pairs_is_refused_before_anything_starts(snapshot: Snapshot) -> None:
    _, job = launch(replace(SHORT, batch_size=128), snapshot_id=snapshot.id)
    assert refused(job) == "A step takes 128 pairs, more than the 50 there are. Set the batch to 50 or less."


def test_what_is_set_right_for_few_shards_is_said() -> None:
    assert finetune._notes(QUICK, 4, 0, 1) == ()
    assert finetune._notes(replace(QUICK, loaders=8), 5, 4, 2) == (
        "Each process loads with 2 loaders, not 8: there are 5 shards.",
        "Trains on 2 of 4 GPUs: there are 5 shards.",
    )


# --- turns and room -----------------------------------------------------------------------------


def test_runs_take_turns_in_the_order_of_their_jobs(snapshot: Snapshot) -> None:
    first, _ = launch(SHORT, snapshot_id=snapshot.id)
    _, second = launch(SHORT, snapshot_id=snapshot.id)
    waiting = work(second)
    assert (waiting.state, waiting.wait_reason) == (JobState.QUEUED, WaitReason.TURN)
    assert waiting.message == f"Waits for run {first.id}."


def test_one_run_at_a_time_trains_on_a_machine(snapshot: Snapshot) -> None:
    _, job = launch(SHORT, snapshot_id=snapshot.id)
    with finetune.only_one_here():
        waiting = work(job)
    assert (waiting.state, waiting.wait_reason) == (JobState.QUEUED, WaitReason.TURN)


def test_a_run_waits_while_there_is_no_room_for_its_checkpoints(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "MARGIN", 10**18)
    _, job = launch(SHORT, snapshot_id=snapshot.id)
    waiting = work(job)
    assert (waiting.state, waiting.wait_reason) == (JobState.QUEUED, WaitReason.DISK)
    assert "GB more room" in waiting.message


# --- failures -----------------------------------------------------------------------------------


def overflow(checkpoint: Path) -> None:
    """Weights that are numbers, and so large that what is made of them is none."""
    held = torch.load(checkpoint, weights_only=True)
    held["state_dict"]["visual.conv1.weight"] *= 1e36
    torch.save(held, checkpoint)


def test_a_loss_that_is_no_number_stops_the_run_names_the_step_and_offers_a_lower_rate(snapshot: Snapshot) -> None:
    run, job = launch(SHORT, snapshot_id=snapshot.id)
    done = work(job)
    assert done.state is JobState.SUCCEEDED, done.error
    overflow(folder_of(run.id) / "checkpoints/epoch_latest.pt")
    with transaction() as session:
        session.execute(update(Run).where(Run.id == run.id).values(settings=QUICK.as_json()))
        again = jobs.retry(session, session.get_one(Job, job.id), None)
    failed = work(again)
    assert failed.state is JobState.FAILED
    said = "The loss was not a number at step 4. Epoch 1 is kept. Lower the learning rate, such as to 0.0001."
    assert failed.error == said
    assert now(run).report["offer"] == {"learning_rate": pytest.approx(1e-4)}
    assert [step.step for step in steps_of(run)] == [0, 1, 2, 3]
    assert torch.load(folder_of(run.id) / "checkpoints/best.pt", weights_only=True)["epoch"] == 1


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


def test_a_trainer_that_the_kernel_kills_was_out_of_memory_and_a_smaller_batch_is_offered(snapshot: Snapshot) -> None:
    run, job = launch(replace(QUICK, epochs=200), snapshot_id=snapshot.id)
    with at_work(job):
        trainers()[0].kill()
    failed = now_job(job)
    assert failed.state is JobState.FAILED
    assert failed.error == "Out of memory at batch 16. Try batch 8 with 2 steps gathered."
    assert now(run).report["offer"] == {"batch_size": 8, "accumulate": 2}


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


def test_a_disk_that_fills_while_it_trains_stops_the_trainer_before_it_is_full(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "CHECKPOINT_BYTES", 10**12)  # the size is known once the network is made
    run, job = launch(replace(QUICK, epochs=200), snapshot_id=snapshot.id)
    waiting = work(job)
    assert (waiting.state, waiting.wait_reason) == (JobState.QUEUED, WaitReason.DISK)
    assert "The next checkpoint needs" in waiting.message
    assert not trainers()
    assert now(run).encoder_id is None


def test_a_run_that_began_on_a_gpu_does_not_go_on_without_one(snapshot: Snapshot) -> None:
    run, job = launch(SHORT, snapshot_id=snapshot.id)
    with transaction() as session:
        session.execute(update(Run).where(Run.id == run.id).values(report={"device_kind": "cuda"}))
    assert refused(job).startswith("This run began on a GPU, and this worker has none.")
