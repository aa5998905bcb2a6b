"""What may leave the house: captions and pictures that stages have looked at, and in which nothing private is left."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from app.candidates.queries import withheld
from app.prefilter import held
from app.prefilter.privacy import Action, strongest
from app.tables import Candidate, CandidateState, Finding, FindingNow, Outcome

S = CandidateState
ALIVE = Candidate.state.in_([S.FILTERING, S.QUEUED, S.FILTERED_OUT, S.ACCEPTED, S.REJECTED])
NOTHING_LEFT = "nothing left"  # the label of the stage `private` for a caption of nothing but private details
OF_PICTURE = ("faces", "writing")


def _looked_at(*more: ColumnElement[bool]) -> ColumnElement[bool]:
    """The stage `private` has looked at the present caption."""
    of_stage = (FindingNow.candidate_id == Candidate.id) & (FindingNow.stage == "private")
    fresh = (FindingNow.outcome == Outcome.OK) & FindingNow.stale.is_(False)
    return exists().where(of_stage, fresh, *more).correlate(Candidate)


def may_be_sent() -> ColumnElement[bool]:
    """The caption may be sent: private details were looked for, something else is left, and nothing holds it."""
    return ALIVE & _looked_at(FindingNow.label.is_distinct_from(NOTHING_LEFT)) & ~withheld()


def captions(session: Session, candidate_ids: Sequence[int]) -> set[int]:
    """Those of the candidates whose captions may be sent now."""
    return set(session.scalars(select(Candidate.id).where(Candidate.id.in_(candidate_ids), may_be_sent())))


def unchecked(session: Session, candidate_ids: Sequence[int]) -> set[int]:
    """Those of the candidates in whose captions nobody looked for private details, or that failed."""
    return set(session.scalars(select(Candidate.id).where(Candidate.id.in_(candidate_ids), ~_looked_at())))


def pictures(session: Session, candidate_ids: Sequence[int]) -> set[int]:
    """Those of the candidates whose pictures were looked at and show nothing that is covered or held."""
    rows = session.execute(
        select(FindingNow.candidate_id, FindingNow.stage, Finding.evidence["kinds"])
        .join(Finding, Finding.id == FindingNow.finding_id)
        .where(
            FindingNow.candidate_id.in_(candidate_ids),
            FindingNow.stage.in_(OF_PICTURE),
            FindingNow.outcome == Outcome.OK,
            FindingNow.stale.is_(False),
        )
    )
    actions = held.actions(session)
    harmless = {
        (id_, stage)
        for id_, stage, kinds in rows
        if strongest(kinds or (), actions.get(stage, {})) in (Action.PASS, Action.WARN)
    }
    return {id_ for id_ in candidate_ids if all((id_, stage) in harmless for stage in OF_PICTURE)}


@dataclass(frozen=True)
class LeftOut:
    """How many candidates are not sent: held, not looked at for private details yet, or nothing but those."""

    held: int
    unchecked: int
    private: int


def left_out(session: Session, condition: ColumnElement[bool]) -> LeftOut:
    """Why of all candidates with this condition some are not sent."""
    free = ~withheld()
    reasons = (withheld(), free & ~_looked_at(), free & _looked_at(FindingNow.label == NOTHING_LEFT))
    is_held, unchecked, private = (func.count().filter(one) for one in reasons)
    row = session.execute(select(is_held, unchecked, private).select_from(Candidate).where(condition)).one()
    return LeftOut(*row)
