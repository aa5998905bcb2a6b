"""Handing out candidates: to one person at a time, in order, and the truth when nothing is left."""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import actions, leases
from app.tables import Assignment, Setting, Skip
from tests.factories import FAR, make_candidate, make_person


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder")


@pytest.fixture
def birch(session: Session) -> Actor:
    return make_person(session, "birch")


def ids(held: list[leases.Lease]) -> list[int]:
    return [lease.candidate_id for lease in held]


def test_a_reviewer_holds_the_shown_candidate_and_the_next_two(session: Session, alder: Actor) -> None:
    waiting = [make_candidate(session).id for _ in range(5)]
    assert ids(leases.hold(session, alder)) == waiting[:3]
    assert ids(leases.hold(session, alder)) == waiting[:3]


def test_no_candidate_is_handed_to_two_people(session: Session, alder: Actor, birch: Actor) -> None:
    waiting = [make_candidate(session).id for _ in range(5)]
    assert ids(leases.hold(session, alder)) + ids(leases.hold(session, birch)) == waiting


def test_who_has_a_draft_gets_that_candidate_again_and_still_holds_three(session: Session, alder: Actor) -> None:
    waiting = [make_candidate(session).id for _ in range(5)]
    leases.hold(session, alder)
    actions.save_draft(session, alder, waiting[4], 1, "Began this one.", {})
    assert ids(leases.hold(session, alder, candidate_id=waiting[4])) == [waiting[4], *waiting[:2]]
    assert ids(leases.hold(session, alder)) == [*waiting[:2], waiting[4]]


def test_a_draft_does_not_take_a_candidate_from_another(session: Session, alder: Actor, birch: Actor) -> None:
    candidate = make_candidate(session).id
    leases.hold(session, birch)
    actions.save_draft(session, alder, candidate, 1, "Began this one.", {})
    assert leases.hold(session, alder, candidate_id=candidate) == []


def test_higher_priority_comes_first(session: Session, alder: Actor) -> None:
    first, second = make_candidate(session).id, make_candidate(session).id
    session.execute(update(Assignment).where(Assignment.candidate_id == second).values(priority=1))
    assert ids(leases.hold(session, alder)) == [second, first]


def test_an_expired_lease_goes_to_the_next_person(session: Session, alder: Actor, birch: Actor) -> None:
    candidate = make_candidate(session)
    leases.hold(session, alder)
    session.execute(update(Assignment).values(lease_until=func.to_timestamp(0)))
    assert ids(leases.hold(session, birch)) == [candidate.id]
    assert leases.hold(session, alder) == []


def test_second_slots_come_after_all_first_ones_and_to_another_person(
    session: Session, alder: Actor, birch: Actor
) -> None:
    session.execute(update(Setting).where(Setting.name == "overlap_share").values(value=1))
    one, two = make_candidate(session).id, make_candidate(session).id
    assert ids(leases.hold(session, alder)) == [one, two]
    assert ids(leases.hold(session, birch)) == [one, two]
    slots = session.scalars(select(Assignment.slot).where(Assignment.user_id == birch.user_id)).all()
    assert set(slots) == {2}


def test_a_skipped_candidate_goes_to_others_and_is_offered_again_on_request(
    session: Session, alder: Actor, birch: Actor
) -> None:
    candidate = make_candidate(session)
    leases.hold(session, alder)
    leases.skip(session, alder, candidate.id)
    assert leases.hold(session, alder) == []
    assert leases.nothing_free(session, alder) == leases.NothingFree(skipped=1, held_by_others=0)
    leases.offer_skipped_again(session, alder)
    assert ids(leases.hold(session, alder)) == [candidate.id]
    leases.skip(session, alder, candidate.id)
    assert ids(leases.hold(session, birch)) == [candidate.id]
    assert session.scalar(select(func.count()).select_from(Skip)) == 1


def test_an_empty_queue_says_how_many_others_hold(session: Session, alder: Actor, birch: Actor) -> None:
    make_candidate(session)
    leases.hold(session, alder)
    assert leases.hold(session, birch) == []
    assert leases.nothing_free(session, birch) == leases.NothingFree(skipped=0, held_by_others=1)


def test_leaving_the_page_frees_what_was_held(session: Session, alder: Actor, birch: Actor) -> None:
    candidate = make_candidate(session)
    leases.hold(session, alder)
    leases.release(session, alder, FAR)
    assert ids(leases.hold(session, birch)) == [candidate.id]


def test_a_page_that_is_loaded_again_keeps_what_the_old_one_lets_go(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    (old,) = leases.hold(session, alder)
    (new,) = leases.hold(session, alder)
    assert new.until > old.until
    leases.release(session, alder, old.until)
    assert ids(leases.renew(session, alder)) == [candidate.id]
