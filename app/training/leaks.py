"""Whether pairs that are trained on stand apart from those held out, by all that is known today."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.snapshots.splits import HELD_OUT, SplitInput, components
from app.tables import Candidate, DuplicateMember, Post, Snapshot, SnapshotMember, Split


def keys(session: Session, snapshot: Snapshot, split: Split) -> set[str]:
    """The pairs that a snapshot was frozen with in a split."""
    chosen = SnapshotMember.snapshot_id == snapshot.id, SnapshotMember.split == split
    return set(session.scalars(select(SnapshotMember.key).where(*chosen)))


def leaking(session: Session, snapshot: Snapshot) -> list[str]:
    """Training pairs whose component (author, post, duplicate group) now also has a held-out pair of the snapshot.

    At the freeze there is none; duplicates that were found since may join what was apart.
    """
    rows = session.execute(
        select(Candidate.id, Post.author_id, Post.id, DuplicateMember.group_id, SnapshotMember.split)
        .join(Post, Post.id == Candidate.post_id)
        .outerjoin(DuplicateMember, DuplicateMember.candidate_id == Candidate.id)
        .outerjoin(
            SnapshotMember,
            (SnapshotMember.candidate_id == Candidate.id) & (SnapshotMember.snapshot_id == snapshot.id),
        )
    )
    graph = [
        SplitInput(f"{key:012d}", author, post, () if group is None else (group,), split and split.value)
        for key, author, post, group, split in rows
    ]
    mixed = [one for one in components(graph) if any(pair.previously in HELD_OUT for pair in one.pairs)]
    return sorted(pair.key for one in mixed for pair in one.pairs if pair.previously == Split.TRAIN.value)
