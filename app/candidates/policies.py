"""Who may see what of a candidate, and what an admin may do with it. Nothing here asks the database."""

from dataclasses import dataclass

from app.accounts.policies import Actor
from app.tables.candidate import CandidateState as S
from app.tables.review import Purpose

OPEN = "open"  # in place of a state: what someone may still be handed


@dataclass(frozen=True)
class Slots:
    """A candidate's present round for one person: is a slot open that they could take; have they reviewed."""

    open: bool
    reviewed: bool


def purposes(actor: Actor) -> frozenset[Purpose]:
    """The kinds of wanted reviews that this person can be handed."""
    own = {Purpose.MAIN, Purpose.AUDIT} if actor.reviews else set()
    return frozenset(own | ({Purpose.ADJUDICATION} if actor.adjudicator else set()))


def may_still_be_handed(slots: Slots) -> bool:
    """Nobody is handed a candidate twice in a round; an undo makes it as if they had not reviewed."""
    return slots.open and not slots.reviewed


def sees_state(actor: Actor, slots: Slots) -> bool:
    """Reviewers stay blind to what is thought of a candidate while they may still judge it."""
    return actor.is_admin or not may_still_be_handed(slots)


def sees_reviews(actor: Actor, state: S, slots: Slots) -> bool:
    """Others' reviews; what is still in the stages may yet be handed to anyone."""
    return actor.is_admin or (state not in (S.INCOMING, S.FILTERING) and not may_still_be_handed(slots))


def may_requeue(state: S, withheld: bool = False) -> bool:
    """What is withheld is released instead, or held again."""
    return state in (S.FLAGGED, S.ACCEPTED, S.REJECTED, S.CONFLICTED) and not withheld


def may_run_again(state: S) -> bool:
    """Decided candidates stay as they are, whatever the stages would say now."""
    return state in (S.QUEUED, S.FILTERED_OUT)


def may_resolve(state: S) -> bool:
    return state is S.FLAGGED
