"""Runs with their curves, as the supervisor leaves them, without training."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.snapshots.freezing import freeze
from app.tables import Encoder, Job, JobState, Run, RunEpoch, RunStep, Snapshot
from app.training import actions
from app.training.plans import NewRun
from app.training.settings import BY_NAME, TrainingSettings
from tests.factories import make_encoder
from tests.snapshots.test_snapshot_job import accepted

BEGAN = datetime(2026, 11, 29, 14, 2, tzinfo=UTC)
STEPS_AN_EPOCH = 15


def make_built_snapshot(session: Session, pairs: int = 20, val: int = 2) -> Snapshot:
    """A frozen snapshot that says its files are written."""
    accepted(session, pairs)
    made = freeze(session, None, None, val, 0, "")
    session.execute(text("DROP TABLE cut, cut_split"))  # dropped at a commit otherwise; a second one may follow
    made.built_at = made.frozen_at
    session.flush()
    return made


def make_clip(session: Session, **values: Any) -> Encoder:
    """A registered CLIP of the size of ViT-B/32."""
    given = {"name": "ViT-B/32, OpenAI", "model": "ViT-B-32", "parameters": 151_277_313, "width": 512}
    return make_encoder(session, **(given | values))


def make_run(
    session: Session,
    *,
    snapshot: Snapshot | None = None,
    base: Encoder | None = None,
    state: JobState = JobState.SUCCEEDED,
    epochs: int = 4,
    settings: TrainingSettings | None = None,
    worse: float = 0.0,
    **report: Any,
) -> Run:
    """A launched run that has logged `epochs` epochs; the last of them is the best. `worse` is added to its losses."""
    new = NewRun(
        snapshot.number if snapshot else None,
        base.id if base else None,
        "" if base else "ViT-S-32",
        "ip-clip",
        settings or BY_NAME["scratch"].settings,
    )
    (run,) = actions.launch(session, SYSTEM, new)
    job = session.get_one(Job, run.job_id)
    add_steps(session, run, job.id, 0, epochs * STEPS_AN_EPOCH, worse)
    for epoch in range(1, epochs + 1):
        figures = metrics(epoch, worse) | {"train_loss": mean_loss(session, run, epoch)}
        session.add(RunEpoch(run_id=run.id, epoch=epoch, metrics=figures))
    run.best_epoch, run.report = epochs or None, report
    job.done, job.total = epochs * STEPS_AN_EPOCH, new.settings.epochs * STEPS_AN_EPOCH
    job.state, job.started_at = state, BEGAN
    if state is JobState.RUNNING:
        job.token = "00000000-0000-0000-0000-000000000001"  # type: ignore[assignment]
        job.message = f"Epoch {epochs + 1} of {new.settings.epochs}"
        job.heartbeat, job.lease_until = datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)
    elif state is not JobState.QUEUED:
        job.finished_at = BEGAN + timedelta(minutes=19)
    session.flush()
    return run


def add_steps(
    session: Session, run: Run, job_id: int, first: int, stop: int, worse: float = 0.0, began: datetime = BEGAN
) -> None:
    for step in range(first, stop):
        session.add(
            RunStep(
                run_id=run.id,
                step=step,
                loss=0.8 + worse + 2.2 * math.exp(-step / 40) + 0.05 * math.sin(step * 7.3),
                learning_rate=1e-5 * min(1.0, (step + 1) / 20),
                logit_scale=14.3 + step / 100,
                pairs_per_second=165 + math.sin(step),
                memory=1_500_000_000 + 1_000_000 * step,
                gpu_memory=None,
                job_id=job_id,
                at=began + timedelta(seconds=6 * step),
            )
        )
    session.flush()


def mean_loss(session: Session, run: Run, epoch: int) -> float:
    of_epoch = (RunStep.run_id == run.id) & (RunStep.step // STEPS_AN_EPOCH == epoch - 1)
    return float(session.scalars(select(func.avg(RunStep.loss)).where(of_epoch)).one())


def metrics(epoch: int, worse: float = 0.0) -> dict[str, Any]:
    at = {1: 0.10, 5: 0.22, 10: 0.35}
    found: dict[str, Any] = {"clip_val_loss": 1.0 + worse + 1.5 * math.exp(-epoch / 3), "epoch": epoch}
    for k, share in at.items():
        found[f"image_to_text_R@{k}"] = min(1.0, share + 0.05 * epoch - worse / 10)
        found[f"text_to_image_R@{k}"] = min(1.0, share + 0.04 * epoch - worse / 10)
    return found


def plain(html: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("&amp;", "&").split())
