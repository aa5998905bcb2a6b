"""Evaluation: data sets that others published, how their classes are worded, and models measured on them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class EvaluationSet(Base):
    """A folder in a published layout, as it was recognised. Its items lie in a file beside the evaluations.

    `folder` is a named sub-folder of an evaluation root, `report` what was recognised: counts a class and variant,
    traps, what is missing, extra or unreadable. `items_sha256` tells one reading of the folder from another.
    """

    __tablename__ = "evaluation_set"

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    layout: Mapped[str]
    importer_version: Mapped[str] = mapped_column(server_default="")
    folder: Mapped[str]
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    items_sha256: Mapped[str] = mapped_column(server_default="")
    licence: Mapped[str] = mapped_column(server_default="")
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()
    ready_at: Mapped[datetime | None]


class ClassPrompts(Base):
    """A version of how a layout's classes are worded: names by class key, and templates with `{}`; append-only."""

    __tablename__ = "class_prompts"
    __table_args__ = (UniqueConstraint("layout", "version"),)

    id: Mapped[int] = identity()
    layout: Mapped[str]
    version: Mapped[int]
    names: Mapped[dict[str, Any]] = mapped_column(JSONB)
    templates: Mapped[list[str]] = mapped_column(JSONB)
    note: Mapped[str] = mapped_column(server_default="")
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()


class EvaluationTask(StrEnum):
    ZERO_SHOT = "zero_shot"
    LINEAR_PROBE = "linear_probe"
    FEW_SHOT = "few_shot"
    RETRIEVAL = "retrieval"


class Evaluation(Base):
    """A model on a set (for retrieval, of pairs, or a snapshot's held-out ones) in a task → metrics.

    Its state is that of its job.

    `settings` is all that changes a number (variant, prompts, preset, seed, precision); `settings_sha256` of its
    canonical JSON tells which evaluations are the same. `metrics` holds figures with intervals; predictions and the
    passport lie in the evaluation's folder.
    """

    __tablename__ = "evaluation"
    __table_args__ = (
        CheckConstraint("(set_id IS NULL) <> (snapshot_id IS NULL)", name="on_one"),
        CheckConstraint("snapshot_id IS NULL OR task = 'retrieval'", name="snapshot_for_retrieval"),
        Index(None, "encoder_id", "set_id", "task"),
        Index(None, "set_id", "task"),
    )

    id: Mapped[int] = identity()
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"))
    set_id: Mapped[int | None] = mapped_column(ForeignKey("evaluation_set.id"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshot.id"))
    task: Mapped[EvaluationTask] = mapped_column(choice(EvaluationTask))
    prompts_id: Mapped[int | None] = mapped_column(ForeignKey("class_prompts.id"))
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    settings_sha256: Mapped[str]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    passport_sha256: Mapped[str] = mapped_column(server_default="")
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()
    finished_at: Mapped[datetime | None]
