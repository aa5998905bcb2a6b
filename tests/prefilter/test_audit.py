"""The audit sample: drawn from every stage and score, reviewed blind, and what it proves."""

from uuid import uuid4

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM, Actor
from app.accounts.queries import actor_of, user_named
from app.candidates import policies
from app.candidates import queries as candidates
from app.curation import actions as curation
from app.curation import leases, moves
from app.prefilter import audit, evidence, queries
from app.tables import (
    Assignment,
    Candidate,
    CandidateState,
    Caption,
    Finding,
    FindingNow,
    Outcome,
    Purpose,
    Review,
    ReviewKind,
    Stage,
)
from tests.factories import FAR, make_candidate, make_import, make_person
from tests.web_client import SignIn

S = CandidateState


def act(session: Session, name: str) -> Actor:
    """The person of that name, made when first asked for."""
    found = user_named(session, name)
    return actor_of(found) if found else make_person(session, name)


def scored(session: Session, score: float, state: S = S.FILTERED_OUT, stage: str = "domain") -> Candidate:
    """A candidate with a stage's score; filtered out by it unless said otherwise."""
    candidate = make_candidate(session, S.FILTERING if state is S.FILTERED_OUT else S.QUEUED)
    version = session.get_one(Stage, stage).active_version
    finding = Finding(
        candidate_id=candidate.id,
        stage=stage,
        stage_version=version,
        input_hash="0" * 64,
        outcome=Outcome.OK,
        score=score,
    )
    session.add(finding)
    session.flush()
    session.add(
        FindingNow(candidate_id=candidate.id, stage=stage, finding_id=finding.id, outcome=Outcome.OK, score=score)
    )
    session.flush()
    if state is S.FILTERED_OUT:
        moves.filter_out(session, [candidate.id], stage)
    else:
        moves.move(session, [candidate.id], S.QUEUED, state)
        moves.drop_open_slots(session, [candidate.id])
    session.refresh(candidate)
    return candidate


def set_share(session: Session, share: float) -> None:
    audit.set_audit(session, SYSTEM, share, 0.02)


def audits(session: Session) -> set[int]:
    return set(session.scalars(select(Assignment.candidate_id).where(Assignment.purpose == Purpose.AUDIT)))


def test_every_stage_and_tenth_of_its_scores_gives_its_share(session: Session) -> None:
    low = {scored(session, 0.05).id for _ in range(20)}
    high = {scored(session, 0.45).id for _ in range(10)}
    other = {scored(session, 0.05, stage="caption").id for _ in range(3)}
    set_share(session, 0.1)
    assert audit.draw(session) == 4
    drawn = audits(session)
    assert [len(drawn & some) for some in (low, high, other)] == [2, 1, 1]
    assert audit.draw(session) == 0, "the sample is full"


def test_a_share_of_nothing_calls_off_what_nobody_has_in_hand(session: Session) -> None:
    held, free = scored(session, 0.1), scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    session.execute(update(Assignment).where(Assignment.candidate_id == held.id).values(lease_until=FAR))
    set_share(session, 0)
    assert audits(session) == {held.id}
    assert free.id not in audits(session)


def test_an_audited_candidate_comes_among_the_others_without_its_findings(
    session: Session, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    page = sign_in("alder").get("/review").text
    assert f'data-candidate="{candidate.id}"' in page
    assert "Spot check" in page
    assert "Histology" not in page.split('id="decide"')[0]
    seen = candidates.slots(session, act(session, "alder"), candidate.id)
    assert not policies.sees_state(act(session, "alder"), seen), "that it was filtered out would give it away"


def test_the_caption_of_an_audited_candidate_is_cleaned_like_those_of_the_others(session: Session) -> None:
    candidate = scored(session, 0.1)
    raw = curation.add_caption(session, candidate.id, "raw", "Melanoma, H&E. Follow us! #dermpath #pathology", "import")
    curation.offer_caption(session, candidate, raw)
    session.execute(update(Candidate).where(Candidate.id == candidate.id).values(caption_version=1))
    session.expire_all()
    set_share(session, 1)
    audit.draw(session)
    session.expire_all()
    assert "Follow us" not in session.get_one(Caption, session.get_one(Candidate, candidate.id).caption_id).text


def test_private_details_are_left_out_of_an_audited_caption_that_no_stage_looked_at_for_them(session: Session) -> None:
    candidate = scored(session, 0.1)
    raw = curation.add_caption(session, candidate.id, "raw", "Melanoma of the back, H&E. MRN 1234567 #path", "import")
    curation.offer_caption(session, candidate, raw)
    session.execute(update(Candidate).where(Candidate.id == candidate.id).values(caption_version=1))
    session.expire_all()
    set_share(session, 1)
    audit.draw(session)
    session.expire_all()
    offered = session.get_one(Caption, session.get_one(Candidate, candidate.id).caption_id)
    assert offered.text == "Melanoma of the back, H&E."
    assert queries.lineages(session, [offered.id])[offered.id][0].id == raw.id


def judge(session: Session, name: str, candidate: Candidate, kind: ReviewKind) -> Review:
    actor = act(session, name)
    lease = next(lease for lease in leases.hold(session, actor) if lease.candidate_id == candidate.id)
    session.refresh(candidate)
    return curation.decide(
        session,
        actor,
        curation.Decision(
            candidate.id,
            lease.token,
            candidate.caption_version,
            uuid4(),
            kind,
            caption="Melanoma, H&E.",
            reasons=("not_histopathology",) if kind is ReviewKind.REJECT else (),
        ),
    )


@pytest.mark.parametrize(
    ("kind", "state"),
    [(ReviewKind.ACCEPT, S.ACCEPTED), (ReviewKind.REJECT, S.FILTERED_OUT), (ReviewKind.FLAG, S.FLAGGED)],
)
def test_what_an_audit_says_becomes_of_the_candidate(session: Session, kind: ReviewKind, state: S) -> None:
    make_person(session, "alder")
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    review = judge(session, "alder", candidate, kind)
    session.refresh(candidate)
    assert (review.purpose, candidate.state) == (Purpose.AUDIT, state)
    curation.undo(session, act(session, "alder"), review.id)
    session.refresh(candidate)
    assert candidate.state in (S.QUEUED, S.FILTERED_OUT)
    again = judge(session, "alder", candidate, kind)
    session.refresh(candidate)
    assert again.id != review.id
    assert candidate.state in (state, S.REJECTED)


def test_a_candidate_that_was_audited_and_rejected_stays_out_when_the_line_is_lowered(session: Session) -> None:
    make_person(session, "alder")
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    judge(session, "alder", candidate, ReviewKind.REJECT)
    assert moves.refilter(session, [candidate.id], S.FILTERED_OUT) == []


def test_going_back_to_the_stages_drops_an_open_audit(session: Session) -> None:
    candidate = scored(session, 0.1)
    set_share(session, 1)
    audit.draw(session)
    assert moves.refilter(session, [candidate.id], S.FILTERED_OUT) == [candidate.id]
    assert audits(session) == set()


def test_the_bins_count_all_the_judged_and_the_good(session: Session) -> None:
    make_person(session, "alder")
    dropped = scored(session, 0.105)
    scored(session, 0.107)
    for _ in range(2):
        scored(session, 0.9, S.ACCEPTED)
    scored(session, 1.0, S.REJECTED)
    set_share(session, 1)
    audit.draw(session)
    judge(session, "alder", dropped, ReviewKind.REJECT)
    bins = evidence.bins(session, "domain")
    assert (bins[10].scored, bins[10].judged, bins[10].good) == (2, 1, 0)
    assert (bins[90].scored, bins[90].judged, bins[90].good) == (2, 2, 2)
    assert (bins[99].scored, bins[99].judged, bins[99].good) == (1, 1, 0)
    assert evidence.effects(session)["domain"].dropped == 2


def test_the_page_of_a_stage_shows_what_people_said_and_sets_a_line_back(session: Session, sign_in: SignIn) -> None:
    scored(session, 0.1)
    for _ in range(3):
        scored(session, 0.9, S.ACCEPTED)
    elm = sign_in("elm")
    elm.post("/prefilter/domain/threshold", data={"threshold": "0.6", "expected": "0.5"})
    page = elm.get("/prefilter/domain?threshold=0.7").text
    assert "Good pairs lost" in page
    assert "Set back to 0.5" in page
    assert "No line is proposed yet. 149 judged candidates are needed; there are 3." in page


def test_an_admin_sets_the_share_and_bad_numbers_are_refused_beside_their_field(
    session: Session, sign_in: SignIn
) -> None:
    scored(session, 0.1)
    elm = sign_in("elm")
    assert elm.post("/prefilter/audit", data={"share": "5", "bound": "1"}).status_code in (200, 303)
    assert evidence.audit_settings(session) == evidence.AuditSettings(0.05, 0.01)
    refused = elm.post("/prefilter/audit", data={"share": "500", "bound": "1"})
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.text


def test_the_funnel_of_one_source_counts_only_its_candidates(session: Session, sign_in: SignIn) -> None:
    first = scored(session, 0.1)
    make_candidate(session, run=make_import(session, "another"))
    source = candidates.source_of(session, first)
    page = sign_in("elm").get(f"/prefilter?source={source.id}").text
    assert "1 candidate in" in page
    assert session.scalar(select(func.count()).select_from(Candidate)) == 2
