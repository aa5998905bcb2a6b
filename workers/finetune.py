"""The fine-tuning job: open_clip_train in a child of this worker, watched, and judged by what it logged."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError

from app import jobs
from app.db import transaction
from app.errors import Conflict, Invalid
from app.jobs import RunningJob
from app.tables import Encoder, Run, Snapshot, WaitReason
from app.training.architectures import config_of, config_of_encoder, has_blocks, parameters
from app.training.checks import Facts, fitting_loaders, problems
from app.training.command import Data, Start, arguments, practice_data, snapshot_data, start_of
from app.training.estimates import CHECKPOINTS_AT_ONCE
from app.training.folders import checkpoints, folder_of, put_aside
from app.training.settings import TrainingSettings
from workers import shutdown
from workers.ml.curves import IN_USE, NOT_FINITE
from workers.trainer_failures import DISK_FULL, Failure, explain, kept, not_a_number, stuck
from workers.trainer_process import TrainerProcess, count_gpus, gpu_memory
from workers.training_data import data_of, drawn_data, refuse_withdrawn
from workers.training_turns import DISK_SECONDS, TURN_SECONDS, only_one_here, room_lacking, wait_for_turn
from workers.training_watch import Watch

log = structlog.get_logger()

PAUSE, STRIDE = 1.0, 2.0  # between two looks until the first step, and after it: pages ask every two seconds
LOOK_SECONDS = 10.0  # summing up shared pages costs the trainer's processors some 20 ms a process
STILL_SECONDS = 600  # without a step, a batch of gathered ones, or the save behind a validation


@dataclass(frozen=True)
class Source:
    """A run with what it was launched on, and where that stands for the trainer."""

    run: Run
    snapshot: Snapshot | None
    base: Encoder | None
    start: Start
    settings: TrainingSettings

    @property
    def folder(self) -> Path:
        return folder_of(self.run.id)


@dataclass(frozen=True)
class Plan:
    """What is about to be trained, and by what."""

    source: Source
    data: Data
    device: str
    processes: int

    @property
    def command(self) -> list[str]:
        one = self.source
        return arguments(one.settings, one.start, self.data, one.folder, device=self.device, processes=self.processes)


def run_finetune(job: RunningJob) -> None:
    """Trains a run, or goes on with it from the last epoch that is saved; then registers the model of the best one.

    Arguments: run; `finish` where its best epoch so far is to become the model without more training. Raises Invalid
    with what speaks against it before anything starts, Conflict when the trainer failed; both say what to do.
    """
    wait_for_turn(job)
    with only_one_here():
        source = source_of(job)
        if job.arguments.get("finish"):
            _finish_stopped(job, source)
        else:
            _train_and_finish(job, source)


def _train_and_finish(job: RunningJob, source: Source) -> None:
    from_here = time.monotonic()
    plan = planned(job, source)
    watch = Watch(job, source.run.id, source.folder, source.settings)
    watch.catch_up()
    trained(job, plan, watch)
    first = round(watch.first_step_at - from_here, 1) if watch.first_step_at else None
    report(job, source.run.id, {"seconds": round(time.monotonic() - from_here, 1), "first_step_seconds": first})
    _finish(job, source, plan.data, watch.best_epoch)


def _finish_stopped(job: RunningJob, source: Source) -> None:
    from workers.finetuned import best_kept

    data = snapshot_data(source.snapshot) if source.snapshot else practice_data()
    _finish(job, source, data, best_kept(source.folder, source.settings.best_by))


def _finish(job: RunningJob, source: Source, data: Data, best: int | None) -> None:
    from workers.finetuned import finish  # brings torch, which a worker that only watches never needs

    finish(job, source.run.id, source.start, data, source.folder, best)


# --- what is to be trained ----------------------------------------------------------------------


def source_of(job: RunningJob) -> Source:
    with transaction() as session:
        run = session.get_one(Run, job.arguments["run"])
        snapshot = session.get(Snapshot, run.snapshot_id) if run.snapshot_id else None
        base = session.get(Encoder, run.base_id) if run.base_id else None
    start = _start(job, base) if base else start_of(None, run.architecture)
    return Source(run, snapshot, base, start, TrainingSettings.from_json(run.settings))


def planned(job: RunningJob, source: Source) -> Plan:
    """Reads data and base, and refuses what would go wrong. The command that will start is written to the run."""
    run, base, settings = source.run, source.base, source.settings
    data, facts = data_of(job, source.snapshot) if source.snapshot else drawn_data()
    device, processes = _machine(run, data, gpus := count_gpus())
    where = replace(facts, device=device, processes=processes, folder=str(Path(data.train).parent))
    config = config_of_encoder(base) if base else config_of(run.architecture)
    in_blocks = config is None or has_blocks(config)
    _refuse(settings, replace(where, model=source.start.model, has_plain_towers=in_blocks))
    size = base.parameters if base else 0
    _put_stranger_aside(job, run)
    _check_room(run.id, size or (parameters(config) if config else None) or 0)
    plan = Plan(source, data, device, processes)
    about = {"pairs": data.train_pairs, "val_pairs": data.val_pairs, "shards": data.shards, "decoded": True}
    facts_of_start = {"data": about, "device_kind": device, "processes": processes, "offer": {}}
    report(job, run.id, facts_of_start, _notes(settings, data, gpus, device, processes), plan.command)
    return plan


def _start(job: RunningJob, base: Encoder) -> Start:
    from workers import packages  # brings torch

    return Start(f"local-dir:{packages.ensure_package(job, base)}")


def _machine(run: Run, data: Data, gpus: int) -> tuple[str, int]:
    """Device and processes: those that the run began with, for its epochs are of so many steps."""
    device = run.report.get("device_kind") or ("cuda" if gpus else "cpu")
    processes = run.report.get("processes") or max(1, min(gpus, data.shards))
    if device == "cuda" and gpus < processes:
        began = f"This run began on {'a GPU' if processes == 1 else f'{processes} GPUs'}"
        raise Conflict(f"{began}, and this worker has {gpus or 'none'}.", "Resume it when they are back.")
    return device, processes


def _put_stranger_aside(job: RunningJob, run: Run) -> None:
    """Nothing of a run's folder is its own before its first command: a new database may meet an older one's runs."""
    if run.command or "goes_on_from" in run.report:
        return
    if moved := put_aside(run.id):
        said = f"The folder of another run {run.id} was there already; it was moved to {moved}."
        report(job, run.id, {}, [said])


def _notes(settings: TrainingSettings, data: Data, gpus: int, device: str, processes: int) -> list[str]:
    """What is set right for the shards."""
    fitting = fitting_loaders(settings, data.sizes, processes)
    why = f"each needs a shard of its own and a whole batch in it, and there are {data.shards} shards"
    loading = f"Each process loads with {fitting} loaders, not {settings.loaders}: {why}."
    training = f"Trains on {processes} of {gpus} GPUs: there are {data.shards} shards."
    is_fewer = device == "cuda" and processes < gpus
    return [*([loading] if fitting < settings.loaders else []), *([training] if is_fewer else [])]


def _refuse(settings: TrainingSettings, facts: Facts) -> None:
    if found := problems(settings, facts):
        raise Invalid(" ".join(found.values()), fields=found)


def _check_room(run_id: int, size: int) -> None:
    """Raises Wait while there is no room for the checkpoints, as far as their size is known before the start."""
    folder = folder_of(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    freed = sum(one.size for one in checkpoints(run_id))
    if lacking := room_lacking(folder, size, CHECKPOINTS_AT_ONCE, freed):
        said = f"Needs {lacking} for checkpoints. Make room; it goes on by itself."
        raise jobs.Wait(WaitReason.DISK, DISK_SECONDS, said)


def report(
    job: RunningJob, run_id: int, more: dict[str, Any], notes: Sequence[str] = (), command: Sequence[str] = ()
) -> None:
    """Adds to what is known of the run. `notes` say what was set right on the way."""
    with job.step() as session:
        run = session.get_one(Run, run_id, with_for_update=True)
        all_notes = dict.fromkeys([*run.report.get("notes", []), *notes])
        run.report = {**run.report, **more, "notes": list(all_notes)}
        run.job_id = job.id
        if command:
            run.command = list(command)


# --- training -----------------------------------------------------------------------------------


def trained(job: RunningJob, plan: Plan, watch: Watch) -> None:
    """Runs the trainer to its end. Raises Conflict if it failed, or if pairs were withdrawn meanwhile."""
    before = _gpu_memory(plan)
    memory, on_gpu, next_look = 0, None, 0.0
    with TrainerProcess([sys.executable, *plan.command], plan.source.folder) as trainer:
        while True:
            code = trainer.code  # first: what it wrote before it ended is then read for certain
            if time.monotonic() >= next_look:
                _refuse_withdrawn(plan)
                memory, on_gpu = trainer.memory() or memory, _gpu_memory(plan)  # one that ended weighs nothing
                # until the first step there is nothing to slow down, and its memory grows fast
                next_look = time.monotonic() + (LOOK_SECONDS if watch.first_step_at else PAUSE)
            used = None if on_gpu is None or before is None else max(0, on_gpu - before)
            is_copied = _copied(watch, memory, used)
            if is_copied and (code is not None or watch.not_finite is not None or _is_stuck(plan, watch)):
                break
            _look_around(plan, watch)
            job.stop.wait(STRIDE if watch.first_step_at else PAUSE)
        trainer.end()
        said = trainer.said()
    with job.step() as session:
        watch.tell(session, exit_status=code)
    if not watch.is_complete:
        _fail(job, plan, watch, said, code)


def _refuse_withdrawn(plan: Plan) -> None:
    with suppress(OperationalError, InterfaceError), transaction() as session:
        refuse_withdrawn(session, plan.source.snapshot)


def _copied(watch: Watch, memory: int, gpu_memory: int | None) -> bool:
    """Hours of training outlive a restart of the database; while it is away nobody else can take the job."""
    try:
        watch.copy(memory, gpu_memory)
    except (OperationalError, InterfaceError) as error:
        log.warning("steps_not_copied", error=type(error).__name__)
        return False
    return True


def _gpu_memory(plan: Plan) -> int | None:
    return gpu_memory() if plan.device == "cuda" else None


def _look_around(plan: Plan, watch: Watch) -> None:
    """Raises Wait when this worker is asked to end, or before a checkpoint would fill the disk."""
    if shutdown.asked.is_set():
        again = f"The worker stopped in epoch {watch.saved + 1}, which is repeated. {kept(watch.saved)}"
        raise jobs.Wait(WaitReason.DEPLOY, 0, again)
    written = 2 if watch.saved + 1 >= plan.source.settings.epochs else 1  # open_clip_train saves its last epoch twice
    if lacking := room_lacking(plan.source.folder, int(watch.started.get("parameters", 0)), written):
        said = f"The next checkpoint needs {lacking}. {kept(watch.saved)} It goes on by itself."
        raise jobs.Wait(WaitReason.DISK, DISK_SECONDS, said)


def _is_stuck(plan: Plan, watch: Watch) -> bool:
    """Whether it was silent for so long that it never will go on.

    Gathered steps are logged as one. A validation logs nothing; one process does it, in less than the time that it
    takes for training on as many pairs.
    """
    limit = float(STILL_SECONDS * plan.source.settings.accumulate)
    if watch.is_between_epochs:
        limit += plan.data.val_pairs * plan.processes / watch.pairs_per_second
    return watch.moved_at is not None and time.monotonic() - watch.moved_at > limit


def _fail(job: RunningJob, plan: Plan, watch: Watch, said: str, code: int | None) -> None:
    """Raises Wait where it is a matter of time, else Conflict, with settings that may go better in the report."""
    if IN_USE in said:
        raise jobs.Wait(WaitReason.TURN, TURN_SECONDS, "Another trainer works in this run's folder.")
    if DISK_FULL.search(said):
        full = f"The disk is full. {kept(watch.saved)} Make room; it goes on by itself."
        raise jobs.Wait(WaitReason.DISK, DISK_SECONDS, full)
    failure = _why(plan, watch, said, code)
    report(job, plan.source.run.id, {"offer": failure.offer})
    raise Conflict(failure.said, failure.what_next)


def _why(plan: Plan, watch: Watch, said: str, code: int | None) -> Failure:
    settings = plan.source.settings
    if watch.not_finite is not None:
        return not_a_number(settings, f"step {watch.not_finite:,}", watch.saved)
    if NOT_FINITE in said:
        return not_a_number(settings, f"the end of step {watch.last_step:,}", watch.saved)
    if code is None:  # it was ended for its silence
        return stuck(STILL_SECONDS * settings.accumulate // 60, watch.saved)
    return explain(settings, said, code, watch.saved)
