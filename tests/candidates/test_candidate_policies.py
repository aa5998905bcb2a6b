"""Who may see what of a candidate: pure, without a database."""

import pytest

from app.accounts.policies import Actor
from app.candidates.policies import (
    Slots,
    may_requeue,
    may_resolve,
    may_run_again,
    purposes,
    sees_reviews,
    sees_state,
)
from app.tables import CandidateState as S
from app.tables import Purpose, Role

REVIEWER = Actor(1, "alder", Role.REVIEWER)
ADJUDICATOR = Actor(2, "hazel", Role.REVIEWER, adjudicator=True)
ADMIN = Actor(3, "elm", Role.ADMIN)
RESEARCHER = Actor(4, "fir", Role.RESEARCHER)


@pytest.mark.parametrize(
    ("slots", "sees"),
    [
        (Slots(open=True, reviewed=False), False),
        (Slots(open=True, reviewed=True), True),
        (Slots(open=False, reviewed=False), True),
        (Slots(open=False, reviewed=True), True),
    ],
)
def test_a_reviewer_is_blind_only_while_a_slot_is_open_that_they_have_not_reviewed(slots: Slots, sees: bool) -> None:
    assert sees_state(REVIEWER, slots) is sees
    assert sees_reviews(REVIEWER, S.QUEUED, slots) is sees


def test_an_admin_sees_all() -> None:
    handed = Slots(open=True, reviewed=False)
    assert sees_state(ADMIN, handed)
    assert sees_reviews(ADMIN, S.FILTERING, handed)


@pytest.mark.parametrize("state", [S.INCOMING, S.FILTERING])
def test_reviews_of_an_earlier_round_stay_hidden_while_the_stages_still_run(state: S) -> None:
    assert not sees_reviews(REVIEWER, state, Slots(open=False, reviewed=False))
    assert sees_state(REVIEWER, Slots(open=False, reviewed=False))


def test_only_adjudicators_are_handed_disagreements() -> None:
    assert Purpose.ADJUDICATION not in purposes(REVIEWER)
    assert Purpose.ADJUDICATION in purposes(ADJUDICATOR)
    assert purposes(RESEARCHER) == frozenset()


def test_what_an_admin_may_do_depends_on_the_state() -> None:
    assert [state for state in S if may_requeue(state)] == [S.ACCEPTED, S.REJECTED, S.FLAGGED, S.CONFLICTED]
    assert [state for state in S if may_run_again(state)] == [S.QUEUED, S.FILTERED_OUT]
    assert [state for state in S if may_resolve(state)] == [S.FLAGGED]
