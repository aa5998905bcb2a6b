"""Handing out wanted reviews: claim, renew, release, skip. A lease belongs to one person for some minutes."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, TextClause, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.config import settings
from app.curation.policies import AUDIT_ONE_IN, HELD_AT_ONCE
from app.tables import Assignment, Purpose, Skip


@dataclass(frozen=True)
class Lease:
    """A slot in someone's hands; `token` proves it until another takes the slot."""

    assignment_id: int
    candidate_id: int
    token: UUID
    until: datetime
    purpose: Purpose


@dataclass(frozen=True)
class NothingFree:
    """Why there is nothing to hand out: how many this person skipped, how many others hold."""

    skipped: int
    held_by_others: int


# One statement, so that no one else's claim can come between look and take. SKIP LOCKED passes by
# slots that are being claimed at this moment; slot 1 of every candidate comes before any second slot.
# OFFSET 0 makes the look for own slots one by index for each slot tried, never a scan of all slots.
CLAIM = """
    WITH free AS (
        SELECT a.id FROM assignment a
        WHERE a.purpose = :purpose AND a.review_id IS NULL AND a.lease_until < clock_timestamp() AND {which}
          AND NOT EXISTS (
              SELECT 1 FROM assignment mine
              WHERE mine.candidate_id = a.candidate_id AND mine.round = a.round
                AND mine.user_id = :me AND mine.id <> a.id OFFSET 0)
        ORDER BY {order}, a.slot
        LIMIT :wanted
        FOR NO KEY UPDATE OF a SKIP LOCKED
    )
    UPDATE assignment SET user_id = :me, token = gen_random_uuid(), lease_until = clock_timestamp() + :lease
    FROM free WHERE assignment.id = free.id
    RETURNING assignment.id, assignment.candidate_id, assignment.token, assignment.lease_until,
              assignment.priority, assignment.slot, assignment.purpose
"""
NOT_SKIPPED = """(a.slot = 1) = :first_slot AND NOT EXISTS (
            SELECT 1 FROM skip WHERE skip.user_id = :me AND skip.candidate_id = a.candidate_id)"""
BY_PRIORITY = "a.priority DESC, a.candidate_id"
CLAIM_NEXT = text(CLAIM.format(which=NOT_SKIPPED, order=BY_PRIORITY))
CLAIM_LISTED = text(
    CLAIM.format(
        which=f"a.candidate_id = ANY(CAST(:listed AS bigint[])) AND {NOT_SKIPPED}",
        order="array_position(CAST(:listed AS bigint[]), a.candidate_id)",
    )
)
CLAIM_STARTED = text(
    CLAIM.format(
        order=BY_PRIORITY,
        which="""a.candidate_id = :candidate AND EXISTS (
            SELECT 1 FROM draft WHERE draft.user_id = :me AND draft.candidate_id = :candidate)""",
    )
)


# Audits are blind: they come among the others, and whoever reviews is not told which is which.
TOGETHER = {Purpose.MAIN: (Purpose.MAIN, Purpose.AUDIT)}


def _any_of(purpose: Purpose) -> ColumnElement[bool]:
    return Assignment.purpose.in_(TOGETHER.get(purpose, (purpose,)))


def lease_time() -> timedelta:
    return timedelta(seconds=settings().lease_seconds)


def hold(
    session: Session, actor: Actor, purpose: Purpose = Purpose.MAIN, candidate_id: int | None = None
) -> list[Lease]:
    """The leases this person works on, topped up to three: the one shown and the next two.

    `candidate_id` comes first if it is among them, or can be claimed again because this person has a draft on
    it. Nobody chooses another: who picks what to judge would bias what is judged.
    """
    leases = renew(session, actor, purpose)
    if candidate_id and not any(lease.candidate_id == candidate_id for lease in leases):
        started = _claim_by(session, CLAIM_STARTED, actor, purpose, {"candidate": candidate_id, "wanted": 1})
        if started and len(leases) == HELD_AT_ONCE:
            _free(session, Assignment.id == leases.pop().assignment_id)
        leases = started + leases
    if len(leases) < HELD_AT_ONCE:
        leases += _claim(session, actor, purpose, HELD_AT_ONCE - len(leases))
    return sorted(leases, key=lambda lease: lease.candidate_id != candidate_id) if candidate_id else leases


def hold_listed(session: Session, actor: Actor, listed: Sequence[int], candidate_id: int | None = None) -> list[Lease]:
    """Like `hold`, of the candidates that this person chose to review, in the order of that list.

    What they hold beside it goes back to the queue, but for `candidate_id`, which comes first if they have it.
    """
    mine = Assignment.user_id == actor.user_id
    _free(session, mine, _any_of(Purpose.MAIN), Assignment.candidate_id.not_in([*listed, candidate_id or 0]))
    leases = renew(session, actor)
    for first_slot in (True, False):
        missing = HELD_AT_ONCE - len(leases)
        if missing > 0:
            values = {"listed": list(listed), "first_slot": first_slot, "wanted": missing}
            leases += _claim_by(session, CLAIM_LISTED, actor, Purpose.MAIN, values)
    place = {id_: n for n, id_ in enumerate(listed)}
    return sorted(leases, key=lambda lease: (lease.candidate_id != candidate_id, place.get(lease.candidate_id, -1)))


def renew(session: Session, actor: Actor, purpose: Purpose = Purpose.MAIN) -> list[Lease]:
    """Own live leases, renewed together, in the order they are worked on."""
    statement = (
        update(Assignment)
        .where(
            Assignment.user_id == actor.user_id,
            _any_of(purpose),
            Assignment.review_id.is_(None),
            Assignment.lease_until > func.clock_timestamp(),
        )
        .values(lease_until=func.clock_timestamp() + lease_time())
        .returning(
            Assignment.id,
            Assignment.candidate_id,
            Assignment.token,
            Assignment.lease_until,
            Assignment.priority,
            Assignment.slot,
            Assignment.purpose,
        )
        .execution_options(synchronize_session=False)
    )
    return _in_order(session.execute(statement).all())


def _claim(session: Session, actor: Actor, purpose: Purpose, wanted: int) -> list[Lease]:
    """Free slots: for the main queue now and then an audit, and audits alone once nothing else is left."""
    leases: list[Lease] = []
    orders = [(purpose, True), (purpose, False)]
    if purpose is Purpose.MAIN:
        audit = (Purpose.AUDIT, True)
        orders = [audit, *orders] if random.random() < wanted / AUDIT_ONE_IN else [*orders, audit]  # noqa: S311
    for of, first_slot in orders:
        missing = wanted - len(leases)
        if missing > 0:
            most = 1 if of is Purpose.AUDIT else missing
            leases += _claim_by(session, CLAIM_NEXT, actor, of, {"first_slot": first_slot, "wanted": most})
    return leases


def _claim_by(
    session: Session, statement: TextClause, actor: Actor, purpose: Purpose, values: Mapping[str, object]
) -> list[Lease]:
    always = {"purpose": purpose.value, "me": actor.user_id, "lease": lease_time()}
    return _in_order(session.execute(statement, {**always, **values}).all())


def _in_order(rows: Sequence[Row[Any, *tuple[Any, ...]]]) -> list[Lease]:
    ordered = sorted(rows, key=lambda row: (-row[4], row[1], row[5]))
    return [Lease(row[0], row[1], row[2], row[3], Purpose(row[6])) for row in ordered]


def nothing_free(session: Session, actor: Actor, purpose: Purpose = Purpose.MAIN) -> NothingFree:
    """A plain look at why a claim found nothing."""
    open_slot = _any_of(purpose) & Assignment.review_id.is_(None)
    skipped = session.scalar(
        select(func.count(func.distinct(Assignment.candidate_id)))
        .join(Skip, (Skip.candidate_id == Assignment.candidate_id) & (Skip.user_id == actor.user_id))
        .where(open_slot)
    )
    held = session.scalar(
        select(func.count()).where(
            open_slot, Assignment.lease_until > func.clock_timestamp(), Assignment.user_id != actor.user_id
        )
    )
    return NothingFree(skipped or 0, held or 0)


def release(session: Session, actor: Actor, until: datetime, but: Sequence[int] = ()) -> None:
    """Gives back the leases of someone who leaves a page, except on the candidates `but`.

    `until` is the latest end that the page knew: what another page renewed since then (the same one, loaded
    again) is not taken from it.
    """
    _free(
        session,
        Assignment.user_id == actor.user_id,
        Assignment.lease_until <= until,
        Assignment.candidate_id.not_in(but),
    )


def _free(session: Session, *which: ColumnElement[bool]) -> None:
    session.execute(
        update(Assignment)
        .where(*which, Assignment.review_id.is_(None))
        .values(user_id=None, token=None, lease_until=text("'epoch'"))
        .execution_options(synchronize_session=False)
    )


def skip(session: Session, actor: Actor, candidate_id: int) -> None:
    """Frees the slot and keeps it from this person until nothing else is left for them."""
    statement = insert(Skip).values(user_id=actor.user_id, candidate_id=candidate_id)
    session.execute(statement.on_conflict_do_nothing())
    _free(session, Assignment.user_id == actor.user_id, Assignment.candidate_id == candidate_id)


def offer_skipped_again(session: Session, actor: Actor) -> None:
    session.execute(delete(Skip).where(Skip.user_id == actor.user_id))
