"""Wanted reviews, given reviews, and what belongs to a reviewer."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class Purpose(StrEnum):
    MAIN = "main"
    AUDIT = "audit"
    GOLD = "gold"
    TRAINING = "training"
    ADJUDICATION = "adjudication"
    RESOLUTION = "resolution"


class ReviewKind(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    FLAG = "flag"
    UNDO = "undo"


class Queue(Base):
    """A saved filter of candidates with an order; it only selects and orders."""

    __tablename__ = "queue"

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    filter: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = stamped()


class Reason(Base):
    """Why a candidate is rejected. `digit` is its key in the list of reasons."""

    __tablename__ = "reason"

    code: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(unique=True)
    digit: Mapped[int] = mapped_column(unique=True)


class Assignment(Base):
    """A wanted review: one reviewer's slot on a candidate, a lease while it is live."""

    __tablename__ = "assignment"
    __table_args__ = (
        Index("uq_assignment_slot", "candidate_id", "round", "purpose", "slot", unique=True),
        Index(
            "uq_assignment_one_slot_a_person",
            "candidate_id",
            "round",
            "user_id",
            unique=True,
            postgresql_where=text("purpose IN ('main', 'adjudication')"),
        ),
        Index(
            "uq_assignment_gold",
            "user_id",
            "candidate_id",
            "round",
            "purpose",
            unique=True,
            postgresql_where=text("purpose IN ('gold', 'training')"),
        ),
        Index(
            "ix_assignment_open",
            "purpose",
            text("priority DESC"),
            "candidate_id",
            "slot",
            postgresql_where=text("review_id IS NULL"),
        ),
        Index("ix_assignment_open_user", "user_id", postgresql_where=text("review_id IS NULL")),
        CheckConstraint("(slot IS NULL) = (purpose IN ('gold', 'training'))", name="slot_by_purpose"),
        CheckConstraint("review_id IS NULL OR user_id IS NOT NULL", name="reviewed_by_someone"),
    )

    id: Mapped[int] = identity()
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    round: Mapped[int]
    purpose: Mapped[Purpose] = mapped_column(choice(Purpose))
    slot: Mapped[int | None]
    priority: Mapped[float] = mapped_column(Double, server_default=text("0"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    token: Mapped[UUID | None]
    lease_until: Mapped[datetime] = mapped_column(server_default=text("'epoch'"))
    review_id: Mapped[int | None] = mapped_column(ForeignKey("review.id", use_alter=True), unique=True)


class Review(Base):
    """One reviewer's judgement; append-only. An undo is a review that supersedes another."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("(kind = 'undo') = (supersedes IS NOT NULL)", name="undo_supersedes"),
        CheckConstraint("seconds >= 0", name="seconds"),
        Index(None, "candidate_id", "id"),
        Index(None, "user_id", "id"),
        Index(None, "user_id", "at"),
    )

    id: Mapped[int] = identity()
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    assignment_id: Mapped[int | None]
    round: Mapped[int]
    purpose: Mapped[Purpose] = mapped_column(choice(Purpose))
    kind: Mapped[ReviewKind] = mapped_column(choice(ReviewKind))
    caption_before_id: Mapped[int | None] = mapped_column(ForeignKey("caption.id"))
    caption_after_id: Mapped[int | None] = mapped_column(ForeignKey("caption.id"))
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    note_id: Mapped[int | None] = mapped_column(ForeignKey("evidence_text.id"))
    seconds: Mapped[float] = mapped_column(Double, server_default=text("0"))
    submission_id: Mapped[UUID] = mapped_column(unique=True)
    supersedes: Mapped[int | None] = mapped_column(ForeignKey("review.id"), unique=True)
    at: Mapped[datetime] = stamped()


class ReviewReason(Base):
    __tablename__ = "review_reason"

    review_id: Mapped[int] = mapped_column(ForeignKey("review.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(ForeignKey("reason.code"), primary_key=True)


class Skip(Base):
    __tablename__ = "skip"

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), primary_key=True)
    at: Mapped[datetime] = stamped()


class Draft(Base):
    """What a reviewer has typed and not yet submitted."""

    __tablename__ = "draft"

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), primary_key=True)
    caption_version: Mapped[int]
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    text: Mapped[str]
    at: Mapped[datetime] = stamped()
