"""Background jobs, the workers that serve them, the audit log, settings and kept counts."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WaitReason(StrEnum):
    DISK = "disk"
    ENDPOINT = "endpoint"
    DEPLOY = "deploy"
    TURN = "turn"


class WorkQueue(StrEnum):
    CPU = "cpu"
    GPU = "gpu"
    LLM = "llm"
    TRAIN = "train"
    EXPORT = "export"


class Job(Base):
    """One piece of background work. The row is the truth; a Celery message only wakes a worker."""

    __tablename__ = "job"
    __table_args__ = (
        Index("uq_job_dedupe", "dedupe", unique=True, postgresql_where=text("state IN ('queued', 'running')")),
        Index("ix_job_open", "queue", "id", postgresql_where=text("state IN ('queued', 'running')")),
        CheckConstraint("lost BETWEEN 0 AND 3", name="lost"),
        CheckConstraint("(state = 'running') = (token IS NOT NULL)", name="running_has_token"),
    )

    id: Mapped[int] = identity()
    kind: Mapped[str]
    queue: Mapped[WorkQueue] = mapped_column(choice(WorkQueue))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    state: Mapped[JobState] = mapped_column(choice(JobState), server_default="queued")
    wait_reason: Mapped[WaitReason | None] = mapped_column(choice(WaitReason))
    not_before: Mapped[datetime] = mapped_column(server_default=text("'epoch'"))
    lease_until: Mapped[datetime] = mapped_column(server_default=text("'epoch'"))
    token: Mapped[UUID | None]
    heartbeat: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    cursor: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    done: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int | None]
    unit: Mapped[str] = mapped_column(server_default="")
    message: Mapped[str] = mapped_column(server_default="")
    error: Mapped[str] = mapped_column(server_default="")
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    lost: Mapped[int] = mapped_column(server_default=text("0"))
    dedupe: Mapped[str | None]
    retry_of: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    requested_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Worker(Base):
    """A live worker process: the only source for who serves what."""

    __tablename__ = "worker"
    __table_args__ = (UniqueConstraint("host", "pid"),)

    id: Mapped[int] = identity()
    host: Mapped[str]
    pid: Mapped[int]
    queues: Mapped[list[str]] = mapped_column(JSONB)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    memory: Mapped[int] = mapped_column(server_default=text("0"))
    started_at: Mapped[datetime] = stamped()
    seen_at: Mapped[datetime] = stamped()


class Event(Base):
    """Who did what to what and when; append-only, without text of posts."""

    __tablename__ = "event"
    __table_args__ = (
        Index(None, "subject_kind", "subject_id", "id"),
        Index(None, "user_id", "id"),
        Index(None, "act", "id"),
    )

    id: Mapped[int] = identity()
    at: Mapped[datetime] = stamped()
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    act: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


class Setting(Base):
    __tablename__ = "setting"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)


class Tally(Base):
    """Counts that were taken together, kept a few seconds so that pages agree."""

    __tablename__ = "tally"

    name: Mapped[str] = mapped_column(primary_key=True)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    taken_at: Mapped[datetime] = stamped()
