"""The audit sample: a share of what the stages filtered out goes to reviewers, blind."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.curation import moves
from app.errors import Invalid
from app.prefilter import caption_rules, evidence, held, private_details, queries, recording
from app.prefilter.policies import Offer, StageInput, StageResult
from app.prefilter.privacy import Action
from app.tables import Assignment, CandidateState, CaptionKind, Job, Purpose, Setting, WorkQueue

BATCH = 200
BY_RULES = "rules, for the audit"
BY_PRIVATE_RULES = "private, for the audit"


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
        return submit(session, actor.user_id)
    _call_off(session)
    return None


def _call_off(session: Session) -> None:
    """Nobody is asked for an audit any more, but for those that someone has in hand."""
    free = Assignment.review_id.is_(None) & (Assignment.lease_until < func.clock_timestamp())
    session.execute(delete(Assignment).where(Assignment.purpose == Purpose.AUDIT, free))


def submit(session: Session, actor_id: int | None = None) -> Job:
    return jobs.submit(session, "audit", WorkQueue.CPU, {}, dedupe="audit", unit="candidates", requested_by=actor_id)


def draws(session: Session) -> bool:
    """Whether the sample lacks candidates of what is filtered out now."""
    _, seed = moves.overlap(session)
    return bool(evidence.to_audit(session, evidence.audit_settings(session).share, seed, 1))


def draw(session: Session) -> int:
    """Asks for an audit of the next batch of the sample. Returns how many were asked for."""
    _, seed = moves.overlap(session)
    share = evidence.audit_settings(session).share
    wanted = evidence.to_audit(session, share, seed, BATCH) if share else []
    dropped = [one for one in moves.lock(session, wanted) if one.state is CandidateState.FILTERED_OUT]
    inputs = {item.candidate_id: item for item in queries.inputs(session, [one.id for one in dropped])}
    looked_at = queries.looked_at(session, "private", list(inputs))
    left_out = held.actions(session)["private"]
    for candidate in dropped:
        item = inputs[candidate.id]
        offers = [] if candidate.caption_version > 1 else _cleaned(item)
        if candidate.id not in looked_at:
            offers += _without_private_details(item, offers, left_out)
        recording.offer(session, [StageResult(candidate.id, offers=offers)])
    rows = [
        {"candidate_id": one.id, "round": one.round, "purpose": Purpose.AUDIT, "slot": 1, "priority": one.priority}
        for one in dropped
    ]
    if rows:
        session.execute(insert(Assignment), rows)
    return len(rows)


def _cleaned(item: StageInput) -> list[Offer]:
    """What a stage before the caption rules stopped has no cleaned caption yet; without one it would stand out."""
    cleaned = caption_rules.clean(item.caption).text
    return [Offer(CaptionKind.CLEANED, cleaned, BY_RULES, item.caption_id)] if cleaned else []


def _without_private_details(item: StageInput, offers: Sequence[Offer], left_out: Mapping[str, str]) -> list[Offer]:
    """Nor has any stage looked for private details in it: what rules can tell is left out here too."""
    text = offers[-1].text if offers else item.offered
    found = [d for d in private_details.find(text) if left_out.get(d.kind) in (Action.REDACT, Action.HOLD)]
    kept = private_details.without(text, found)
    based_on = None if offers else item.offered_id
    return [Offer(CaptionKind.PROPOSED, kept, BY_PRIVATE_RULES, based_on)] if found and kept.strip() else []
