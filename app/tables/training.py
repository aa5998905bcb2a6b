"""Fine-tuning: runs, and the curves that each left."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import stamped


class Run(Base):
    """A fine-tuning of CLIP: data + where it starts + settings → a model. Its state is that of its newest job.

    Without a snapshot it trains on the drawn practice set, without a base from random weights of `architecture`
    (a name of open_clip, or a config file below the models folder). `settings` are those of
    `app.training.settings.TrainingSettings`, `command` the trainer's arguments as they were started, `report` what
    was learnt of data, machine and model on the way (MODEL §6: no text of posts).
    """

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint("(base_id IS NULL) <> (architecture = '')", name="starts_from_one"),
        Index(None, "sweep", postgresql_where=text("sweep IS NOT NULL")),
    )

    id: Mapped[int] = identity()
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshot.id"))
    base_id: Mapped[int | None] = mapped_column(ForeignKey("encoder.id"))
    architecture: Mapped[str] = mapped_column(server_default="")
    recipe: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    note: Mapped[str] = mapped_column(server_default="")
    sweep: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    like_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    command: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'"))
    best_epoch: Mapped[int | None]
    encoder_id: Mapped[int | None] = mapped_column(ForeignKey("encoder.id", ondelete="SET NULL"))
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()


class RunStep(Base):
    """What the trainer logged at one optimiser step, counted from 0; a repeated epoch writes its steps again.

    `memory` and `gpu_memory` are bytes of all its processes, `job_id` whose process it was.
    """

    __tablename__ = "run_step"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    loss: Mapped[float] = mapped_column(Double)
    learning_rate: Mapped[float] = mapped_column(Double)
    logit_scale: Mapped[float] = mapped_column(Double)
    pairs_per_second: Mapped[float] = mapped_column(Double)
    memory: Mapped[int | None]
    gpu_memory: Mapped[int | None]
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    at: Mapped[datetime] = stamped()


class RunEpoch(Base):
    """The validation after one epoch, counted from 1, by the names of open_clip_train's results.jsonl."""

    __tablename__ = "run_epoch"

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB)
    at: Mapped[datetime] = stamped()
