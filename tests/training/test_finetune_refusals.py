"""What a run waits for and what it refuses before its trainer starts, and what it sets right."""

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app import jobs
from app.curation import moves
from app.db import transaction
from app.errors import Conflict
from app.snapshots.building import folder_of as snapshot_folder
from app.tables import (
    Candidate,
    DuplicateGroup,
    DuplicateMember,
    Job,
    JobState,
    Run,
    Snapshot,
    SnapshotMember,
    WaitReason,
)
from app.training import queries
from app.training.command import Data
from app.training.estimates import CHECKPOINT_BYTES
from app.training.folders import folder_of
from app.training.leaks import leaking
from tests.training.running import launch, now, work
from tests.training.shards import QUICK, pair, write_shard
from workers import finetune, training_turns
from workers.training_watch import Watch

SHORT = replace(QUICK, epochs=1)


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


def test_an_empty_caption_and_a_picture_that_does_not_open_are_named_held_out_or_not(snapshot: Snapshot) -> None:
    first, second = shards_of(snapshot)
    key = rewrite(first, txt=b" ")
    assert key in refused(launch(SHORT, snapshot_id=snapshot.id)[1])
    rewrite(first, txt=b"red above blue")
    key = rewrite(second, jpg=pair(1)[0][:300])
    said = refused(launch(SHORT, snapshot_id=snapshot.id)[1])
    assert "pictures that can't be read" in said
    assert key in said
    rewrite(second, jpg=pair(1)[0])
    (held_out,) = sorted(second.parent.glob("val-*.tar"))
    key = rewrite(held_out, jpg=pair(1)[0][:300])
    assert f"pictures that can't be read: {key}" in refused(launch(SHORT, snapshot_id=snapshot.id)[1])


def test_a_held_out_pair_in_the_training_shards_is_found(snapshot: Snapshot) -> None:
    held_out = snapshot_folder(snapshot.number) / "shards" / "val-000000.tar"
    shard = shards_of(snapshot)[0]
    shard.unlink()
    shard.write_bytes(held_out.read_bytes())
    assert "8 pairs of v0001's training shards were not frozen for that" in refused(
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


def data(*sizes: int) -> Data:
    return Data("train", "val", sizes, 8)


def test_what_is_set_right_for_the_shards_is_said() -> None:
    assert finetune._notes(QUICK, data(50, 50, 50, 50), 0, "cpu", 1) == []
    assert finetune._notes(replace(QUICK, loaders=8), data(50, 50, 50, 50, 50), 4, "cuda", 2) == [
        "Each process loads with 2 loaders, not 8: each needs a shard of its own and a whole batch in it, "
        "and there are 5 shards.",
        "Trains on 2 of 4 GPUs: there are 5 shards.",
    ]


def test_a_run_goes_on_with_the_device_and_processes_that_it_began_with() -> None:
    five = data(50, 50, 50, 50, 50)
    assert finetune._machine(Run(report={}), five, 4) == ("cuda", 4)
    assert finetune._machine(Run(report={}), five, 8) == ("cuda", 5)
    assert finetune._machine(Run(report={"device_kind": "cuda", "processes": 2}), five, 8) == ("cuda", 2)
    assert finetune._machine(Run(report={"device_kind": "cpu", "processes": 1}), five, 8) == ("cpu", 1)
    with pytest.raises(Conflict, match="This run began on 4 GPUs, and this worker has 2"):
        finetune._machine(Run(report={"device_kind": "cuda", "processes": 4}), five, 2)


def test_a_strangers_folder_of_the_same_number_is_put_aside_and_never_gone_on_with(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a fresh database meets the home of an older one."""
    run, job = launch(SHORT)
    theirs = folder_of(run.id) / "checkpoints/epoch_latest.pt"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"of another database")
    monkeypatch.setattr(training_turns, "MARGIN", 10**18)
    assert work(job).wait_reason is WaitReason.DISK
    assert not theirs.exists()
    (moved,) = folder_of(run.id).parent.glob(f"{run.id}.*")
    assert (moved / "checkpoints/epoch_latest.pt").read_bytes() == b"of another database"
    assert now(run).report["notes"] == [
        f"The folder of another run {run.id} was there already; it was moved to {moved.name}."
    ]


# --- turns and room -----------------------------------------------------------------------------


def test_runs_take_turns_in_the_order_of_their_jobs(own_home: Path) -> None:
    first, _ = launch(SHORT)
    _, second = launch(SHORT)
    waiting = work(second)
    assert (waiting.state, waiting.wait_reason) == (JobState.QUEUED, WaitReason.TURN)
    assert waiting.message == f"Waits for run {first.id}."


def turns(run_id: int | None = None) -> list[int]:
    with transaction() as session:
        return queries.in_turn(session, run_id)


def ahead(run_id: int) -> list[int]:
    with transaction() as session:
        return [one.run.id for one in queries.ahead(session, run_id)]


def test_a_sweep_holds_nobody_up_and_neither_does_a_run_that_waits_for_the_disk(own_home: Path) -> None:
    swept = [launch(SHORT) for _ in range(3)]
    with transaction() as session:
        session.execute(update(Run).values(sweep=swept[0][0].id))
    single, _ = launch(SHORT)
    first, second, third = (run.id for run, _ in swept)
    assert turns() == [first, single.id, second, third]
    assert ahead(second) == [first, single.id]  # as its page says
    with transaction() as session:
        session.execute(update(Job).where(Job.id == swept[0][1].id).values(wait_reason=WaitReason.DISK))
    assert turns() == [single.id, second, third]
    assert turns(first) == [first, single.id, second, third]


def test_one_run_at_a_time_trains_on_a_machine(own_home: Path) -> None:
    _, job = launch(SHORT)
    with training_turns.only_one_here():
        waiting = work(job)
    assert (waiting.state, waiting.wait_reason) == (JobState.QUEUED, WaitReason.TURN)


def test_a_run_waits_while_there_is_no_room_for_its_checkpoints(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_turns, "MARGIN", 10**18)
    _, job = launch(SHORT)
    waiting = work(job)
    assert (waiting.state, waiting.wait_reason) == (JobState.QUEUED, WaitReason.DISK)
    assert "GB more room" in waiting.message


def test_a_disk_that_fills_while_it_trains_stops_it_before_a_checkpoint_that_does_not_fit(own_home: Path) -> None:
    """The last epoch is written twice, once under a name of its own."""
    _, submitted = launch(SHORT)
    job = jobs.claim(submitted.id)
    assert job
    source = finetune.source_of(job)
    plan = finetune.Plan(source, data(50), "cpu", 1)
    source.folder.mkdir(parents=True)
    free = shutil.disk_usage(source.folder).free
    for epochs, share in ((3, 2.0), (1, 0.7)):  # of the room that there is
        longer = replace(plan, source=replace(source, settings=replace(QUICK, epochs=epochs)))
        watch = Watch(job, source.run.id, source.folder, longer.source.settings)
        finetune._look_around(longer, watch)  # before it is known how large the network is
        watch.started = {"parameters": int(share * free / CHECKPOINT_BYTES)}
        with pytest.raises(jobs.Wait) as waiting:
            finetune._look_around(longer, watch)
        assert waiting.value.reason is WaitReason.DISK
        assert waiting.value.message.startswith("The next checkpoint needs ")
    watch.settings = QUICK
    finetune._look_around(replace(plan, source=replace(source, settings=QUICK)), watch)  # one fits


def test_a_run_that_began_on_a_gpu_does_not_go_on_without_one(own_home: Path) -> None:
    run, job = launch(SHORT)
    with transaction() as session:
        session.execute(update(Run).where(Run.id == run.id).values(report={"device_kind": "cuda"}))
    assert refused(job).startswith("This run began on a GPU, and this worker has none.")
