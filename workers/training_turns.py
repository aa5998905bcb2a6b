"""When a run may train: in its turn, one on each machine, and while there is room; and what waits for it meanwhile."""

import fcntl
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from app import jobs, presence
from app.config import settings
from app.db import transaction
from app.jobs import RunningJob
from app.tables import WaitReason, WorkQueue
from app.training import queries
from app.training.estimates import CHECKPOINT_BYTES

TURN_SECONDS, DISK_SECONDS, GPU_SECONDS = 5, 60, 30
MARGIN = 200_000_000


def wait_for_turn(job: RunningJob) -> None:
    """As many runs train as machines serve the queue. Raises Wait until it is this one's turn."""
    with transaction() as session:
        ahead = queries.ahead(session, job.arguments["run"])
        machines = presence.machines_serving(session, WorkQueue.TRAIN)
    if len(ahead) >= max(1, machines):
        raise jobs.Wait(WaitReason.TURN, TURN_SECONDS, f"Waits for run {ahead[-1].run.id}.")


@contextmanager
def only_one_here() -> Iterator[None]:
    """A lock of this machine that ends with the worker, however that ends."""
    path = settings().runs_path / f".{socket.gethostname()}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise jobs.Wait(WaitReason.TURN, TURN_SECONDS, "Waits for the run that trains on this machine.") from None
        yield


def wait_for_gpu(job: RunningJob) -> None:
    """For work that can wait: raises Wait while a run trains on this worker's GPU. Without one it never does.

    A run fails where others take the memory that it is about to need. Networks that this worker loaded stay there.
    """
    if gpu := _own_gpu():
        with transaction() as session:
            run_id = queries.training_on(session, gpu)
        if run_id:
            raise jobs.Wait(WaitReason.TURN, GPU_SECONDS, f"Waits for run {run_id}, which trains on the same GPU.")
        job.message = ""  # what it waited for


@cache
def _own_gpu() -> str:
    from workers.ml.encoder import device  # brings torch
    from workers.ml.gpus import uuid_of

    return uuid_of(device())


def room_lacking(folder: Path, parameters: int, checkpoints: int, freed: int = 0) -> str:
    """How much more room so many checkpoints need, for people; empty where there is enough. `freed` are bytes that
    belong to the run already.
    """
    needed = CHECKPOINT_BYTES * parameters * checkpoints + MARGIN
    lacking = needed - shutil.disk_usage(folder).free - freed
    return f"{lacking / 1e9:.1f} GB more room" if lacking > 0 else ""
