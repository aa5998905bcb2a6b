"""What a trainer logs becomes rows: also after the database was away, and again where an epoch is repeated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from torch.utils.tensorboard import SummaryWriter

from app import jobs
from app.db import transaction
from app.jobs import RunningJob
from app.tables import Run, RunEpoch, RunStep
from app.training.command import Data
from app.training.folders import folder_of
from tests.training.running import launch
from tests.training.shards import QUICK
from tests.training.test_curves import log
from workers import finetune
from workers.training_watch import Watch

RULES = replace(QUICK, epochs=2)  # of two steps each


@pytest.fixture
def job(own_home: Path) -> RunningJob:
    """Claimed, as in a worker's hands."""
    _, submitted = launch(RULES)
    claimed = jobs.claim(submitted.id)
    assert claimed
    return claimed


@pytest.fixture
def watch(job: RunningJob) -> Watch:
    run_id = job.arguments["run"]
    (folder_of(run_id) / "checkpoints").mkdir(parents=True)
    return Watch(job, run_id, folder_of(run_id), RULES)


def say(watch: Watch, epoch: int, **more: int) -> None:
    """What the launcher says once data and network are made: so many epochs were done before."""
    said = {"epoch": epoch, "steps_per_epoch": 2, "parameters": 10} | more
    (watch.folder / "started.json").write_text(json.dumps(said))


def validate(watch: Watch, epoch: int, loss: float) -> None:
    with (watch.folder / "checkpoints/results.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": epoch, "clip_val_loss": loss}) + "\n")


def losses(watch: Watch) -> dict[int, float]:
    with transaction() as session:
        found = session.scalars(select(RunStep).where(RunStep.run_id == watch.run_id).order_by(RunStep.step))
        return {row.step: row.loss for row in found}


def validations(watch: Watch) -> dict[int, float]:
    with transaction() as session:
        found = session.scalars(select(RunEpoch).where(RunEpoch.run_id == watch.run_id).order_by(RunEpoch.epoch))
        return {row.epoch: row.metrics["clip_val_loss"] for row in found}


def training_losses(watch: Watch) -> dict[int, float]:
    with transaction() as session:
        found = session.scalars(select(RunEpoch).where(RunEpoch.run_id == watch.run_id))
        return {row.epoch: row.metrics["train_loss"] for row in found}


def test_what_could_not_be_stored_is_stored_by_the_next_look(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    say(watch, 0)
    with SummaryWriter(str(watch.folder / "tensorboard")) as writer:
        log(writer, 0, 3.0)
        with monkeypatch.context() as away:
            away.setattr(Watch, "_say", lambda self: _lost())
            assert not finetune._copied(watch, 0, None)
        assert losses(watch) == {}
        log(writer, 1, 2.0)
        assert finetune._copied(watch, 0, None)
    assert losses(watch) == {0: 3.0, 1: 2.0}
    assert (watch.job.done, watch.job.total, watch.job.message) == (2, 4, "Epoch 2 of 2")


def _lost() -> None:
    raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))


def test_steps_and_validations_behind_the_border_are_those_of_the_trainer_that_goes_on(
    watch: Watch, job: RunningJob
) -> None:
    say(watch, 0)
    with SummaryWriter(str(watch.folder / "tensorboard"), filename_suffix=".a") as writer:
        for step, loss in enumerate((4.0, 3.0, 2.75, 2.625)):
            log(writer, step, loss)
        validate(watch, 1, 3.5)
        validate(watch, 2, 3.4)  # the second epoch was validated and never saved
    watch.copy(1_000, None)
    assert losses(watch) == {0: 4.0, 1: 3.0, 2: 2.75, 3: 2.625}

    later = Watch(job, watch.run_id, watch.folder, RULES)
    later.catch_up()
    say(later, 1)
    later.copy(2_000, None)
    assert losses(later) == {0: 4.0, 1: 3.0}
    assert validations(later) == {1: 3.5}
    with SummaryWriter(str(later.folder / "tensorboard"), filename_suffix=".b") as writer:
        log(writer, 2, 2.5)
        later.copy(2_000, None)
        assert not later.is_complete
        log(writer, 3, 2.25)
    validate(later, 2, 3.0)
    later.copy(1_500, None)
    assert training_losses(later) == {1: 3.5, 2: 2.375}
    assert losses(later) == {0: 4.0, 1: 3.0, 2: 2.5, 3: 2.25}
    assert validations(later) == {1: 3.5, 2: 3.0}
    assert not later.is_complete  # its checkpoint is not there yet
    say(later, 1, saved=2)
    later.copy(1_000, None)
    assert later.is_complete
    assert job.cursor == {"saved": 2}
    assert (later.best_epoch, later.peak_memory) == (2, 2_000)


def test_steps_that_nobody_had_time_to_copy_are_copied_before_the_next_start(watch: Watch) -> None:
    with SummaryWriter(str(watch.folder / "tensorboard")) as writer:
        log(writer, 0, 4.0)
        log(writer, 1, 3.0)
    validate(watch, 1, 3.5)
    watch.catch_up()
    assert losses(watch) == {0: 4.0, 1: 3.0}
    assert validations(watch) == {1: 3.5}


def test_a_loss_that_is_no_number_is_noted_by_its_step_and_stored_nowhere(watch: Watch) -> None:
    say(watch, 0)
    with SummaryWriter(str(watch.folder / "tensorboard")) as writer:
        log(writer, 0, 4.0)
        log(writer, 1, float("nan"))
    watch.copy(0, None)
    assert losses(watch) == {0: 4.0}
    assert watch.not_finite == 1


def test_only_epochs_that_are_new_are_written(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    really = Watch._train_loss

    def note(self: Watch, session: Session, epoch: int) -> dict[str, float]:
        written.append(epoch)
        return really(self, session, epoch)

    monkeypatch.setattr(Watch, "_train_loss", note)
    say(watch, 0)
    with SummaryWriter(str(watch.folder / "tensorboard")) as writer:
        for step in range(4):
            log(writer, step, 4.0)
    validate(watch, 1, 3.5)
    for _ in range(3):
        watch.copy(0, None)
    validate(watch, 2, 3.0)
    watch.copy(0, None)
    assert written == [1, 2]


def test_a_validation_may_be_silent_for_as_long_as_training_on_its_pairs_would_take(
    watch: Watch, job: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "STILL_SECONDS", 10)
    data = Data("train-{000..001}.tar", "val-000.tar", (8, 8), 200)
    plan = finetune.Plan(finetune.source_of(job), data, "cpu", 1)
    say(watch, 0)
    with SummaryWriter(str(watch.folder / "tensorboard")) as writer:
        log(writer, 0, 4.0)
        watch.copy(0, None)
        rate = watch.pairs_per_second
        assert watch.moved_at is not None
        watch.moved_at -= 11
        assert finetune._is_stuck(plan, watch)  # within an epoch
        log(writer, 1, 3.0)
        watch.copy(0, None)
    watch.moved_at -= 11
    assert not finetune._is_stuck(plan, watch)
    watch.moved_at -= 200 / rate
    assert finetune._is_stuck(plan, watch)


def test_peaks_and_the_seconds_of_every_trainer_add_up_in_the_runs_report(watch: Watch, job: RunningJob) -> None:
    say(watch, 0)
    watch.copy(5_000, 700)
    watch.trained_seconds = 40.0
    with transaction() as session:
        watch.tell(session, exit_status=-9)
    later = Watch(job, watch.run_id, watch.folder, RULES)
    later.catch_up()
    later.copy(2_000, None)  # the first look of a trainer counts no time
    with transaction() as session:
        report = session.get_one(Run, watch.run_id).report
    assert (report["memory"], report["gpu_memory"], report["trained_seconds"]) == (5_000, 700, 40.0)
    assert report["exit_status"] == -9


def test_a_trainer_moves_while_it_logs_even_while_the_database_is_away(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "_say", lambda self: _lost())
    with SummaryWriter(str(watch.folder / "tensorboard")) as writer:
        assert not finetune._copied(watch, 0, None)
        assert watch.moved_at is None  # what is still starting is not silent
        say(watch, 0)
        assert not finetune._copied(watch, 0, None)
        began = watch.moved_at
        assert not finetune._copied(watch, 0, None)
        assert watch.moved_at == began
        log(writer, 0, 3.0)
        assert not finetune._copied(watch, 0, None)
    assert watch.moved_at is not None
    assert began is not None
    assert watch.moved_at > began
