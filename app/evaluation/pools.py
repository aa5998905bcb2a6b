"""The pairs of a snapshot that a search is among, and how they are shown."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from app.snapshots.queries import published_sha256
from app.tables import Candidate, CandidateState, Caption, DuplicateMember, Post, SnapshotMember


@dataclass(frozen=True)
class Pair:
    """A pair of a pool, and what else it belongs to; `author` is the independent unit. Only a snapshot's is a
    candidate."""

    key: str
    candidate_id: int | None
    sha256: str
    caption: str
    author: str
    post_id: int
    group_id: int | None

    @property
    def digest(self) -> str:
        """SHA-256 of its picture's and its caption."""
        return hashlib.sha256(f"{self.sha256}\n{self.caption}".encode()).hexdigest()


def held_out(session: Session, snapshot_id: int, splits: Sequence[str]) -> list[Pair]:
    """The pairs of a snapshot's splits by key, without those that were withdrawn since."""
    return [Pair(*row) for row in session.execute(_held_out(snapshot_id, splits))]


def pool(session: Session, snapshot_id: int, splits: Sequence[str]) -> tuple[int, str]:
    """How many pairs `held_out` gives, and SHA-256 of what a search is among: every pair's picture, caption and what
    else it belongs to. No pair is read for it: pages ask for it at each showing."""
    of = _held_out(snapshot_id, splits).subquery().c
    pair = func.json_build_array(of.key, _sha256(of.sha256 + "\n" + of.caption), of.author, of.post_id, of.group_id)
    lines = func.string_agg(cast(pair, Text) + "\n", aggregate_order_by(literal(""), of.key))
    count, sha256 = session.execute(select(func.count(of.key), _sha256(func.coalesce(lines, "")))).one()
    return count, sha256


def _sha256(text: Any) -> Any:
    return func.encode(func.sha256(func.convert_to(text, "UTF8")), "hex")


def _held_out(snapshot_id: int, splits: Sequence[str]) -> Any:
    author = case((Post.author_id.is_(None), func.concat("p", Post.id)), else_=func.concat("a", Post.author_id))
    return (
        select(
            SnapshotMember.key,
            SnapshotMember.candidate_id,
            published_sha256.label("sha256"),
            Caption.text.label("caption"),
            author.label("author"),
            Post.id.label("post_id"),
            DuplicateMember.group_id,
        )
        .join(Caption, Caption.id == SnapshotMember.caption_id)
        .join(Candidate, Candidate.id == SnapshotMember.candidate_id)
        .join(Post, Post.id == Candidate.post_id)
        .outerjoin(DuplicateMember, DuplicateMember.candidate_id == Candidate.id)
        .where(SnapshotMember.snapshot_id == snapshot_id, SnapshotMember.split.in_(splits))
        .where(Candidate.state != CandidateState.WITHDRAWN, func.btrim(func.coalesce(Caption.text, "")) != "")
        .order_by(SnapshotMember.key)
    )


def pairs_shown(session: Session, snapshot_id: int, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Key → (SHA-256 of the published picture, caption) of a snapshot's pairs that nobody withdrew."""
    rows = session.execute(
        select(SnapshotMember.key, published_sha256, func.coalesce(Caption.text, ""))
        .join(Caption, Caption.id == SnapshotMember.caption_id)
        .join(Candidate, Candidate.id == SnapshotMember.candidate_id)
        .where(SnapshotMember.snapshot_id == snapshot_id, SnapshotMember.key.in_(keys))
        .where(Candidate.state != CandidateState.WITHDRAWN)
    )
    return {key: (sha256, text) for key, sha256, text in rows}
