"""Frozen releases of accepted candidates."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class Split(StrEnum):
    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    RESERVE = "reserve"


class Snapshot(Base):
    __tablename__ = "snapshot"
    __table_args__ = (CheckConstraint("number >= 1", name="number"),)

    id: Mapped[int] = identity()
    number: Mapped[int] = mapped_column(unique=True)
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    note: Mapped[str] = mapped_column(server_default="")
    seed: Mapped[int]
    setting: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    event_position: Mapped[int]
    frozen_at: Mapped[datetime] = stamped()
    built_at: Mapped[datetime | None]
    files: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


class SnapshotMember(Base):
    """One frozen pair; append-only. Build, rebuild, difference and verify read only this."""

    __tablename__ = "snapshot_member"
    __table_args__ = (CheckConstraint("key ~ '^[0-9]{12}$'", name="key"),)

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), index=True)
    image_sha256: Mapped[str]
    crop: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    caption_id: Mapped[int] = mapped_column(ForeignKey("caption.id"))
    review_id: Mapped[int] = mapped_column(ForeignKey("review.id"))
    split: Mapped[Split] = mapped_column(choice(Split))
    row: Mapped[dict[str, Any]] = mapped_column(JSONB)
