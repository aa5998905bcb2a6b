"""Deciding: what a judgement does to the candidate, its slots, and the record."""

from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import Actor
from app.curation import actions, leases, moves, queries
from app.curation.actions import Decision, TakenOver
from app.errors import Conflict, Invalid, NotFound
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Caption,
    CaptionKind,
    Draft,
    Event,
    Purpose,
    Review,
    ReviewKind,
    ReviewReason,
    Setting,
)
from tests.factories import FAR, make_candidate, make_person

S = CandidateState


@pytest.fixture
def alder(session: Session) -> Actor:
    return make_person(session, "alder")


@pytest.fixture
def birch(session: Session) -> Actor:
    return make_person(session, "birch")


def everything_seen_twice(session: Session) -> None:
    session.execute(update(Setting).where(Setting.name == "overlap_share").values(value=1))


def lease_of(session: Session, actor: Actor, candidate: Candidate) -> leases.Lease:
    return next(lease for lease in leases.hold(session, actor) if lease.candidate_id == candidate.id)


def decision(lease: leases.Lease, kind: ReviewKind = ReviewKind.ACCEPT, **values: object) -> Decision:
    sent: dict[str, object] = {
        "candidate_id": lease.candidate_id,
        "token": lease.token,
        "caption_version": 1,
        "submission_id": uuid4(),
        "kind": kind,
        "caption": "Basal cell carcinoma, H&E, 10×.",
        "reasons": ["other"] if kind is ReviewKind.REJECT else [],
    }
    return Decision(**(sent | values))  # type: ignore[arg-type]


def decide(session: Session, actor: Actor, candidate: Candidate, kind: ReviewKind, **values: object) -> Review:
    return actions.decide(session, actor, decision(lease_of(session, actor, candidate), kind, **values))


@pytest.mark.parametrize(
    ("kind", "state"),
    [(ReviewKind.ACCEPT, S.ACCEPTED), (ReviewKind.REJECT, S.REJECTED), (ReviewKind.FLAG, S.FLAGGED)],
)
def test_one_review_settles_a_candidate_that_one_person_sees(
    session: Session, alder: Actor, kind: ReviewKind, state: S
) -> None:
    candidate = make_candidate(session)
    review = decide(session, alder, candidate, kind)
    session.refresh(candidate)
    assert candidate.state is state
    assert candidate.settled_by == (None if state is S.FLAGGED else review.id)


def test_an_unedited_accept_publishes_the_caption_on_offer(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session, caption="Line one.\nLine two.")
    review = decide(session, alder, candidate, ReviewKind.ACCEPT, caption=" Line one.\r\nLine two.\r\n")
    assert review.caption_after_id == candidate.caption_id


def test_an_edited_accept_publishes_the_edit_and_leaves_the_offer_alone(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    offered = candidate.caption_id
    decide(session, alder, candidate, ReviewKind.ACCEPT, caption="Nodular basal cell carcinoma.")
    session.refresh(candidate)
    assert candidate.caption_id == offered
    published = session.get(Caption, candidate.settled_caption_id)
    assert published
    assert (published.text, published.kind, published.made_by) == (
        "Nodular basal cell carcinoma.",
        CaptionKind.EDITED,
        "alder",
    )


def test_the_same_submission_twice_is_one_review(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    sent = decision(lease_of(session, alder, candidate))
    first = actions.decide(session, alder, sent)
    assert actions.decide(session, alder, sent).id == first.id
    assert session.scalar(select(func.count()).select_from(Review)) == 1


def test_a_reject_needs_a_reason_and_keeps_it(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    with pytest.raises(Invalid, match="Choose a reason"):
        decide(session, alder, candidate, ReviewKind.REJECT, reasons=[])
    review = decide(session, alder, candidate, ReviewKind.REJECT, reasons=["duplicate"])
    assert session.scalars(select(ReviewReason.reason).where(ReviewReason.review_id == review.id)).all() == [
        "duplicate"
    ]


def test_an_accept_needs_a_caption(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    with pytest.raises(Invalid, match="needs a caption"):
        decide(session, alder, candidate, ReviewKind.ACCEPT, caption=" \n ")


def test_a_decision_writes_one_event_without_text(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.ACCEPT, caption="Only here.", note="And here.", diagnosis="Also.")
    events = session.scalars(
        select(Event).where(Event.subject_kind == "candidate", Event.subject_id == str(candidate.id))
    ).all()
    assert [event.act for event in events] == ["candidate.accepted"]
    assert "here" not in str(events[0].details)


def test_a_decision_ends_the_draft(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    lease = lease_of(session, alder, candidate)
    actions.save_draft(session, alder, candidate.id, 1, "Half a sen", {})
    actions.decide(session, alder, decision(lease))
    assert session.get(Draft, (alder.user_id, candidate.id)) is None


def test_an_expired_lease_counts_while_nobody_took_the_slot(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    lease = lease_of(session, alder, candidate)
    session.execute(update(Assignment).values(lease_until=func.to_timestamp(0)))
    assert actions.decide(session, alder, decision(lease)).kind is ReviewKind.ACCEPT


def test_a_slot_that_another_took_is_not_decided_twice(session: Session, alder: Actor, birch: Actor) -> None:
    candidate = make_candidate(session)
    lease = lease_of(session, alder, candidate)
    session.execute(update(Assignment).values(lease_until=func.to_timestamp(0)))
    lease_of(session, birch, candidate)
    with pytest.raises(TakenOver):
        actions.decide(session, alder, decision(lease))


def test_a_changed_caption_stops_a_decision_on_the_old_one(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    lease = lease_of(session, alder, candidate)
    newer = actions.add_caption(session, candidate.id, CaptionKind.RAW, "Squamous cell carcinoma.", "import")
    actions.offer_caption(session, candidate, newer)
    with pytest.raises(TakenOver, match="changed while you worked"):
        actions.decide(session, alder, decision(lease))


def test_two_reviewers_who_agree_settle_by_the_earlier(session: Session, alder: Actor, birch: Actor) -> None:
    everything_seen_twice(session)
    candidate = make_candidate(session)
    first = decide(session, alder, candidate, ReviewKind.ACCEPT)
    session.refresh(candidate)
    assert candidate.state is S.QUEUED
    decide(session, birch, candidate, ReviewKind.ACCEPT)
    session.refresh(candidate)
    assert (candidate.state, candidate.settled_by) == (S.ACCEPTED, first.id)


@pytest.mark.parametrize(
    "other",
    [
        {"kind": ReviewKind.REJECT},
        {"kind": ReviewKind.ACCEPT, "caption": "Something else."},
    ],
)
def test_two_reviewers_who_differ_conflict(
    session: Session, alder: Actor, birch: Actor, other: dict[str, object]
) -> None:
    everything_seen_twice(session)
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.ACCEPT)
    decide(session, birch, candidate, other.pop("kind"), **other)  # type: ignore[arg-type]
    session.refresh(candidate)
    assert candidate.state is S.CONFLICTED
    wanted = select(Assignment.purpose).where(Assignment.candidate_id == candidate.id, Assignment.review_id.is_(None))
    assert session.scalars(wanted).all() == [Purpose.ADJUDICATION]


def test_rejects_for_different_reasons_agree(session: Session, alder: Actor, birch: Actor) -> None:
    everything_seen_twice(session)
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.REJECT, reasons=["duplicate"])
    decide(session, birch, candidate, ReviewKind.REJECT, reasons=["advertising"])
    session.refresh(candidate)
    assert candidate.state is S.REJECTED


def test_an_adjudicator_who_reviewed_it_is_not_asked_to_settle_it(session: Session, alder: Actor, birch: Actor) -> None:
    everything_seen_twice(session)
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.ACCEPT)
    decide(session, birch, candidate, ReviewKind.REJECT)
    hazel = make_person(session, "hazel", adjudicator=True)
    assert leases.hold(session, alder, Purpose.ADJUDICATION) == []
    (lease,) = leases.hold(session, hazel, Purpose.ADJUDICATION)
    review = actions.decide(session, hazel, decision(lease))
    session.refresh(candidate)
    assert (candidate.state, candidate.settled_by) == (S.ACCEPTED, review.id)


def test_a_flag_settles_at_once_and_the_open_slot_goes(session: Session, alder: Actor, birch: Actor) -> None:
    everything_seen_twice(session)
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.FLAG)
    assert [lease for lease in leases.hold(session, birch) if lease.candidate_id == candidate.id] == []


# --- undo ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ReviewKind.ACCEPT, ReviewKind.REJECT, ReviewKind.FLAG])
def test_undo_gives_the_candidate_back_to_the_same_person(session: Session, alder: Actor, kind: ReviewKind) -> None:
    candidate = make_candidate(session)
    review = decide(session, alder, candidate, kind)
    actions.undo(session, alder, review.id)
    session.refresh(candidate)
    assert (candidate.state, candidate.settled_by, candidate.settled_caption_id) == (S.QUEUED, None, None)
    assert candidate.id in [lease.candidate_id for lease in leases.hold(session, alder)]


@pytest.mark.parametrize("kind", [ReviewKind.ACCEPT, ReviewKind.REJECT, ReviewKind.FLAG])
def test_undo_brings_what_was_written_back_as_a_draft(session: Session, alder: Actor, kind: ReviewKind) -> None:
    candidate = make_candidate(session)
    review = decide(session, alder, candidate, kind, caption="My own words.")
    assert queries.newest_draft(session, alder) is None
    actions.undo(session, alder, review.id)
    draft = queries.draft(session, alder, candidate.id)
    assert draft
    assert draft.text == "My own words."


def test_undo_leaves_another_reviewers_judgement_and_lease_alone(session: Session, alder: Actor, birch: Actor) -> None:
    everything_seen_twice(session)
    one, two = make_candidate(session), make_candidate(session)
    theirs = decide(session, birch, one, ReviewKind.ACCEPT)
    mine = decide(session, alder, one, ReviewKind.ACCEPT)
    actions.undo(session, alder, mine.id)
    held = select(Assignment.review_id).where(Assignment.candidate_id == one.id).order_by(Assignment.slot)
    assert theirs.id in session.scalars(held).all()
    lease = lease_of(session, birch, two)
    first = decide(session, alder, two, ReviewKind.ACCEPT)
    actions.undo(session, alder, first.id)
    assert actions.decide(session, birch, decision(lease)).user_id == birch.user_id


def test_nobody_undoes_anothers_decision(session: Session, alder: Actor, birch: Actor) -> None:
    review = decide(session, alder, make_candidate(session), ReviewKind.ACCEPT)
    with pytest.raises(NotFound):
        actions.undo(session, birch, review.id)


def test_a_decision_is_undone_once(session: Session, alder: Actor) -> None:
    review = decide(session, alder, make_candidate(session), ReviewKind.ACCEPT)
    actions.undo(session, alder, review.id)
    with pytest.raises(Conflict):
        actions.undo(session, alder, review.id)


def test_undo_reaches_back_twenty_decisions(session: Session, alder: Actor) -> None:
    reviews = [decide(session, alder, make_candidate(session), ReviewKind.ACCEPT) for _ in range(21)]
    with pytest.raises(Conflict, match="no longer be taken back"):
        actions.undo(session, alder, reviews[0].id)
    actions.undo(session, alder, reviews[1].id)


def test_an_adjudicated_decision_stays(session: Session, alder: Actor, birch: Actor) -> None:
    everything_seen_twice(session)
    candidate = make_candidate(session)
    review = decide(session, alder, candidate, ReviewKind.ACCEPT)
    decide(session, birch, candidate, ReviewKind.REJECT)
    hazel = make_person(session, "hazel", adjudicator=True)
    (lease,) = leases.hold(session, hazel, Purpose.ADJUDICATION)
    actions.decide(session, hazel, decision(lease))
    with pytest.raises(Conflict, match="moved on"):
        actions.undo(session, alder, review.id)


# --- admins -------------------------------------------------------------------------------------


def test_an_admin_resolves_what_was_flagged(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.FLAG)
    resolution = Decision(candidate.id, uuid4(), 1, uuid4(), ReviewKind.ACCEPT, "Fine as it is.")
    review = actions.resolve(session, alder, resolution)
    session.refresh(candidate)
    assert (candidate.state, candidate.settled_by, review.purpose) == (S.ACCEPTED, review.id, Purpose.RESOLUTION)


def test_a_flag_that_an_admin_resolved_is_not_undone(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    flag = decide(session, alder, candidate, ReviewKind.FLAG)
    actions.resolve(session, alder, Decision(candidate.id, uuid4(), 1, uuid4(), ReviewKind.ACCEPT, "Fine as it is."))
    with pytest.raises(Conflict, match="moved on since your decision"):
        actions.undo(session, alder, flag.id)
    session.refresh(candidate)
    assert candidate.state is S.ACCEPTED


def test_only_a_flagged_candidate_is_resolved(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    with pytest.raises(Conflict, match="not flagged"):
        actions.resolve(session, alder, Decision(candidate.id, uuid4(), 1, uuid4(), ReviewKind.ACCEPT, "x"))


def test_requeue_starts_a_new_round_that_the_same_person_may_review(session: Session, alder: Actor) -> None:
    candidate = make_candidate(session)
    decide(session, alder, candidate, ReviewKind.REJECT)
    actions.requeue(session, alder, candidate.id)
    session.refresh(candidate)
    assert (candidate.state, candidate.round) == (S.QUEUED, 2)
    assert decide(session, alder, candidate, ReviewKind.ACCEPT).round == 2


def test_a_queued_candidate_that_someone_holds_is_not_filtered_out(session: Session, alder: Actor) -> None:
    held, free = make_candidate(session), make_candidate(session, caption="x")
    first = leases.hold(session, alder)[0]
    leases.release(session, alder, FAR, but=[first.candidate_id])
    moved = moves.filter_out(session, [held.id, free.id], "quality", S.QUEUED)
    assert moved == [id_ for id_ in (held.id, free.id) if id_ != first.candidate_id]
