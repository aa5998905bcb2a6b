"""Judgements about reviews that need no database."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.tables.candidate import CandidateState as S
from app.tables.candidate import FlagOrigin
from app.tables.review import Purpose, ReviewKind

UNDO_WITHIN = timedelta(days=1)
UNDO_LAST = 20
HELD_AT_ONCE = 3
AUDIT_ONE_IN = 10  # of what a reviewer is handed while there are audits to do
SPOT_CHECK_ONE_IN = 10


@dataclass(frozen=True)
class Judgement:
    """A review that stands in its slot, as far as settling needs it."""

    review_id: int
    kind: ReviewKind
    caption_id: int | None
    caption_text: str


@dataclass(frozen=True)
class Settlement:
    state: S
    settled_by: int | None = None
    settled_caption_id: int | None = None


def settlement(judgements: Sequence[Judgement], wanted: int) -> Settlement:
    """What the reviews in hand make of a candidate; `judgements` are in the order they were given.

    Any flag settles at once. All reject: rejected, whatever the reasons. All accept with the same
    caption: accepted, by the earliest. Else they conflict. Fewer than wanted: still queued.
    """
    if any(j.kind is ReviewKind.FLAG for j in judgements):
        return Settlement(S.FLAGGED)
    if len(judgements) < wanted:
        return Settlement(S.QUEUED)
    first = judgements[0]
    if all(j.kind is ReviewKind.REJECT for j in judgements):
        return Settlement(S.REJECTED, first.review_id)
    accepted = all(j.kind is ReviewKind.ACCEPT for j in judgements)
    if accepted and len({same_caption(j.caption_text) for j in judgements}) == 1:
        return Settlement(S.ACCEPTED, first.review_id, first.caption_id)
    return Settlement(S.CONFLICTED)


def is_spot_check(candidate_id: int) -> bool:
    """Whether a candidate of the main queue is shown without its findings, as every audited one is.

    So nobody can tell an audit from the rest, and some reviews are not swayed by what the machines said.
    """
    return int.from_bytes(hashlib.sha256(f"spot check {candidate_id}".encode()).digest()[:8]) % SPOT_CHECK_ONE_IN == 0


def is_withheld(state: S, flag_origin: FlagOrigin | None, stopped_by: str | None) -> bool:
    """A machine holds it for an admin, or held it until an admin rejected it: nobody else gets to see it."""
    return flag_origin is FlagOrigin.MACHINE or (state is S.REJECTED and stopped_by is not None)


def same_caption(text: str) -> str:
    """Captions that differ only in white space are the same."""
    return " ".join(text.split())


def may_undo(purpose: Purpose, kind: ReviewKind, at: datetime, now: datetime) -> bool:
    """Main and audit reviews of the last day; an undo itself is not undone."""
    return purpose in (Purpose.MAIN, Purpose.AUDIT) and kind is not ReviewKind.UNDO and now - at < UNDO_WITHIN
