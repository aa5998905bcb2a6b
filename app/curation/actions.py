"""Deciding, settling, undoing, resolving. Order of locks: the candidate first, then its slots."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, delete, func, null, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from app.accounts.policies import Actor
from app.curation import crops, leases, moves, queries
from app.curation.crops import Crop
from app.curation.policies import UNDO_LAST, Judgement, Settlement, is_withheld, may_undo, settlement
from app.errors import Conflict, Invalid, NotFound, Stale
from app.jobs import record
from app.prefilter import held
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Caption,
    CaptionKind,
    Draft,
    EvidenceText,
    FlagOrigin,
    Image,
    Purpose,
    Review,
    ReviewKind,
    ReviewReason,
    Setting,
    Skip,
)

S = CandidateState


@dataclass(frozen=True)
class Decision:
    """What a reviewer sends. `caption` is the text to publish; `fields` are vocabulary ids.

    `crop` is taken or not; `masks` are the parts of the picture to cover, None for all that are offered: an open page
    that does not know of them yet does not say that they are to be published.
    """

    candidate_id: int
    token: UUID
    caption_version: int
    submission_id: UUID
    kind: ReviewKind
    caption: str = ""
    reasons: Sequence[str] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    diagnosis: str = ""
    note: str = ""
    crop: Crop | None = None
    masks: Sequence[Crop] | None = None
    seconds: float = 0.0


class TakenOver(Stale):
    """Someone else holds or decided the slot; `candidate_id` says where to look."""

    def __init__(self, candidate_id: int, message: str, what_next: str) -> None:
        super().__init__(message, what_next)
        self.candidate_id = candidate_id


def decide(session: Session, actor: Actor, decision: Decision) -> Review:
    """Records a judgement and settles the candidate, all in the caller's transaction.

    The same `submission_id` again answers as before. Raises TakenOver when the slot is no longer this
    person's or the caption on offer changed, Invalid for a decision that lacks a reason or a caption.
    """
    candidate = _lock_one(session, decision.candidate_id)
    slot = _own_slot(session, actor, candidate, decision)
    if slot is None:  # also when this very decision, sent before, used it up
        if before := _already_sent(session, decision.submission_id):
            return before
        raise _not_yours(candidate)
    _check(session, decision)
    review = _write_review(session, actor, candidate, slot, decision)
    session.execute(
        update(Assignment)
        .where(Assignment.id == slot.id)
        .values(review_id=review.id, token=None, lease_until=text("'epoch'"))
    )
    settle(session, candidate)
    _forget(session, actor, candidate, [Skip, Draft] if decision.kind is ReviewKind.ACCEPT else [Skip])
    if decision.kind is not ReviewKind.ACCEPT:
        _keep_typed(session, actor, candidate, decision)
    details = {"review": review.id, "purpose": review.purpose.value, "state": candidate.state.value}
    _event(session, f"candidate.{_past(decision.kind)}", candidate.id, actor, details)
    return review


def _forget(session: Session, actor: Actor, candidate: Candidate, tables: Sequence[type[Draft] | type[Skip]]) -> None:
    """Deletes what a person has of a candidate in these tables, in one statement."""
    first, *others = (
        delete(table).where(table.user_id == actor.user_id, table.candidate_id == candidate.id) for table in tables
    )
    for other in others:
        first = first.add_cte(other.cte())
    session.execute(first.execution_options(synchronize_session=False))


def _keep_typed(session: Session, actor: Actor, candidate: Candidate, decision: Decision) -> None:
    """What was written before a reject or flag is the draft that an undo brings back."""
    typed = plain_lines(decision.caption)
    offered = session.get(Caption, candidate.caption_id) if candidate.caption_id else None
    if typed and typed != plain_lines(offered.text or "" if offered else ""):
        fields: dict[str, object] = {**decision.fields, "diagnosis": decision.diagnosis}
        save_draft(session, actor, candidate.id, candidate.caption_version, typed, fields)


def _past(kind: ReviewKind) -> str:
    return {"accept": "accepted", "reject": "rejected", "flag": "flagged", "undo": "undone"}[kind.value]


def _event(session: Session, act: str, candidate_id: int, actor: Actor, details: dict[str, Any]) -> None:
    record(session, act, "candidate", candidate_id, user_id=actor.user_id, details=details)


def _lock_one(session: Session, candidate_id: int) -> Candidate:
    locked = moves.lock(session, [candidate_id])
    if not locked:
        raise NotFound(f"There is no candidate C-{candidate_id}.")
    return locked[0]


def _already_sent(session: Session, submission_id: UUID) -> Review | None:
    return session.scalars(select(Review).where(Review.submission_id == submission_id)).one_or_none()


def _check(session: Session, decision: Decision) -> None:
    if decision.kind is ReviewKind.REJECT:
        known = {reason.code for reason in queries.reasons(session)}
        if not decision.reasons or not known.issuperset(decision.reasons):
            raise Invalid("Choose a reason.", fields={"reasons": "Choose a reason."})
    if decision.kind is ReviewKind.ACCEPT and not decision.caption.strip():
        empty = "A pair needs a caption. Write one, or reject it."
        raise Invalid(empty, fields={"caption": empty})


def _own_slot(session: Session, actor: Actor, candidate: Candidate, decision: Decision) -> Assignment | None:
    """The open slot that the token proves. An expired lease counts while nobody else took the slot.

    Raises TakenOver when the caption on offer changed meanwhile.
    """
    slot = session.scalars(
        select(Assignment)
        .where(
            Assignment.candidate_id == candidate.id,
            Assignment.user_id == actor.user_id,
            Assignment.token == decision.token,
            Assignment.review_id.is_(None),
        )
        .with_for_update(key_share=True)
    ).one_or_none()
    if slot and candidate.caption_version != decision.caption_version:
        raise TakenOver(
            candidate.id,
            f"The caption of C-{candidate.id} changed while you worked.",
            "Nothing was saved. Both texts are here; decide again on the new one.",
        )
    return slot


def _not_yours(candidate: Candidate) -> TakenOver:
    return TakenOver(
        candidate.id,
        f"C-{candidate.id} is no longer yours: your time passed or its page was left, and someone else may have it.",
        "Nothing was saved. Your text is still here; compare, then go on with the next candidate.",
    )


def _write_review(
    session: Session, actor: Actor, candidate: Candidate, slot: Assignment | None, decision: Decision
) -> Review:
    fields: dict[str, object] = {name: value for name, value in decision.fields.items() if value}
    if decision.diagnosis.strip():
        fields["diagnosis_text"] = _evidence(session, candidate.id, decision.diagnosis.strip())
    if decision.kind is ReviewKind.ACCEPT and (copy := _published(session, candidate, decision)):
        fields["crop"] = copy
    values = {
        "candidate_id": candidate.id,
        "user_id": actor.user_id,
        "assignment_id": slot.id if slot else None,
        "round": candidate.round,
        "purpose": slot.purpose if slot else Purpose.RESOLUTION,
        "kind": decision.kind,
        "caption_before_id": candidate.caption_id,
        "caption_after_id": _caption_after(session, actor, candidate, decision),
        "fields": fields,
        "note_id": _evidence(session, candidate.id, decision.note.strip()) if decision.note.strip() else None,
        "seconds": max(0.0, min(decision.seconds, 86400.0)),
        "submission_id": decision.submission_id,
    }
    statement = insert(Review).values(values).on_conflict_do_nothing(index_elements=["submission_id"])
    review = session.scalars(statement.returning(Review)).one_or_none()
    if review is None:
        raise Conflict("This decision was sent before, for another candidate.", "Load the page again.")
    for reason in dict.fromkeys(decision.reasons):
        session.execute(insert(ReviewReason).values(review_id=review.id, reason=reason))
    return review


def _published(session: Session, candidate: Candidate, decision: Decision) -> dict[str, Any] | None:
    """The copy that is published in place of the picture; None where the picture itself is."""
    is_open = decision.masks is not None and not decision.masks
    if decision.crop is None and is_open:
        return None
    found, image = queries.findings(session, candidate.id), session.get_one(Image, candidate.image_id)
    offered = crops.masks_offered(found.get("writing"), found.get("faces"), held.actions(session), image)
    masks = offered if decision.masks is None else decision.masks
    if decision.crop is None and not masks:
        return None
    return crops.take(decision.crop, masks, crops.OnOffer(crops.offered(found.get("panels"), image), offered), image)


def _caption_after(session: Session, actor: Actor, candidate: Candidate, decision: Decision) -> int | None:
    """The caption that an accept publishes: the one on offer, or the reviewer's own edit of it."""
    if decision.kind is not ReviewKind.ACCEPT:
        return None
    wanted = plain_lines(decision.caption)
    offered = session.get(Caption, candidate.caption_id) if candidate.caption_id else None
    if offered and offered.text is not None and plain_lines(offered.text) == wanted:
        return offered.id
    return add_caption(session, candidate.id, CaptionKind.EDITED, wanted, actor.name, candidate.caption_id).id


def plain_lines(caption: str) -> str:
    """A form's line ends are CRLF and it may add white space around; the text is otherwise left alone."""
    return caption.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "�").strip()


def add_caption(
    session: Session, candidate_id: int, kind: CaptionKind, caption: str, made_by: str, based_on: int | None = None
) -> Caption:
    """A new version of a candidate's text; the caller holds the candidate's lock."""
    newest = session.scalar(select(func.max(Caption.version)).where(Caption.candidate_id == candidate_id))
    made = Caption(
        candidate_id=candidate_id,
        kind=kind,
        version=(newest or 0) + 1,
        text=caption,
        text_sha256=hashlib.sha256(caption.encode()).hexdigest(),
        made_by=made_by,
        based_on=based_on,
    )
    session.add(made)
    session.flush()
    return made


def offer_caption(session: Session, candidate: Candidate, caption: Caption) -> None:
    """Puts a text on offer to reviewers; an open page with the old one gets a 409."""
    candidate.caption_id = caption.id
    candidate.caption_version += 1
    session.flush()


def _evidence(session: Session, candidate_id: int, words: str) -> int:
    digest = hashlib.sha256(words.encode()).hexdigest()
    row = EvidenceText(candidate_id=candidate_id, text=words, text_sha256=digest)
    session.add(row)
    session.flush()
    return row.id


# --- settling -----------------------------------------------------------------------------------


def settle(session: Session, candidate: Candidate) -> None:
    """Moves the candidate where its reviews put it.

    It reads the slots in a statement of its own, after the caller's write under the candidate's lock:
    two blind reviewers that each counted only their own review would leave it stranded.
    """
    session.flush()
    slots = _slots(session, candidate)
    if adjudication := _given(slots, Purpose.ADJUDICATION):
        _apply(session, candidate, settlement(adjudication, 1))
        return
    wanted = sum(purpose is Purpose.MAIN for purpose, _ in slots)
    judgements = _given(slots, Purpose.MAIN if wanted else Purpose.AUDIT)
    settled = settlement(judgements, wanted or 1)
    if candidate.state is S.FILTERED_OUT and settled.state in (S.QUEUED, S.REJECTED):
        return  # an audit that found nothing good leaves it where the stage put it
    _apply(session, candidate, settled)


Slot = tuple[Purpose, Judgement | None]


def _slots(session: Session, candidate: Candidate) -> list[Slot]:
    """The slots of the candidate's present round, those with a judgement first, in the order it was given."""
    rows = session.execute(
        select(Assignment.purpose, Review.id, Review.kind, Review.caption_after_id, Caption.text)
        .outerjoin(Review, Review.id == Assignment.review_id)
        .outerjoin(Caption, Caption.id == Review.caption_after_id)
        .where(Assignment.candidate_id == candidate.id, Assignment.round == candidate.round)
        .order_by(Review.id)
    )
    return [
        (purpose, Judgement(id_, kind, caption_id, caption or "") if id_ else None)
        for purpose, id_, kind, caption_id, caption in rows
    ]


def _given(slots: Sequence[Slot], purpose: Purpose) -> list[Judgement]:
    return [judgement for of, judgement in slots if of is purpose and judgement]


def _apply(session: Session, candidate: Candidate, settled: Settlement) -> None:
    if settled.state is candidate.state:
        return
    values: dict[str, object] = {}
    if settled.state is S.FLAGGED:
        values["flag_origin"] = FlagOrigin.PERSON
        moves.drop_open_slots(session, [candidate.id])
    if settled.state in (S.ACCEPTED, S.REJECTED):
        values |= {"settled_by": settled.settled_by, "settled_caption_id": settled.settled_caption_id}
        values["crop"] = _crop_of(session, candidate, settled.settled_by)
    moves.move(session, [candidate.id], candidate.state, settled.state, **values)
    if settled.state is S.CONFLICTED:
        moves.want_reviews(session, [candidate.id], Purpose.ADJUDICATION)


def _crop_of(session: Session, candidate: Candidate, review_id: int | None) -> object:
    """The copy that the review which settled a candidate had made of its picture.

    Where one that agreed with it covered more, that one's: what any reviewer covered is not published open.
    """
    review = session.get(Review, review_id) if review_id else None
    if review is None:
        return null()
    same_round = (Assignment.candidate_id == candidate.id) & (Assignment.round == candidate.round)
    agreed = select(Review.fields).join(Assignment, Assignment.review_id == Review.id)
    others = session.scalars(agreed.where(same_round, Assignment.purpose == review.purpose))
    copies = [fields.get("crop") for fields in (review.fields, *others)]
    return max(copies, key=lambda copy: len((copy or {}).get("masks", ()))) or null()


# --- undoing ------------------------------------------------------------------------------------


def undo(session: Session, actor: Actor, review_id: int, submission_id: UUID | None = None) -> Candidate:
    """Takes back one of a person's last 20 reviews of the last day; the slot is theirs again.

    What they had written comes back as their draft. Raises NotFound for another's review, Conflict
    when it is too old, taken back already, or adjudicated.
    """
    review = session.get(Review, review_id)
    if review is None or review.user_id != actor.user_id:
        raise NotFound("There is no such decision of yours.")
    candidate = _lock_one(session, review.candidate_id)
    if submission_id and _already_sent(session, submission_id):
        return candidate
    slot = _undoable_slot(session, actor, candidate, review)
    _write_undo(session, actor, review, submission_id or uuid4())
    session.execute(delete(Assignment).where(*_open_adjudication(candidate)))
    session.execute(
        update(Assignment)
        .where(Assignment.id == slot.id)
        .values(review_id=None, token=uuid4(), lease_until=func.clock_timestamp() + leases.lease_time())
    )
    moves.want_reviews(session, [candidate.id], slot.purpose)
    settle(session, candidate)
    _restore_draft(session, actor, candidate, review)
    _event(
        session,
        "candidate.undone",
        candidate.id,
        actor,
        {"review": review.id, "state": candidate.state.value},
    )
    return candidate


def _undoable_slot(session: Session, actor: Actor, candidate: Candidate, review: Review) -> Assignment:
    now = session.scalars(select(func.clock_timestamp())).one()
    if not may_undo(review.purpose, review.kind, review.at, now) or review.id not in last_reviews(session, actor):
        raise Conflict("This decision can no longer be taken back.", "Ask an admin to send it back to the queue.")
    slot = session.scalars(
        select(Assignment).where(Assignment.review_id == review.id).with_for_update(key_share=True)
    ).one_or_none()
    adjudicated = bool(_given(_slots(session, candidate), Purpose.ADJUDICATION))
    settled_by = session.get(Review, candidate.settled_by) if candidate.settled_by else None
    resolved = settled_by is not None and settled_by.purpose is Purpose.RESOLUTION
    if slot is None or slot.round != candidate.round or adjudicated or resolved:
        raise Conflict(
            f"C-{candidate.id} has moved on since your decision.",
            "Ask an admin to send it back to the queue.",
        )
    return slot


def _open_adjudication(candidate: Candidate) -> tuple[ColumnElement[bool], ...]:
    return (
        Assignment.candidate_id == candidate.id,
        Assignment.purpose == Purpose.ADJUDICATION,
        Assignment.review_id.is_(None),
    )


def last_reviews(session: Session, actor: Actor) -> list[int]:
    """The ids of a person's last 20 reviews that stand, newest first."""
    undone = aliased(Review)
    statement = (
        select(Review.id)
        .outerjoin(undone, undone.supersedes == Review.id)
        .where(Review.user_id == actor.user_id, Review.kind != ReviewKind.UNDO, undone.id.is_(None))
        .order_by(Review.id.desc())
        .limit(UNDO_LAST)
    )
    return list(session.scalars(statement))


def _write_undo(session: Session, actor: Actor, review: Review, submission_id: UUID) -> None:
    session.execute(
        insert(Review).values(
            candidate_id=review.candidate_id,
            user_id=actor.user_id,
            assignment_id=review.assignment_id,
            round=review.round,
            purpose=review.purpose,
            kind=ReviewKind.UNDO,
            submission_id=submission_id,
            supersedes=review.id,
        )
    )


def _restore_draft(session: Session, actor: Actor, candidate: Candidate, review: Review) -> None:
    edited = session.get(Caption, review.caption_after_id) if review.caption_after_id else None
    if edited and edited.kind is CaptionKind.EDITED and edited.text is not None:
        save_draft(session, actor, candidate.id, candidate.caption_version, edited.text, dict(review.fields))


def save_draft(
    session: Session,
    actor: Actor,
    candidate_id: int,
    caption_version: int,
    caption: str,
    fields: dict[str, object],
) -> None:
    """Keeps what someone typed; the newest wins."""
    values = {
        "caption_version": caption_version,
        "text": caption[:20_000].replace("\x00", "�"),
        "fields": fields,
        "at": func.clock_timestamp(),
    }
    statement = insert(Draft).values(user_id=actor.user_id, candidate_id=candidate_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["user_id", "candidate_id"], set_=values))


# --- admins -------------------------------------------------------------------------------------


def resolve(session: Session, actor: Actor, decision: Decision) -> Review:
    """An admin accepts or rejects a flagged candidate. Raises Conflict when it is not flagged (any more)."""
    candidate = _lock_one(session, decision.candidate_id)
    if before := _already_sent(session, decision.submission_id):
        return before
    _check(session, decision)
    if candidate.state is not S.FLAGGED:
        raise Conflict(f"C-{candidate.id} is {candidate.state.value} now, not flagged.", "Load the page again.")
    review = _write_review(session, actor, candidate, None, decision)
    state = S.ACCEPTED if decision.kind is ReviewKind.ACCEPT else S.REJECTED
    settled: dict[str, object] = {"settled_by": review.id, "settled_caption_id": review.caption_after_id}
    if state is S.REJECTED and candidate.flag_origin is FlagOrigin.MACHINE:
        settled["stopped_by"] = candidate.stopped_by  # so that it stays out of others' sight
    if state is S.ACCEPTED:
        settled["crop"] = _crop_of(session, candidate, review.id)
    moves.move(session, [candidate.id], S.FLAGGED, state, **settled)
    session.refresh(candidate)
    _event(session, "candidate.resolved", candidate.id, actor, {"review": review.id, "state": state.value})
    return review


def requeue(session: Session, actor: Actor, candidate_id: int) -> None:
    """Sends a flagged, decided or conflicted candidate back to the queue for a new round.

    Raises Conflict for one in another state, or that a machine holds.
    """
    candidate = _lock_one(session, candidate_id)
    old = candidate.state
    if is_withheld(old, candidate.flag_origin, candidate.stopped_by):
        raise Conflict(f"C-{candidate_id} is held for what may identify a patient.", "Release it, or hold it again.")
    if old not in (S.FLAGGED, S.ACCEPTED, S.REJECTED, S.CONFLICTED):
        raise Conflict(f"C-{candidate_id} is {old.value}; it can't be sent back to the queue.", "Load the page again.")
    moves.next_round(session, candidate_id, old)
    session.refresh(candidate)
    _event(session, "candidate.requeued", candidate_id, actor, {"from": old.value, "round": candidate.round})


def set_overlap(session: Session, actor: Actor, share: float) -> None:
    """The share of candidates, of those queued from now on, that two people review blind to each other."""
    before, _ = moves.overlap(session)
    session.execute(update(Setting).where(Setting.name == "overlap_share").values(value=share))
    details = {"from": before, "to": share}
    record(session, "review.overlap_changed", "setting", "overlap_share", user_id=actor.user_id, details=details)
