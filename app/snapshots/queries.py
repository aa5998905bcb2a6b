"""Snapshots, read."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import jobs
from app.errors import NotFound
from app.snapshots.member import RELEASED, Member
from app.tables import Candidate, CandidateState, Caption, Job, Post, Snapshot, SnapshotMember, Source, User

PAGE = 25


def newest(session: Session, before: int | None = None, limit: int = 1000) -> list[Snapshot]:
    statement = select(Snapshot).order_by(Snapshot.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Snapshot.number < before)
    return list(session.scalars(statement))


def numbered(session: Session, number: int) -> Snapshot:
    """Raises NotFound."""
    found = session.scalars(select(Snapshot).where(Snapshot.number == number)).one_or_none()
    if found is None:
        raise NotFound(f"There is no snapshot v{number:04d}.")
    return found


def name(snapshot: Snapshot) -> str:
    return f"v{snapshot.number:04d}"


def reaching(snapshot: Snapshot) -> list[str]:
    """The encoders that selected its pairs and whose licence reaches what is made with it, models too."""
    return sorted({one["encoder"] for one in snapshot.report.get("filtered_by", ()) if one["reaches_data"]})


def as_row(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot in plain values, for lists and scripts."""
    counts = snapshot.report.get("counts", {})
    return {
        "name": name(snapshot),
        "number": snapshot.number,
        "pairs": sum(counts.get(split, 0) for split in ("train", "val", "test")),
        **{split: counts.get(split, 0) for split in ("train", "val", "test", "reserve")},
        "frozen_at": snapshot.frozen_at.isoformat(timespec="seconds"),
        "state": "ready" if snapshot.built_at else "being written",
    }


# The picture that a pair is published with: cropped or with parts covered where its reviewer chose so.
published_sha256 = func.coalesce(SnapshotMember.crop["sha256"].astext, SnapshotMember.image_sha256)


def members(session: Session, snapshot: Snapshot, split: str) -> Iterator[Member]:
    """A split's pairs in release order, streamed. Raises ValueError for one whose caption was blanked since."""
    rank = func.sha256(func.convert_to(func.concat(str(snapshot.seed), SnapshotMember.key), "UTF8"))
    rows = session.execute(
        select(SnapshotMember.key, published_sha256, Caption.text, SnapshotMember.row)
        .join(Caption, Caption.id == SnapshotMember.caption_id)
        .where(SnapshotMember.snapshot_id == snapshot.id, SnapshotMember.split == split)
        .order_by(rank),
        execution_options={"yield_per": 500},
    )
    with closing(rows):  # a build that stops half-way leaves no cursor open
        for key, sha256, caption, row in rows:
            yield Member(key, sha256, caption or "", split, row)


def released_captions(session: Session, snapshot: Snapshot) -> Iterator[str]:
    """The captions in a snapshot's files, streamed; without those that were blanked since."""
    captions = session.scalars(
        select(func.coalesce(Caption.text, ""))
        .join(SnapshotMember, SnapshotMember.caption_id == Caption.id)
        .where(SnapshotMember.snapshot_id == snapshot.id, SnapshotMember.split.in_(RELEASED)),
        execution_options={"yield_per": 500},
    )
    yield from filter(None, captions)


def reserve_keys(session: Session, snapshot: Snapshot) -> list[str]:
    statement = (
        select(SnapshotMember.key)
        .where(SnapshotMember.snapshot_id == snapshot.id, SnapshotMember.split == "reserve")
        .order_by(SnapshotMember.key)
    )
    return list(session.scalars(statement))


def open_job(session: Session) -> Job | None:
    """The snapshot that is being made now."""
    statement = select(Job).where(Job.kind == "snapshot", Job.state.in_(jobs.OPEN)).order_by(Job.id)
    return session.scalars(statement).first()


def failed_job(session: Session) -> Job | None:
    """The newest snapshot job, if it failed."""
    last = session.scalars(select(Job).where(Job.kind == "snapshot").order_by(Job.id.desc()).limit(1)).one_or_none()
    return last if last and last.state.value == "failed" else None


@dataclass(frozen=True)
class Ready:
    """What the next snapshot would hold, and what its sources keep out of it."""

    pairs: int
    left_out: dict[str, int]


def ready(session: Session) -> Ready:
    rows = session.execute(
        select(Source.consent, func.count())
        .select_from(Candidate)
        .join(Post, Post.id == Candidate.post_id)
        .join(Source, Source.id == Post.source_id)
        .where(Candidate.state == CandidateState.ACCEPTED)
        .group_by(Source.consent)
    )
    counts = {consent.value: count for consent, count in rows}
    return Ready(counts.pop("agreed", 0), counts)


@dataclass(frozen=True)
class Difference:
    """A snapshot against the one before."""

    before: str
    added: int
    removed: int
    recaptioned: int
    moved: int


def difference(session: Session, snapshot: Snapshot) -> Difference | None:
    """None for the first snapshot."""
    earlier = session.scalars(
        select(Snapshot).where(Snapshot.number < snapshot.number).order_by(Snapshot.number.desc()).limit(1)
    ).one_or_none()
    return difference_from(session, snapshot, earlier) if earlier else None


def difference_from(session: Session, snapshot: Snapshot, earlier: Snapshot) -> Difference:
    row = session.execute(
        text(
            """SELECT count(*) FILTER (WHERE old.key IS NULL), count(*) FILTER (WHERE new.key IS NULL),
            count(*) FILTER (WHERE new.caption_id <> old.caption_id), count(*) FILTER (WHERE new.split <> old.split)
            FROM (SELECT * FROM snapshot_member WHERE snapshot_id = :new) new
            FULL JOIN (SELECT * FROM snapshot_member WHERE snapshot_id = :old) old USING (key)"""
        ),
        {"new": snapshot.id, "old": earlier.id},
    ).one()
    return Difference(name(earlier), *row)


@dataclass(frozen=True)
class Look:
    candidate_id: int
    sha256: str
    caption: str


def look_inside(session: Session, snapshot: Snapshot, count: int = 6) -> list[Look]:
    """A few pairs, drawn by their place in release order."""
    rank = func.sha256(func.convert_to(func.concat("look", SnapshotMember.key), "UTF8"))
    rows = session.execute(
        select(SnapshotMember.candidate_id, published_sha256, func.coalesce(Caption.text, ""))
        .join(Caption, Caption.id == SnapshotMember.caption_id)
        .where(SnapshotMember.snapshot_id == snapshot.id, SnapshotMember.split != "reserve")
        .order_by(rank)
        .limit(count)
    )
    return [Look(*row) for row in rows]


def maker(session: Session, snapshot: Snapshot) -> str:
    found = session.get(User, snapshot.made_by) if snapshot.made_by else None
    return found.name if found else "the shell"


def withdrawn_since(session: Session, snapshot: Snapshot) -> int:
    """Pairs of a snapshot that were withdrawn after it was frozen."""
    statement = (
        select(func.count())
        .select_from(SnapshotMember)
        .join(Candidate, Candidate.id == SnapshotMember.candidate_id)
        .where(SnapshotMember.snapshot_id == snapshot.id, Candidate.state == CandidateState.WITHDRAWN)
    )
    return session.scalar(statement) or 0
