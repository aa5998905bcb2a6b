"""What a model has learned from: the snapshots that it, and what it began from, were trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.encoders.queries import line
from app.snapshots.queries import published_sha256
from app.tables import Candidate, DuplicateMember, Image, SnapshotMember, Split, Weights


def learned_from(session: Session, encoder_id: int) -> list[int]:
    """The snapshots that a model and what it started from were trained on, by id."""
    return [step.run.snapshot_id for step in line(session, encoder_id) if step.run.snapshot_id]


def only_practised(session: Session, encoder_id: int) -> bool:
    """Whether a model learned from the drawn practice set and from nothing else."""
    steps = line(session, encoder_id)
    first = steps[-1].base if steps else None
    began_untrained = first is None or first.weights is Weights.RANDOM
    return bool(steps) and began_untrained and not any(step.run.snapshot_id for step in steps)


Way = Literal["exact", "group", "post"]


def seen_in_training(session: Session, snapshot_id: int, trained_on: Sequence[int]) -> dict[str, tuple[Way, int]]:
    """Key → how a pair of a snapshot is among the training pairs of others, and the candidate there.

    The surest way that holds: "exact" is the same picture, "group" a duplicate of it as they are grouped by now,
    "post" another picture of its post, under the same caption.
    """
    held, learned = aliased(SnapshotMember), aliased(SnapshotMember)
    both = select(held.key, func.min(learned.candidate_id)).group_by(held.key)
    both = both.where(held.snapshot_id == snapshot_id, held.split != Split.TRAIN)
    both = both.where(learned.snapshot_id.in_(trained_on), learned.split == Split.TRAIN)
    ours, theirs, mine, its = aliased(DuplicateMember), aliased(DuplicateMember), aliased(Candidate), aliased(Candidate)
    ways: dict[Way, Any] = {
        "post": both.join(mine, mine.id == held.candidate_id)
        .join(its, its.post_id == mine.post_id)
        .where(its.id == learned.candidate_id),
        "group": both.join(ours, ours.candidate_id == held.candidate_id)
        .join(theirs, theirs.group_id == ours.group_id)
        .where(theirs.candidate_id == learned.candidate_id),
        "exact": both.where(held.image_sha256 == learned.image_sha256),
    }
    return {key: (way, candidate_id) for way, found in ways.items() for key, candidate_id in session.execute(found)}


@dataclass(frozen=True)
class TrainingPicture:
    """A picture that a model learned from, as it was published, and what the pre-filter knows of it."""

    candidate_id: int
    sha256: str
    source_sha256: str
    pdq: str | None
    quality: int | None
    is_cropped: bool


def training_pictures(session: Session, snapshot_ids: Sequence[int]) -> list[TrainingPicture]:
    """The pictures of the pairs that snapshots trained models on."""
    rows = session.execute(
        select(
            SnapshotMember.candidate_id,
            published_sha256,
            Image.source_sha256,
            Image.pdq,
            Image.pdq_quality,
            SnapshotMember.crop.is_not(None),
        )
        .join(Image, Image.sha256 == SnapshotMember.image_sha256)
        .where(SnapshotMember.snapshot_id.in_(snapshot_ids), SnapshotMember.split == Split.TRAIN)
        .order_by(SnapshotMember.candidate_id)
    )
    return [TrainingPicture(*row) for row in rows]
