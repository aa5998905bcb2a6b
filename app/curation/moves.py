"""The only code that changes a candidate's state, and that makes or drops wanted reviews."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, null, select, update
from sqlalchemy.orm import Session

from app.curation.states import allowed
from app.tables import Assignment, Candidate, CandidateState, FlagOrigin, Purpose, Setting

S = CandidateState


def lock(session: Session, candidate_ids: Iterable[int]) -> list[Candidate]:
    """The candidates, locked in the order of their ids.

    NO KEY UPDATE, because an insert that refers to a candidate must neither wait nor hide it.
    """
    statement = (
        select(Candidate)
        .where(Candidate.id.in_(list(candidate_ids)))
        .order_by(Candidate.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(session.scalars(statement))


def move(session: Session, candidate_ids: Sequence[int], old: S, new: S, **values: Any) -> list[int]:
    """Compare-and-set: those of `candidate_ids` that are `old` become `new`. Returns the ids that moved.

    Raises ValueError for an arrow that does not exist.
    """
    if not allowed(old, new):
        raise ValueError(f"no arrow from {old} to {new}")
    if new is not S.FLAGGED:
        values.setdefault("flag_origin", None)
    if new not in (S.ACCEPTED, S.REJECTED, S.WITHDRAWN):
        values |= {"settled_by": None, "settled_caption_id": None, "crop": null()}
    if new is not S.FILTERED_OUT:
        values.setdefault("stopped_by", None)
    statement = (
        update(Candidate)
        .where(Candidate.id.in_(candidate_ids), Candidate.state == old)
        .values(state=new, **values)
        .returning(Candidate.id)
        .execution_options(synchronize_session="fetch")
    )
    return sorted(session.scalars(statement))


def want_reviews(session: Session, candidate_ids: Sequence[int], purpose: Purpose = Purpose.MAIN) -> None:
    """Makes the missing slots of candidates in their present round; a share of them gets a second slot."""
    share, seed = overlap(session)
    rows = session.execute(
        select(Candidate.id, Candidate.round, Candidate.priority).where(Candidate.id.in_(candidate_ids))
    )
    slots = [
        {"candidate_id": id_, "round": round_, "purpose": purpose, "slot": slot, "priority": priority}
        for id_, round_, priority in rows
        for slot in range(1, 1 + (2 if purpose is Purpose.MAIN and overlaps(id_, seed, share) else 1))
    ]
    if slots:
        existing = _slots(session, candidate_ids, purpose)
        missing = [s for s in slots if (s["candidate_id"], s["round"], s["slot"]) not in existing]
        if missing:
            session.execute(insert(Assignment), missing)


def _slots(session: Session, candidate_ids: Sequence[int], purpose: Purpose) -> set[tuple[int, int, int | None]]:
    statement = select(Assignment.candidate_id, Assignment.round, Assignment.slot).where(
        Assignment.candidate_id.in_(candidate_ids), Assignment.purpose == purpose
    )
    return {(row[0], row[1], row[2]) for row in session.execute(statement)}


def overlap(session: Session) -> tuple[float, int]:
    """The share of candidates that two people review, and the seed that draws them."""
    rows = session.execute(select(Setting.name, Setting.value).where(Setting.name.in_(["overlap_share", "seed"])))
    values = {name: value for name, value in rows}
    return float(values.get("overlap_share", 0)), int(values.get("seed", 0))


def overlaps(candidate_id: int, seed: int, share: float) -> bool:
    """Whether a candidate is drawn for a second reviewer: by hash, so it is the same on every machine."""
    digest = hashlib.sha256(f"{seed}:{candidate_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def drop_open_slots(session: Session, candidate_ids: Sequence[int], *, keep_leased: bool = False) -> None:
    """Deletes slots without a review; with `keep_leased`, those that someone holds stay."""
    statement = delete(Assignment).where(Assignment.candidate_id.in_(candidate_ids), Assignment.review_id.is_(None))
    if keep_leased:
        statement = statement.where(Assignment.lease_until < func.clock_timestamp())
    session.execute(statement.execution_options(synchronize_session=False))


def enqueue(session: Session, candidate_ids: Sequence[int]) -> list[int]:
    """What passed every stage waits for review: filtering → queued, with its slots."""
    moved = move(session, candidate_ids, S.FILTERING, S.QUEUED)
    want_reviews(session, moved)
    return moved


def filter_out(session: Session, candidate_ids: Sequence[int], stage: str, old: S = S.FILTERING) -> list[int]:
    """A stage stopped them. Queued ones go only if nobody reviewed or holds them: lock first, then look."""
    if old is S.QUEUED:
        lock(session, candidate_ids)
        free = untouched(session, candidate_ids)
        drop_open_slots(session, free)
        candidate_ids = free
    return move(session, candidate_ids, old, S.FILTERED_OUT, stopped_by=stage)


def hold(session: Session, candidate_ids: Sequence[int], stage: str) -> list[int]:
    """A stage found what an admin must see first: filtering → flagged, by the machine."""
    return move(session, candidate_ids, S.FILTERING, S.FLAGGED, flag_origin=FlagOrigin.MACHINE, stopped_by=stage)


def let_go(session: Session, candidate_ids: Sequence[int]) -> list[int]:
    """A machine's hold ends: flagged → filtering. What a person flagged stays."""
    held = [candidate.id for candidate in lock(session, candidate_ids) if candidate.flag_origin is FlagOrigin.MACHINE]
    return move(session, held, S.FLAGGED, S.FILTERING)


def refilter(session: Session, candidate_ids: Sequence[int], old: S) -> list[int]:
    """Back to the stages: a threshold was lowered or a stage runs again. Only what nobody reviewed or holds."""
    lock(session, candidate_ids)
    free = untouched(session, candidate_ids)
    drop_open_slots(session, free)
    return move(session, free, old, S.FILTERING)


def untouched(session: Session, candidate_ids: Sequence[int]) -> list[int]:
    """Those that nobody reviewed or holds; the caller has locked them."""
    touched = select(Assignment.candidate_id).where(
        Assignment.candidate_id.in_(candidate_ids),
        (Assignment.review_id.is_not(None)) | (Assignment.lease_until > func.clock_timestamp()),
    )
    busy = set(session.scalars(touched))
    return [id_ for id_ in candidate_ids if id_ not in busy]


def withdraw(session: Session, candidate_ids: Sequence[int]) -> list[int]:
    """Takes candidates out for good, whatever their state; open slots go."""
    lock(session, candidate_ids)
    drop_open_slots(session, candidate_ids)
    moved: list[int] = []
    for state in S:
        if allowed(state, S.WITHDRAWN):
            moved += move(session, candidate_ids, state, S.WITHDRAWN)
    return sorted(moved)


def next_round(session: Session, candidate_id: int, old: S) -> bool:
    """Sends a candidate back to the queue for a fresh look: a new round with new slots."""
    drop_open_slots(session, [candidate_id])
    moved = move(session, [candidate_id], old, S.QUEUED, round=Candidate.round + 1)
    want_reviews(session, moved)
    return bool(moved)
