"""The audit sample: a share of what the stages filtered out goes to reviewers, blind."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.curation import moves
from app.errors import Invalid
from app.prefilter import caption_rules, due, evidence, held, offers, queries
from app.prefilter.policies import Offer, StageResult
from app.tables import Assignment, CandidateState, CaptionKind, Job, Purpose, Setting

BATCH = 200
BY_RULES = "rules, for the audit"


def set_audit(session: Session, actor: Actor, share: float, bound: float) -> Job | None:
    """Changes the share that is audited and the bound of good pairs lost; draws at once. Raises Invalid."""
    if not 0 <= share <= 1:
        raise Invalid("Use a share from 0 to 100 %.", fields={"share": "Use a share from 0 to 100 %."})
    if not 0 < bound < 1:
        raise Invalid("Use a bound above 0 and below 100 %.", fields={"bound": "Use a bound above 0 and below 100 %."})
    before = evidence.audit_settings(session)
    for name, value in (("audit_share", share), ("loss_bound", bound)):
        statement = upsert(Setting).values(name=name, value=value)
        session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
    details = {"from": f"{before.share:g} within {before.bound:g}", "to": f"{share:g} within {bound:g}"}
    jobs.record(session, "audit.changed", "setting", "audit_sample", user_id=actor.user_id, details=details)
    if share:
        return due.submit_audit(session, actor.user_id)
    _call_off(session)
    return None


def _call_off(session: Session) -> None:
    """Nobody is asked for an audit any more, but for those that someone has in hand."""
    free = Assignment.review_id.is_(None) & (Assignment.lease_until < func.clock_timestamp())
    session.execute(delete(Assignment).where(Assignment.purpose == Purpose.AUDIT, free))


def draws(session: Session) -> bool:
    """Whether the sample lacks candidates of what is filtered out now."""
    _, seed = moves.overlap(session)
    return bool(evidence.to_audit(session, evidence.audit_settings(session).share, seed, 1))


class Drawn(NamedTuple):
    """How many of a batch are asked for, and how many the stages for private details look at first."""

    asked: int = 0
    sent: int = 0


def draw(session: Session) -> Drawn:
    """Asks for an audit of the next batch of the sample.

    In what a stage stopped early nobody has looked for private details: it goes through those stages first, and is
    asked for once they found nothing that an admin must see.
    """
    _, seed = moves.overlap(session)
    share = evidence.audit_settings(session).share
    wanted = evidence.to_audit(session, share, seed, BATCH) if share else []
    dropped = [one for one in moves.lock(session, wanted) if one.state is CandidateState.FILTERED_OUT]
    screened = held.screened(session, [one.id for one in dropped])
    unseen = [one for one in dropped if one.id not in screened]
    _clean(session, [one.id for one in unseen if one.caption_version == 1])
    due.screen(session, [one.id for one in unseen])
    rows = [
        {"candidate_id": one.id, "round": one.round, "purpose": Purpose.AUDIT, "slot": 1, "priority": one.priority}
        for one in dropped
        if one.id in screened
    ]
    if rows:
        session.execute(insert(Assignment), rows)
    return Drawn(len(rows), len(unseen))


def _clean(session: Session, candidate_ids: Sequence[int]) -> None:
    """What a stage before the caption rules stopped has no cleaned caption yet; without one it would stand out."""
    for item in queries.inputs(session, candidate_ids):
        if cleaned := caption_rules.clean(item.caption).text:
            made = Offer(CaptionKind.CLEANED, cleaned, BY_RULES, item.caption_id)
            offers.offer(session, [StageResult(item.candidate_id, offers=[made])])
