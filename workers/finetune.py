"""The fine-tuning job: open_clip_train in a child of this worker, watched, and judged by what it logged."""

import fcntl
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError

from app import jobs, presence
from app.config import settings as our
from app.db import transaction
from app.errors import Conflict, Invalid
from app.jobs import RunningJob
from app.tables import Encoder, Job, JobState, Run, Snapshot, WaitReason, WorkQueue
from app.training.architectures import config_of, config_of_encoder, has_blocks
from app.training.checks import Facts, fitting_loaders, problems
from app.training.command import Data, Start, arguments, start_of
from app.training.folders import checkpoints, folder_of
from app.training.settings import TrainingSettings
from workers import shutdown
from workers.ml.curves import IN_USE, NOT_FINITE
from workers.trainer_failures import DISK_FULL, Failure, explain, kept, not_a_number
from workers.trainer_process import TrainerProcess, count_gpus, gpu_memory
from workers.training_data import data_of, practice_data
from workers.training_watch import Watch

log = structlog.get_logger()

PAUSE = 1.0
WEIGH_SECONDS = 10.0  # summing up shared pages costs the trainer's processors some 20 ms a process
TURN_SECONDS = 5
CHECKPOINT_BYTES = 12  # a parameter: fp32 weights and AdamW's two moments
AT_ONCE = 4  # the last, the best, the one being written, and open_clip's own of the last epoch
MARGIN = 200_000_000


@dataclass(frozen=True)
class Plan:
    """What is about to be trained; `notes` say what was set right on the way."""

    run: Run
    settings: TrainingSettings
    start: Start
    data: Data
    folder: Path
    device: str
    processes: int
    notes: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        return arguments(
            self.settings, self.start, self.data, self.folder, device=self.device, processes=self.processes
        )


def run_finetune(job: RunningJob) -> None:
    """Trains a run, or goes on with it from the last epoch that is saved; then registers the model of the best one.

    Arguments: run. Raises Invalid with what speaks against it before anything starts, Conflict when the trainer
    failed; both say what to do.
    """
    clock = time.monotonic()
    wait_for_turn(job)
    with only_one_here():
        plan = planned(job)
        watch = Watch(job, plan.run.id, plan.folder, plan.settings)
        watch.catch_up()
        trained(job, plan, watch)
        first = round(watch.first_step_at - clock, 1) if watch.first_step_at else None
        facts = {"seconds": round(time.monotonic() - clock, 1), "first_step_seconds": first}
        report(job, plan.run.id, facts)
        _finish(job, plan, watch)


# --- its turn -----------------------------------------------------------------------------------


def wait_for_turn(job: RunningJob) -> None:
    """Runs start in the order of their jobs, one on each machine that serves the queue."""
    with transaction() as session:
        older = (Job.kind == "finetune") & (Job.id < job.id) & Job.state.in_((JobState.QUEUED, JobState.RUNNING))
        ahead = [arguments["run"] for arguments in session.scalars(select(Job.arguments).where(older).order_by(Job.id))]
        machines = presence.machines_serving(session, WorkQueue.TRAIN)
    if len(ahead) >= max(1, machines):
        raise jobs.Wait(WaitReason.TURN, TURN_SECONDS, f"Waits for run {ahead[-1]}.")


@contextmanager
def only_one_here() -> Iterator[None]:
    """A lock of this machine that ends with the worker, however that ends."""
    path = our().runs_path / f".{socket.gethostname()}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise jobs.Wait(WaitReason.TURN, TURN_SECONDS, "Waits for the run that trains on this machine.") from None
        yield


# --- what is to be trained ----------------------------------------------------------------------


def planned(job: RunningJob) -> Plan:
    """Reads data and base, and refuses what would go wrong. The command that will start is written to the run."""
    with transaction() as session:
        run = session.get_one(Run, job.arguments["run"])
        snapshot = session.get(Snapshot, run.snapshot_id) if run.snapshot_id else None
        base = session.get(Encoder, run.base_id) if run.base_id else None
    settings = TrainingSettings.from_json(run.settings)
    data, facts = data_of(job, snapshot) if snapshot else practice_data()
    start = _start(job, base) if base else start_of(None, run.architecture)
    gpus = count_gpus()
    _refuse_without_gpu(run, gpus)
    device, processes = "cuda" if gpus else "cpu", max(1, min(gpus, facts.shards))
    folder = folder_of(run.id)
    where = replace(facts, device=device, processes=processes, folder=str(Path(data.train).parent))
    config = config_of_encoder(base) if base else config_of(run.architecture)
    in_blocks = config is None or has_blocks(config)
    _refuse(settings, replace(where, model=start.model, has_plain_towers=in_blocks))
    _check_room(run.id, base.parameters if base else 0)
    notes = _notes(settings, facts.shards, gpus, processes)
    plan = Plan(run, settings, start, data, folder, device, processes, notes)
    about = {"pairs": data.train_pairs, "val_pairs": data.val_pairs, "shards": data.shards, "decoded": True}
    report(job, run.id, {"data": about, "notes": list(notes), "offer": {}}, command=plan.command)
    return plan


def _start(job: RunningJob, base: Encoder) -> Start:
    from workers import packages  # brings torch, which a worker that only watches never needs

    return Start(f"local-dir:{packages.ensure_package(job, base)}")


def _notes(settings: TrainingSettings, shards: int, gpus: int, processes: int) -> tuple[str, ...]:
    """What is set right for the number of shards."""
    fitting = fitting_loaders(settings.loaders, shards, processes)
    loading = f"Each process loads with {fitting} loaders, not {settings.loaders}: there are {shards} shards."
    training = f"Trains on {processes} of {gpus} GPUs: there are {shards} shards."
    return (*([loading] if fitting < settings.loaders else []), *([training] if processes < gpus else []))


def _refuse_without_gpu(run: Run, gpus: int) -> None:
    if run.report.get("device_kind") == "cuda" and not gpus:
        raise Conflict("This run began on a GPU, and this worker has none.", "Resume it when the GPU is back.")


def _refuse(settings: TrainingSettings, facts: Facts) -> None:
    if found := problems(settings, facts):
        raise Invalid(" ".join(found.values()), fields=found)


def _check_room(run_id: int, parameters: int) -> None:
    """Raises Wait while there is no room for the checkpoints, as far as their size is known before the start."""
    folder = folder_of(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    needed = CHECKPOINT_BYTES * parameters * AT_ONCE + MARGIN
    free = shutil.disk_usage(folder).free + sum(one.size for one in checkpoints(run_id))
    if free < needed:
        said = f"Needs {(needed - free) / 1e9:.1f} GB more room for checkpoints. Make room; it goes on by itself."
        raise jobs.Wait(WaitReason.DISK, 60, said)


def report(job: RunningJob, run_id: int, more: dict[str, Any], command: list[str] | None = None) -> None:
    """Adds to what is known of the run."""
    with job.step() as session:
        run = session.get_one(Run, run_id, with_for_update=True)
        run.report = {**run.report, **more}
        run.job_id = job.id
        if command:
            run.command = command


# --- training -----------------------------------------------------------------------------------


def trained(job: RunningJob, plan: Plan, watch: Watch) -> None:
    """Runs the trainer to its end. Raises Conflict if it failed."""
    before = _gpu_memory(plan)
    memory, on_gpu, next_weighing = 0, None, 0.0
    with TrainerProcess([sys.executable, *plan.command], plan.folder) as trainer:
        while True:
            code = trainer.code  # first: what it wrote before it ended is then read for certain
            if time.monotonic() >= next_weighing:
                memory, on_gpu = trainer.memory(), _gpu_memory(plan)
                next_weighing = time.monotonic() + WEIGH_SECONDS
            used = None if on_gpu is None or before is None else max(0, on_gpu - before)
            is_copied = _copied(watch, memory, used)
            if is_copied and (code is not None or watch.not_finite is not None):
                break
            _look_around(plan, watch)
            job.stop.wait(PAUSE)
        trainer.end()
        said = trainer.said()
    _keep_facts(job, plan, watch, code)
    if not watch.is_complete:
        _fail(job, plan, watch, said, code)


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
    room = CHECKPOINT_BYTES * int(watch.started.get("parameters", 0)) + MARGIN
    if (free := shutil.disk_usage(plan.folder).free) < room:
        needs = f"The next checkpoint needs {(room - free) / 1e9:.1f} GB more room."
        raise jobs.Wait(WaitReason.DISK, 60, f"{needs} {kept(watch.saved)} It goes on by itself.")


def _keep_facts(job: RunningJob, plan: Plan, watch: Watch, code: int | None) -> None:
    started = watch.started
    facts = {
        "device": started.get("device_name", plan.device),
        "device_kind": plan.device,
        "processes": plan.processes,
        "parameters": started.get("parameters", 0),
        "versions": started.get("versions", {}),
        "memory": watch.peak_memory,
        "gpu_memory": watch.peak_gpu_memory,
        "exit_status": code,
    }
    resumed = [started["resumed"]] if started.get("resumed") else []
    report(job, plan.run.id, facts | {"notes": [*plan.notes, *resumed]})


def _fail(job: RunningJob, plan: Plan, watch: Watch, said: str, code: int | None) -> None:
    """Raises Wait where it is a matter of time, else Conflict, with settings that may go better in the report."""
    if IN_USE in said:
        raise jobs.Wait(WaitReason.TURN, TURN_SECONDS, "Another trainer works in this run's folder.")
    if DISK_FULL.search(said):
        raise jobs.Wait(WaitReason.DISK, 60, f"The disk is full. {kept(watch.saved)} Make room; it goes on by itself.")
    failure = _why(plan, watch, said, code)
    report(job, plan.run.id, {"offer": failure.offer})
    raise Conflict(failure.said, failure.what_next)


def _why(plan: Plan, watch: Watch, said: str, code: int | None) -> Failure:
    if watch.not_finite is not None:
        return not_a_number(plan.settings, f"step {watch.not_finite:,}", watch.saved)
    if NOT_FINITE in said:
        return not_a_number(plan.settings, f"the end of step {watch.last_step:,}", watch.saved)
    return explain(plan.settings, said, code, watch.saved)


def _finish(job: RunningJob, plan: Plan, watch: Watch) -> None:
    from workers.finetuned import finish

    finish(job, plan.run.id, plan.start, plan.data, plan.folder, watch.best_epoch)
