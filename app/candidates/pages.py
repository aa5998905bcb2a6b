"""The context of one candidate's page, put together from the queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.candidates import past, policies, queries, timeline
from app.candidates.verdicts import Verdict, verdicts
from app.curation import crops, proposals
from app.curation import queries as curation
from app.curation.chips import boxes
from app.curation.crops import Crop
from app.curation.policies import is_withheld
from app.curation.proposals import ShownCaption
from app.errors import NotFound
from app.prefilter import held
from app.prefilter.caption_diff import Piece, word_diff
from app.prefilter.field_rules import fields_in
from app.prefilter.held import Held
from app.prefilter.queries import reviewed_languages, thresholds
from app.tables import CandidateState, EvidenceKind, ReviewKind, Source


@dataclass(frozen=True)
class CandidatePage:
    """Everything one candidate's page shows to one person. `state` is None while it is hidden from them.

    `flag` is the review that flagged it, `held` what a stage holds it for, and `to_resolve` the fields that an admin
    begins with.
    """

    shown: curation.Shown
    state: CandidateState | None
    source: Source
    author: str
    published: str | None
    caption: ShownCaption
    changed: Sequence[Piece]
    verdicts: list[Verdict]
    boxes: list[dict[str, Any]]
    crop: Mapping[str, Any] | Crop | None
    crop_taken: bool
    masks: Sequence[Mapping[str, int]]
    to_cover: Sequence[Crop]
    fields: Mapping[str, Any]
    fields_from: str
    flag: past.PastReview | None
    held: Held | None
    to_resolve: Mapping[str, Any]
    source_texts: list[tuple[EvidenceKind, str]]
    copies: list[queries.Copy]
    siblings: list[curation.Sibling]
    snapshots: list[past.Frozen]
    history: list[timeline.Moment]
    withheld: bool
    reviews_hidden: bool
    submission_id: UUID


def candidate_page(session: Session, actor: Actor, candidate_id: int) -> CandidatePage:
    """Raises NotFound."""
    candidate = queries.readable(session, actor, candidate_id)
    shown = curation.shown(session, candidate_id)
    if shown is None:
        raise NotFound(f"There is no candidate C-{candidate_id}.")
    slots = queries.slots(session, actor, candidate_id)
    sees_state = policies.sees_state(actor, slots)
    sees_reviews = policies.sees_reviews(actor, candidate.state, slots)
    found = curation.findings(session, candidate_id)
    told = found if sees_state else {}  # who may be handed an audit would read from them that it was stopped
    caption = proposals.caption(session, shown)
    published = queries.caption_text(session, candidate.settled_caption_id) if sees_state else None
    fields, fields_from = fields_of(session, shown, found, sees_state)
    snapshots = past.frozen_in(session, candidate_id) if sees_state else []
    copies = queries.copies(session, actor, candidate_id)
    taken = candidate.crop if sees_state else None
    whole = (taken or {}).get("width"), (taken or {}).get("height")
    crop = None if whole == (shown.image.width, shown.image.height) else taken
    given = past.reviews(session, candidate_id)
    flag = next((one for one in reversed(given) if one.review.kind is ReviewKind.FLAG), None)
    return CandidatePage(
        shown=shown,
        state=candidate.state if sees_state else None,
        source=queries.source_of(session, candidate),
        author=shown.author.called if shown.author else "",
        published=published,
        caption=caption if sees_state else caption.without_makers(),
        changed=word_diff(shown.offered, published) if published else (),
        verdicts=verdicts(told, thresholds(session), reviewed_languages(session), held.actions(session)),
        boxes=[box for stage in ("panels", "writing", "faces") for box in boxes(told.get(stage))],
        crop=crop or crops.offered(told.get("panels"), shown.image),
        crop_taken=bool(crop),
        masks=(taken or {}).get("masks", ()),
        to_cover=crops.masks_offered(found.get("writing"), found.get("faces"), held.actions(session), shown.image),
        fields=fields,
        fields_from=fields_from,
        flag=flag,
        held=held.of_candidate(session, candidate_id) if actor.is_admin else None,
        to_resolve=(queries.review_fields(session, flag.review.id) if flag else None) or by_rules(found),
        source_texts=queries.source_texts(session, candidate_id),
        copies=[copy for copy in copies if copy.candidate_id != candidate_id],
        siblings=curation.siblings(session, actor, shown.post.id),
        snapshots=snapshots,
        history=history(session, actor, shown, given, snapshots, sees_state, sees_reviews),
        withheld=is_withheld(candidate.state, candidate.flag_origin, candidate.stopped_by),
        reviews_hidden=not sees_reviews,
        submission_id=uuid4(),
    )


def fields_of(
    session: Session, shown: curation.Shown, found: Mapping[str, curation.Found], sees_state: bool
) -> tuple[Mapping[str, Any], str]:
    """Organ, stain and so on by the review that settled it, else by rules and the model; and who says so."""
    if not sees_state:  # which stages looked would tell
        return fields_in(shown.offered), "by rules, unchecked"
    if settled := queries.review_fields(session, shown.candidate.settled_by):
        return settled, "by its reviewer"
    answered = curation.answered_fields(session, found.get("llm"))
    by_whom = "by rules and the language model, unchecked" if answered else "by rules, unchecked"
    return {**answered, **by_rules(found)}, by_whom


def by_rules(found: Mapping[str, curation.Found]) -> Mapping[str, Any]:
    fields = found["caption"].evidence.get("fields") if "caption" in found else None
    return fields if isinstance(fields, dict) else {}


def history(
    session: Session,
    actor: Actor,
    shown: curation.Shown,
    given: Sequence[past.PastReview],
    snapshots: Sequence[past.Frozen],
    sees_state: bool,
    sees_reviews: bool,
) -> list[timeline.Moment]:
    """All that happened, as far as this person may know it; their own reviews they always see."""
    candidate_id = shown.candidate.id
    moments = [
        timeline.posted(shown.post, shown.author.called if shown.author else ""),
        *timeline.imported(past.entries(session, candidate_id), actor),
        *timeline.filtered(
            past.findings(session, candidate_id) if sees_state else (),
            thresholds(session),
            reviewed_languages(session),
            held.actions(session),
        ),
        *timeline.reviewed([r for r in given if sees_reviews or r.review.user_id == actor.user_id]),
        *timeline.frozen(snapshots, actor),
    ]
    if sees_reviews:
        moments += timeline.logged(past.events(session, candidate_id))
    return timeline.in_order(moments)
