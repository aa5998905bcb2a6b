"""A reviewer's decision the way the review page makes it."""

from collections.abc import Mapping
from uuid import uuid4

from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import actions, leases
from app.curation.actions import Decision
from app.tables import Candidate, Review, ReviewKind
from tests.factories import FAR


def decide(
    session: Session,
    actor: Actor,
    candidate: Candidate,
    kind: ReviewKind = ReviewKind.REJECT,
    caption: str = "A caption to publish.",
    note: str = "",
    fields: Mapping[str, str] | None = None,
    diagnosis: str = "",
    seconds: float = 4.2,
) -> Review:
    """Claims the candidate, decides, and gives back what else was claimed."""
    (lease,) = [held for held in leases.hold(session, actor) if held.candidate_id == candidate.id]
    decision = Decision(
        candidate_id=candidate.id,
        token=lease.token,
        caption_version=candidate.caption_version,
        submission_id=uuid4(),
        kind=kind,
        caption=caption,
        reasons=["image_too_poor"] if kind is ReviewKind.REJECT else (),
        fields=fields or {},
        diagnosis=diagnosis,
        note=note,
        seconds=seconds,
    )
    review = actions.decide(session, actor, decision)
    leases.release(session, actor, FAR)
    session.refresh(candidate)
    return review
