"""What a running trainer has done so far, copied into its run: steps, validations, memory, how far it is."""

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.jobs import RunningJob
from app.tables import Run, RunEpoch, RunStep
from app.training.settings import TrainingSettings
from workers.ml.curves import (
    CHECKPOINTS,
    RESULTS,
    STARTED,
    Curves,
    Step,
    best_epoch,
    is_out_of_patience,
    read_results,
)

TELL_SECONDS = 10


class Watch:
    """Reads a run's folder and writes what is new. `not_finite` is the step whose loss was no number, if any was.

    `started` is what the trainer says of itself once its network and data are made: the epochs that were done
    before (`epoch`), `steps_per_epoch`, `parameters`, device and versions. The run's report is kept up to date with
    the peaks of memory and the seconds that trainers worked on it.
    """

    def __init__(self, job: RunningJob, run_id: int, folder: Path, settings: TrainingSettings) -> None:
        self.job, self.run_id, self.folder, self.settings = job, run_id, folder, settings
        self.curves = Curves(folder / "tensorboard")
        self.results = folder / CHECKPOINTS / RESULTS
        self.started: dict[str, Any] = {}
        self._is_behind_border = False
        self._uncopied: dict[int, Step] = {}  # read, and not yet known to be stored
        self.epochs: dict[int, dict[str, float]] = {}
        self.last_step = -1
        self.not_finite: int | None = None
        self.first_step_at: float | None = None
        self.pairs_per_second = math.inf  # as it last logged
        self.peak_memory = 0
        self.peak_gpu_memory: int | None = None
        self.trained_seconds = 0.0
        self.moved_at: float | None = None  # when the trainer last came further, on the monotonic clock
        self._looked_at: float | None = None
        self._told_at = -math.inf
        self._told_epochs: dict[int, dict[str, float]] = {}

    def catch_up(self) -> None:
        """Copies what an earlier trainer of this run logged and nobody had time to copy. Before the next one starts."""
        (self.folder / STARTED).unlink(missing_ok=True)
        steps = [step for step in self.curves.read() if step.is_finite]
        self.epochs = read_results(self.results)
        self.last_step = max((step.step for step in steps), default=-1)
        rows = [row | self._whose() for row in _rows({step.step: step for step in steps}.values())]
        with self.job.step() as session:
            report = session.get_one(Run, self.run_id).report
            self.peak_memory, self.peak_gpu_memory = report.get("memory") or 0, report.get("gpu_memory")
            self.trained_seconds = report.get("trained_seconds", 0.0)
            if rows:
                session.execute(insert(RunStep).on_conflict_do_nothing(), rows)
            self._write_epochs(session)

    def _whose(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "job_id": self.job.id}

    def copy(self, memory: int, gpu_memory: int | None) -> None:
        """One look at the folder. What it could not store, the next look stores. Raises Cancelled, LeaseLost."""
        looked = time.monotonic()
        self.trained_seconds += looked - (self._looked_at or looked)
        self._looked_at = looked
        new, told = {step.step: step for step in self.curves.read()}, self.started
        self._uncopied |= new
        self._read_started()
        if new or self.started != told:
            self.moved_at = looked
        self.peak_memory = max(self.peak_memory, memory)
        if gpu_memory is not None:
            self.peak_gpu_memory = max(self.peak_gpu_memory or 0, gpu_memory)
        with self.job.step() as session:
            if self.started and not self._is_behind_border:
                self._begin(session)
            self._write_steps(session, memory, gpu_memory)
            self.epochs |= self._new_epochs()
            self._write_epochs(session)
            if is_due := looked - self._told_at >= TELL_SECONDS:
                self.tell(session)
            self._say()
        self._told_at = looked if is_due else self._told_at
        self._told_epochs = dict(self.epochs)
        self._uncopied.clear()
        self._is_behind_border = bool(self.started)

    def tell(self, session: Session, **more: Any) -> None:
        """Writes what it measured, and `more`, to the run's report."""
        run = session.get_one(Run, self.run_id, with_for_update=True)
        seconds = round(self.trained_seconds, 1)
        peaks = {"memory": self.peak_memory, "gpu_memory": self.peak_gpu_memory}
        run.report = {**run.report, **peaks, "trained_seconds": seconds, **more}

    def _read_started(self) -> None:
        path = self.folder / STARTED
        found = json.loads(path.read_bytes()) if path.exists() else {}
        if "epoch" in found:
            self.started = found

    def _begin(self, session: Session) -> None:
        """Where the trainer goes on: what lies behind that border is done again."""
        epoch, steps_per_epoch = self.started["epoch"], self.started["steps_per_epoch"]
        border = epoch * steps_per_epoch
        session.execute(delete(RunStep).where(RunStep.run_id == self.run_id, RunStep.step >= border))
        session.execute(delete(RunEpoch).where(RunEpoch.run_id == self.run_id, RunEpoch.epoch > epoch))
        self.epochs = {number: figures for number, figures in self.epochs.items() if number <= epoch}
        self._told_epochs = {}  # each has its training loss once an epoch's steps are known
        self.last_step = min(self.last_step, border - 1)
        self.job.total = steps_per_epoch * self.settings.epochs
        self._introduce(session.get_one(Run, self.run_id, with_for_update=True))

    def _introduce(self, run: Run) -> None:
        """What the trainer says of itself, in the run's report."""
        started = self.started
        known: dict[str, Any] = {name: started[name] for name in ("parameters", "versions", "gpu") if name in started}
        resumed = [started["resumed"]] if started.get("resumed") else []
        notes = list(dict.fromkeys([*run.report.get("notes", []), *resumed]))
        run.report = {**run.report, **known, "device": started.get("device_name", ""), "notes": notes}

    def _new_epochs(self) -> dict[int, dict[str, float]]:
        """Validations of the epochs whose steps are done: the line of one that is being repeated waits for them."""
        if not self.started:
            return {}
        done = (self.last_step + 1) // self.started["steps_per_epoch"]
        return {number: line for number, line in read_results(self.results).items() if number <= done}

    def _write_steps(self, session: Session, memory: int, gpu_memory: int | None) -> None:
        steps = self._uncopied
        for number in sorted(steps):
            if not steps[number].is_finite:
                self.not_finite = number
                break
            self.last_step = number
            self.pairs_per_second = steps[number].pairs_per_second or math.inf
            self.first_step_at = self.first_step_at or time.monotonic()
        written = [step for step in steps.values() if step.is_finite and step.step <= self.last_step]
        used = {"memory": memory, "gpu_memory": gpu_memory}
        if rows := [row | self._whose() | used for row in _rows(written)]:
            statement = insert(RunStep)
            new = {name: statement.excluded[name] for name in rows[0] if name not in ("run_id", "step")}
            session.execute(statement.on_conflict_do_update(index_elements=["run_id", "step"], set_=new), rows)

    def _write_epochs(self, session: Session) -> None:
        """Those that are new or were validated again."""
        for epoch, figures in self.epochs.items():
            if self._told_epochs.get(epoch) == figures:
                continue
            metrics = figures | self._train_loss(session, epoch)
            statement = insert(RunEpoch).values(run_id=self.run_id, epoch=epoch, metrics=metrics)
            new = {"metrics": statement.excluded.metrics}
            session.execute(statement.on_conflict_do_update(index_elements=["run_id", "epoch"], set_=new))
            session.get_one(Run, self.run_id).best_epoch = self.best_epoch

    def _train_loss(self, session: Session, epoch: int) -> dict[str, float]:
        """The mean training loss of an epoch whose steps are stored."""
        if not self.started:
            return {}
        stop = epoch * self.started["steps_per_epoch"]
        of_epoch = RunStep.run_id == self.run_id, RunStep.step.between(stop - self.started["steps_per_epoch"], stop - 1)
        loss = session.scalar(select(func.avg(RunStep.loss)).where(*of_epoch))
        return {} if loss is None else {"train_loss": float(loss)}

    def _say(self) -> None:
        if not self.started:
            self.job.message = "Starting the trainer"
            return
        self.job.cursor["saved"] = self.saved
        self.job.done = self.last_step + 1
        epoch = min(self.job.done // self.started["steps_per_epoch"] + 1, self.settings.epochs)
        self.job.message = f"Epoch {epoch} of {self.settings.epochs}"

    @property
    def is_between_epochs(self) -> bool:
        """Whether the next thing to come is a validation or a save, not a step."""
        return bool(self.started) and (self.last_step + 1) % self.started["steps_per_epoch"] == 0

    @property
    def best_epoch(self) -> int | None:
        return best_epoch(self.epochs, self.settings.best_by)

    @property
    def saved(self) -> int:
        """How many epochs are saved."""
        return int(self.started.get("saved", self.started.get("epoch", 0)))

    @property
    def is_complete(self) -> bool:
        """Judged by what was done, never by the exit code.

        That is the last planned step, a validation of the last epoch and its checkpoint; or the end of its patience.
        """
        if not self.started or not self.epochs or self.saved < max(self.epochs):
            return False
        rules = self.settings
        is_last = self.last_step == self.job.total - 1 and rules.epochs in self.epochs if self.job.total else False
        return is_last or is_out_of_patience(self.epochs, rules.best_by, rules.patience)


def _rows(steps: Iterable[Step]) -> list[dict[str, Any]]:
    return [
        {
            "step": step.step,
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "logit_scale": step.logit_scale,
            "pairs_per_second": step.pairs_per_second,
        }
        for step in steps
    ]
