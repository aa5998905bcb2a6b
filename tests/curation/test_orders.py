"""In which order candidates come to reviewers, and that each says why."""

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.curation import leases, orders
from app.errors import Invalid
from app.tables import Assignment, Candidate, CandidateState, Finding, FindingNow, Job, Outcome
from tests.factories import make_candidate, make_person
from tests.web_client import SignIn
from workers.ml.clusters import places


def found(session: Session, stage: str, score: float | None) -> int:
    candidate = make_candidate(session)
    if score is not None:
        finding = Finding(
            candidate_id=candidate.id, stage=stage, stage_version="1", input_hash="0", outcome=Outcome.OK, score=score
        )
        session.add(finding)
        session.flush()
        now = {"finding_id": finding.id, "outcome": Outcome.OK, "score": score}
        session.add(FindingNow(candidate_id=candidate.id, stage=stage, **now))
        session.flush()
    return candidate.id


def in_order(session: Session, order: str) -> list[int]:
    """What a reviewer is handed, one after the other, once the order is applied."""
    orders.choose(session, SYSTEM, order)
    orders.prioritise(session, orders.waiting(session, 0))
    handed: list[int] = []
    person = make_person(session, "alder")
    while lease := next(iter(leases.hold(session, person)), None):
        handed.append(lease.candidate_id)
        session.execute(update(Assignment).where(Assignment.id == lease.assignment_id).values(slot=2 + len(handed)))
        leases.skip(session, person, lease.candidate_id)
    return handed


def test_the_oldest_comes_first_unless_another_order_is_chosen(session: Session) -> None:
    ids = [found(session, "domain", score) for score in (0.9, 0.1, 0.5)]
    assert orders.in_force(session) == "oldest"
    assert in_order(session, "oldest") == ids


def test_the_least_certain_comes_first_and_what_has_no_score_last(session: Session) -> None:
    near, far, unknown, middle = (found(session, "domain", score) for score in (0.52, 0.99, None, 0.7))
    assert in_order(session, "uncertain") == [near, middle, far, unknown]


def test_the_best_aligned_comes_first(session: Session) -> None:
    low, high = found(session, "alignment", 0.2), found(session, "alignment", 0.8)
    assert in_order(session, "aligned") == [high, low]


def test_a_random_order_is_the_same_for_the_same_seed(session: Session) -> None:
    ids = [found(session, "domain", 0.5) for _ in range(12)]
    orders.choose(session, SYSTEM, "random")
    orders.prioritise(session, ids)
    first = dict(session.execute(select(Candidate.id, Candidate.priority)).all())
    orders.prioritise(session, ids)
    assert dict(session.execute(select(Candidate.id, Candidate.priority)).all()) == first
    assert sorted(ids, key=lambda id_: -first[id_]) != ids


def test_one_of_each_cluster_comes_before_a_second() -> None:
    rng = np.random.default_rng(1)
    centres = np.eye(4, 8, dtype=np.float32)
    kinds = np.array([0] * 10 + [1] * 3 + [2] * 2 + [3])
    vectors = (centres[kinds] + rng.normal(0, 0.01, (len(kinds), 8))).astype(np.float32)
    found_places = places(vectors, seed=0)
    assert sorted(kinds[found_places == 0].tolist()) == [0, 1, 2, 3]
    assert found_places.max() == 9


def test_an_order_that_is_none_is_refused(session: Session) -> None:
    with pytest.raises(Invalid):
        orders.choose(session, SYSTEM, "best first")


def test_choosing_an_order_puts_the_queue_in_it_and_the_candidate_says_why_it_comes(
    session: Session, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.curation.pages.is_spot_check", lambda _candidate_id: False)
    found(session, "domain", 0.52)
    assert sign_in("elm").post("/prefilter/order", data={"order": "uncertain"}).status_code in (200, 303)
    assert session.scalars(select(Job.kind).where(Job.kind == "order")).one()
    alder = sign_in("alder")
    assert "Most uncertain first (0.52)." in alder.get("/review").text
    orders.choose(session, SYSTEM, "aligned")
    assert "Best aligned first. It has no score for this" in alder.get("/review").text
    assert session.scalar(select(Candidate.state)) is CandidateState.QUEUED
