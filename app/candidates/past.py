"""What is on record of one candidate: its reviews, imports, findings, snapshots and events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.tables import (
    Caption,
    EntryOutcome,
    Event,
    EvidenceText,
    Finding,
    Import,
    ImportEntry,
    Job,
    Reason,
    Review,
    ReviewReason,
    Snapshot,
    SnapshotMember,
    Split,
    User,
)


@dataclass(frozen=True)
class PastReview:
    review: Review
    by: str
    before: str
    after: str
    note: str
    reasons: list[str]


def reviews(session: Session, candidate_id: int) -> list[PastReview]:
    """Every review of the candidate in the order given."""
    before, after = aliased(Caption), aliased(Caption)
    rows = session.execute(
        select(
            Review,
            User.name,
            func.coalesce(before.text, ""),
            func.coalesce(after.text, ""),
            func.coalesce(EvidenceText.text, ""),
        )
        .join(User, User.id == Review.user_id)
        .outerjoin(before, before.id == Review.caption_before_id)
        .outerjoin(after, after.id == Review.caption_after_id)
        .outerjoin(EvidenceText, EvidenceText.id == Review.note_id)
        .where(Review.candidate_id == candidate_id)
        .order_by(Review.id)
    ).all()
    why = _reasons(session, [row[0].id for row in rows])
    return [PastReview(review, by, old, new, note, why.get(review.id, [])) for review, by, old, new, note in rows]


def _reasons(session: Session, review_ids: Sequence[int]) -> dict[int, list[str]]:
    rows = session.execute(
        select(ReviewReason.review_id, Reason.label)
        .join(Reason, Reason.code == ReviewReason.reason)
        .where(ReviewReason.review_id.in_(review_ids))
        .order_by(ReviewReason.review_id, Reason.digit)
    )
    found: dict[int, list[str]] = {}
    for review_id, label in rows:
        found.setdefault(review_id, []).append(label)
    return found


def findings(session: Session, candidate_id: int) -> Sequence[Finding]:
    """Everything that stages ever said of the candidate, in order."""
    statement = select(Finding).where(Finding.candidate_id == candidate_id).order_by(Finding.at, Finding.id)
    return session.scalars(statement).all()


@dataclass(frozen=True)
class Entry:
    """An import that brought the candidate in or changed its caption; `started` by whom and when."""

    import_id: int
    outcome: EntryOutcome
    row: int | None
    at: datetime
    by: str


def entries(session: Session, candidate_id: int) -> list[Entry]:
    rows = session.execute(
        select(
            ImportEntry.import_id,
            ImportEntry.outcome,
            ImportEntry.row,
            func.coalesce(Import.finished_at, Job.heartbeat, Import.created_at),
            func.coalesce(User.name, "system"),
        )
        .join(Import, Import.id == ImportEntry.import_id)
        .outerjoin(Job, Job.id == Import.job_id)
        .outerjoin(User, User.id == Import.made_by)
        .where(
            ImportEntry.candidate_id == candidate_id,
            ImportEntry.outcome.in_([EntryOutcome.TAKEN, EntryOutcome.UPDATED]),
        )
        .order_by(ImportEntry.id)
    )
    return [Entry(*row) for row in rows]


@dataclass(frozen=True)
class Frozen:
    number: int
    split: Split
    at: datetime


def frozen_in(session: Session, candidate_id: int) -> list[Frozen]:
    """The snapshots that hold the candidate, the newest last."""
    rows = session.execute(
        select(Snapshot.number, SnapshotMember.split, Snapshot.frozen_at)
        .join(SnapshotMember, SnapshotMember.snapshot_id == Snapshot.id)
        .where(SnapshotMember.candidate_id == candidate_id)
        .order_by(Snapshot.number)
    )
    return [Frozen(*row) for row in rows]


def events(session: Session, candidate_id: int) -> list[tuple[Event, str]]:
    """What the log says of the candidate, with who did it."""
    rows = session.execute(
        select(Event, func.coalesce(User.name, "system"))
        .outerjoin(User, User.id == Event.user_id)
        .where(Event.subject_kind == "candidate", Event.subject_id == str(candidate_id))
        .order_by(Event.id)
    )
    return [(row[0], row[1]) for row in rows]
