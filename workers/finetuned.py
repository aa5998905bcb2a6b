"""After a run: its best epoch becomes a registered model, is measured, and what is not kept is deleted."""

from pathlib import Path
from typing import Any

import structlog
import torch

from app import jobs
from app.db import transaction
from app.encoders import actions as encoders
from app.encoders.policies import OWN_LICENCE
from app.errors import Conflict
from app.jobs import RunningJob
from app.snapshots import queries as snapshots
from app.tables import Encoder, Run, Snapshot
from app.training.command import Data, Start
from app.training.settings import TrainingSettings
from workers import packages
from workers.measuring import measured
from workers.ml.curves import BEST, CHECKPOINTS
from workers.ml.trainer import LATEST, keep_best, readable_latest
from workers.source import code_version
from workers.training_data import refuse_withdrawn

log = structlog.get_logger()


def finish(job: RunningJob, run_id: int, start: Start, data: Data, folder: Path, best: int | None) -> None:
    """Registers the model of the epoch `best`. Raises Conflict where its checkpoint is not there."""
    _say(job, "Registering the model")
    with transaction() as session:
        run = session.get_one(Run, run_id)
    if run.encoder_id is None:
        _register(job, run, start, folder / CHECKPOINTS / BEST, best)
    _say(job, "Measuring the model")
    _measure(job, run_id, data)
    tidy(folder / CHECKPOINTS, TrainingSettings.from_json(run.settings).keep)


def _say(job: RunningJob, message: str) -> None:
    with job.step():
        job.message = message


def _measure(job: RunningJob, run_id: int, data: Data) -> None:
    with transaction() as session:
        run = session.get_one(Run, run_id)
        model = session.get_one(Encoder, run.encoder_id)
        base = session.get(Encoder, run.base_id) if run.base_id else None
    try:
        figures = measured(job, model, base, data, drawn=run.snapshot_id is None)
    except (jobs.Cancelled, jobs.LeaseLost):
        raise
    except Exception as error:  # the model is made, and whatever can't be measured takes nothing from it
        log.exception("model_not_measured")
        said = f"The model could not be measured: {jobs.last_line(error)}"
        figures = {"notes": [*run.report.get("notes", []), said]}
    with job.step() as session:
        stored = session.get_one(Run, run_id, with_for_update=True)
        stored.report = stored.report | figures
        job.message = ""


def _register(job: RunningJob, run: Run, start: Start, checkpoint: Path, best: int | None) -> None:
    _refuse_another(checkpoint, best)
    with transaction() as session:
        snapshot = session.get(Snapshot, run.snapshot_id) if run.snapshot_id else None
        base = session.get(Encoder, run.base_id) if run.base_id else None
    data = snapshots.name(snapshot) if snapshot else "practice"
    name = f"ip-clip {data} run {run.id}"
    package = packages.package_checkpoint(checkpoint, str(start.config or start.model), name)
    row = packages.encoder_of(
        package,
        name,
        licence=base.licence if base else OWN_LICENCE,
        reaches=bool(base and base.reaches_data) or bool(snapshot and snapshots.reaching(snapshot)),
        provenance=_provenance(run, snapshot, base, best),
    )
    try:
        with job.step() as session:
            refuse_withdrawn(session, snapshot)
            made = encoders.add(session, row, job.id, job.requested_by)
            stored = session.get_one(Run, run.id, with_for_update=True)
            stored.encoder_id, stored.best_epoch = made.id, best
            details = {"encoder": made.id, "epoch": best}
            jobs.record(session, "run.finished", "run", run.id, job_id=job.id, details=details)
    except Conflict:
        packages.discard(package)
        raise


def best_kept(folder: Path, best_by: str) -> int | None:
    """The best of a stopped run's epochs; its trainer may have been killed between the save and the link."""
    saved = folder / CHECKPOINTS
    readable_latest(saved)
    if latest := _epoch_of(saved / LATEST):
        keep_best(saved, best_by, latest)
    return _epoch_of(saved / BEST)


def _epoch_of(checkpoint: Path) -> int | None:
    return torch.load(checkpoint, weights_only=True, mmap=True)["epoch"] if checkpoint.exists() else None


def _refuse_another(checkpoint: Path, best: int | None) -> None:
    """The link is made at an epoch's border; where it is not of the best epoch, something else took its place."""
    if best is None:
        raise Conflict("No epoch of this run is kept.", "Start it again with the same settings.")
    if _epoch_of(checkpoint) != best:
        said = f"The checkpoint of epoch {best}, the best, is not there."
        raise Conflict(said, "Start the run again with the same settings.")


def _provenance(run: Run, snapshot: Snapshot | None, base: Encoder | None, best: int | None) -> dict[str, Any]:
    return {
        "run": run.id,
        "snapshot": snapshots.name(snapshot) if snapshot else None,
        "base": {"id": base.id, "name": base.name, "checksum": base.checksum} if base else None,
        "architecture": run.architecture,
        "command": run.command,
        "settings": run.settings,
        "versions": run.report.get("versions", {}) | {"code": code_version()},
        "epoch": best,
        "data": run.report.get("data", {}),
    }


def tidy(checkpoints: Path, keep: str) -> None:
    """Once the model is registered: deletes the checkpoints, or all but what going on needs."""
    kept = {LATEST, BEST} if keep == "best_and_latest" else set()
    for path in checkpoints.glob("*.pt"):
        if path.name not in kept:
            path.unlink()
