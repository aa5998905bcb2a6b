"""The review page's context, put together from the queries: the same for a full page and a swapped block."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import crops, leases, orders, proposals, queries
from app.curation.chips import Chip, boxes_of_note, chips
from app.curation.crops import Crop
from app.curation.policies import HELD_AT_ONCE, is_spot_check
from app.curation.proposals import ShownCaption, ShownFields
from app.operations.tallies import candidate_counts
from app.prefilter.held import actions as privacy_actions
from app.prefilter.privacy import TITLES as PRIVATE_KINDS
from app.prefilter.queries import thresholds
from app.tables import Draft, Purpose

IN_STRIP = 4  # the last decisions beside the image; the others are loaded when asked for

ALL_KEYS = (
    (
        "Decide",
        (
            ("a", "Accept"),
            ("r", "Reject, then 1 to 8 for the reason"),
            ("f", "Flag for an admin"),
            ("s", "Skip; it goes to someone else"),
            ("u", "Undo the last decision (again: the one before)"),
        ),
    ),
    (
        "Caption",
        (
            ("e", "Edit the caption"),
            ("Esc", "Leave the text, draft kept"),
            ("o", "Back to the original caption"),
            ("p", "Put private details back that were left out, or leave them out again"),
            ("n", "Write a note, such as why you flag it"),
            ("Ctrl Enter", "Accept from inside the text"),
        ),
    ),
    (
        "Image",
        (
            ("+ −", "Zoom at the pointer"),
            ("0", "Fit"),
            ("1 2 3", "Full size, 2×, 4×"),
            ("← ↑ ↓ →", "Pan"),
            ("z", "Keep zoom for the next image"),
            ("[ ]", "The post’s other images"),
            ("b", "Boxes of what was found on it"),
            ("c", "Take the crop that is offered, or not"),
            ("m", "Cover the parts that may identify a patient, or not"),
            ("i", "Image only"),
        ),
    ),
    ("Anywhere", (("?", "This list"),)),
)


@dataclass(frozen=True)
class ReviewPage:
    """Everything one candidate's review shows."""

    shown: queries.Shown
    token: UUID
    seconds: int
    until: datetime
    submission_id: UUID
    chips: list[Chip]
    boxes: list[dict[str, Any]]
    crop: Crop | None
    crop_taken: bool
    masks: list[Crop]
    masks_taken: bool
    blind: bool
    why: str
    caption: ShownCaption
    fields: ShownFields
    draft: Draft | None
    siblings: list[queries.Sibling]
    next_images: list[str]


def review_context(
    session: Session,
    actor: Actor,
    candidate_id: int | None = None,
    purpose: Purpose = Purpose.MAIN,
    queue_id: int | None = None,
) -> dict[str, Any]:
    """The page for the first of the leases this person holds, or for `candidate_id` if they have it or began it.

    `queue_id` is a list of their own that they chose to review. Raises NotFound.
    """
    if queue_id:
        held = leases.hold_listed(session, actor, queries.saved_list(session, actor, queue_id), candidate_id)
    else:
        held = leases.hold(session, actor, purpose, candidate_id)
    waiting = candidate_counts(session)["queued"]
    context: dict[str, Any] = {
        "page": None,
        "purpose": purpose,
        "queue": queue_id,
        "missed": candidate_id if candidate_id and (not held or held[0].candidate_id != candidate_id) else None,
        "differ": [],
        "history": queries.history(session, actor, IN_STRIP),
        "progress": queries.progress(session, actor, waiting),
        "reasons": queries.reasons(session),
        "all_keys": ALL_KEYS,
        "private_kinds": PRIVATE_KINDS,
    }
    if held:
        page = _page(session, actor, held)
        if queue_id:
            page = replace(page, why="One of the list that you chose.")
        context["page"] = page
        if purpose is Purpose.ADJUDICATION:
            context["differ"] = queries.judgements(session, page.shown)
    else:
        nothing = leases.nothing_free(session, actor, purpose)
        of_list = "Nothing of the list that you chose is left for you."
        context |= {"nothing": nothing, "nothing_text": of_list if queue_id else why_nothing(nothing)}
    return context


def why_nothing(nothing: leases.NothingFree) -> str:
    """What an empty queue says: the truth about whom to wait for."""
    parts = ["You have reviewed all you can in this queue."]
    if nothing.skipped:
        parts.append(f"You skipped {nothing.skipped}; they are still open.")
    if nothing.held_by_others:
        one = nothing.held_by_others == 1
        held = "1 candidate is" if one else f"{nothing.held_by_others} candidates are"
        back = f"come{'s' if one else ''} back"
        minutes = max(1, round(leases.lease_time().total_seconds() / 60))
        parts.append(f"{held} with other reviewers and {back} if {minutes} minutes pass without a decision.")
    return " ".join(parts)


def _page(session: Session, actor: Actor, held: list[leases.Lease]) -> ReviewPage:
    lease = held[0]
    shown = queries.shown(session, lease.candidate_id)
    if shown is None:
        raise LookupError(f"candidate {lease.candidate_id} has a slot but is gone")
    found = queries.findings(session, lease.candidate_id)
    audited = lease.purpose is Purpose.AUDIT
    blind = audited or is_spot_check(lease.candidate_id)
    draft = queries.draft(session, actor, lease.candidate_id)
    crop = None if blind else crops.offered(found.get("panels"), shown.image)
    actions = privacy_actions(session)
    masks = crops.masks_offered(found.get("writing"), found.get("faces"), actions, shown.image)
    masks_taken = crops.masks_in_draft(draft.fields) if draft else None
    caption = proposals.caption(session, shown, draft, found.get("private"))
    return ReviewPage(
        shown=shown,
        token=lease.token,
        seconds=int(leases.lease_time().total_seconds()),
        until=max(other.until for other in held),
        submission_id=uuid4(),
        chips=[] if blind else chips(found, thresholds(session), actions),
        boxes=[] if blind else boxes_of_note(found, actions),
        crop=crop,
        crop_taken=crop is not None and crops.in_draft(draft.fields if draft else {}) == crop,
        masks=masks,
        masks_taken=masks_taken is None or bool(masks_taken),
        blind=blind,
        why=why_now(session, found) if lease.purpose is Purpose.MAIN and not blind else "",
        caption=caption.without_makers() if blind else caption,
        fields=proposals.fields(session, draft, found, blind=blind, seen=shown.offered if audited else ""),
        draft=draft,
        siblings=queries.siblings(session, actor, shown.post.id),
        next_images=queries.image_hashes(session, [other.candidate_id for other in held[1:HELD_AT_ONCE]]),
    )


def why_now(session: Session, found: Mapping[str, queries.Found]) -> str:
    """Why the candidate comes now, by the order in force."""
    order = orders.ORDERS[orders.in_force(session)]
    if not order.scored_by:
        return f"{order.title}. {order.why}"
    score = found[order.scored_by].score if order.scored_by in found else None
    if score is None:
        return f"{order.title}. It has no score for this, so it comes after all that have one."
    return f"{order.title} ({score:.2f}). {order.why}"
