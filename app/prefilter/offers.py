"""Captions that stages made, put on offer to reviewers."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.curation import actions as curation
from app.prefilter.policies import Offer, StageResult
from app.tables import Candidate, Caption


def offer(session: Session, results: Sequence[StageResult]) -> None:
    """Puts the captions that a stage made on offer; the caller holds candidates that nobody reviews."""
    for result in results:
        candidate = session.get(Candidate, result.candidate_id)
        if candidate is None:
            continue
        caption: Caption | None = None
        for made in result.offers:
            base = session.get(Caption, made.based_on) if made.based_on else caption
            caption = base if base and base.text == made.text else _made(session, candidate, made, base)
        if caption and caption.id != candidate.caption_id:
            curation.offer_caption(session, candidate, caption)


def _made(session: Session, candidate: Candidate, made: Offer, base: Caption | None) -> Caption:
    """The caption that an offer makes of its base; the one it made of it before, where it says the same."""
    based_on = base.id if base else None
    same = Caption.based_on.is_not_distinct_from(based_on) & (Caption.made_by == made.made_by)
    before = session.scalars(
        select(Caption).where(Caption.candidate_id == candidate.id, Caption.text == made.text, same)
    ).first()
    return before or curation.add_caption(session, candidate.id, made.kind, made.text, made.made_by, based_on)
