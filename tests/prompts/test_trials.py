"""Trials through the worker's own functions, against a real HTTP server."""

from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.curation import actions as curation
from app.curation import leases, moves
from app.db import transaction
from app.prompts import actions, queries, trials
from app.tables import (
    Candidate,
    CandidateState,
    Endpoint,
    Finding,
    Job,
    JobState,
    LlmAnswer,
    Outcome,
    ReviewKind,
    Trial,
    WaitReason,
)
from tests.curation.test_decide import decision
from tests.endpoints.server import ModelServer, fails, says
from tests.factories import FAR, make_candidate, make_person
from tests.prefilter.test_pipeline import quiet, work  # noqa: F401  # `quiet` is a fixture
from tests.prompts.emptied import database_of_module, emptied  # noqa: F401  # fixtures
from tests.prompts.models import caption_in, first_prompt, look, make_endpoint, repeats
from tests.prompts.stage import CAPTION, answering_model  # noqa: F401  # a fixture among them
from workers.stages.private import NOTHING_LEFT

pytestmark = pytest.mark.usefixtures("emptied", "quiet")


def the_trial() -> Trial:
    with transaction() as session:
        return session.scalars(select(Trial)).one()


def checked(session: Session, caption: str = CAPTION, **values: Any) -> Candidate:
    """A candidate in whose caption nothing private was found."""
    candidate = make_candidate(session, caption=caption)
    look(session, candidate, **values)
    return candidate


def hold(session: Session, candidate: Candidate) -> None:
    moves.refilter(session, [candidate.id], CandidateState.QUEUED)
    moves.hold(session, [candidate.id], "private")


def try_first(session: Session, model: ModelServer, *, with_picture: bool = False) -> Trial:
    endpoint = make_endpoint(session, model, takes_pictures=with_picture)
    return actions.try_prompt(session, SYSTEM, first_prompt(session).id, endpoint.id, with_picture=with_picture)


def test_a_try_shows_each_answer_beside_what_it_was_made_from_and_changes_nothing(model: ModelServer) -> None:
    model.behaviour = says(repeats(caption=f"{CAPTION} Perineural invasion."))
    with transaction() as session:
        ids = [checked(session, CAPTION).id for _ in range(3)]
        before = session.execute(select(Candidate.id, Candidate.caption_id)).all()
        prompt, endpoint = first_prompt(session), make_endpoint(session, model)
        actions.try_prompt(session, SYSTEM, prompt.id, endpoint.id, with_picture=False)
    work()
    with transaction() as session:
        shown = trials.shown(session, session.scalars(select(Trial)).one())
        assert [one.candidate_id for one in shown] == ids
        (answer,) = shown[0].sides
        assert answer
        assert (answer.relevant, answer.row["tokens_in"]) == ("yes", 100)
        assert answer.unsupported == ["Perineural invasion."]
        assert ("Organ", "Skin") in answer.fields
        assert [piece.text.strip() for piece in answer.pieces if piece.op == "ins"] == ["Perineural invasion."]
        assert session.execute(select(Candidate.id, Candidate.caption_id)).all() == before
        assert not session.scalar(select(func.count()).select_from(Finding).where(Finding.stage == "llm"))
    assert len(model.asked) == 1  # all three have the same caption
    assert "Perineural" not in str(the_trial().result)


def test_a_trial_of_a_silent_model_waits_and_goes_on_where_it_was(model: ModelServer) -> None:
    with transaction() as session:
        for number in range(3):
            checked(session, f"{CAPTION} Case {number}.")
        prompt, endpoint = first_prompt(session), make_endpoint(session, model, in_flight=1)
        actions.try_prompt(session, SYSTEM, prompt.id, endpoint.id, with_picture=False)
    said = model.behaviour
    model.behaviour = lambda asked, answer: (said if len(model.asked) == 1 else fails(401))(asked, answer)
    work()
    with transaction() as session:
        job = session.scalars(select(Job)).one()
        assert (job.state, job.wait_reason, job.done) == (JobState.QUEUED, WaitReason.ENDPOINT, 1)
        assert job.message == "Model does not answer."
        session.execute(update(Job).values(not_before=func.to_timestamp(0)))
        session.execute(update(Endpoint).values(open_until=func.to_timestamp(0)))
    model.behaviour = said
    work()
    with transaction() as session:
        assert session.scalars(select(Job.state)).one() is JobState.SUCCEEDED
        assert session.scalar(select(func.count()).select_from(LlmAnswer)) == 3
    asked = [caption_in(one) for one in model.asked]
    assert len(asked) == len(set(asked)) + 1  # the one that failed


def decide(session: Session, kind: ReviewKind, caption: str, **values: Any) -> int:
    """A candidate that someone accepted or rejected."""
    candidate = checked(session, caption)
    oak = make_person(session, f"oak{candidate.id}")
    (lease,) = leases.hold(session, oak)
    curation.decide(session, oak, decision(lease, kind, caption=caption, **values))
    leases.release(session, oak, FAR)
    return candidate.id


def test_a_comparison_holds_two_prompts_against_what_people_decided(model: ModelServer) -> None:
    good = [f"{CAPTION} Case {number}." for number in range(3)]
    bad = ["My cat on the bench.", "Lunch in the lab."]

    def judge(asked):  # type: ignore[no-untyped-def]
        """The second prompt tells what is relevant, the first finds everything so."""
        knows = "carefully" in asked.system
        relevant = "yes" if not knows or caption_in(asked) in good else "no"
        return repeats(relevant=relevant)(asked)

    model.behaviour = says(judge)
    with transaction() as session:
        for caption in good:
            decide(session, ReviewKind.ACCEPT, caption)
        for caption in bad:
            decide(session, ReviewKind.REJECT, caption)
        endpoint, first = make_endpoint(session, model), first_prompt(session)
        second = actions.add_prompt(session, SYSTEM, f"{first.text} Look carefully.", "")
        sides = [(first.id, endpoint.id, False), (second.id, endpoint.id, False)]
        trial_id = actions.compare(session, SYSTEM, sides, 50).id
    work()
    with transaction() as session:
        trial = queries.trial(session, trial_id).trial
        (one, other), difference = trials.figures(trial.result)
        assert one.agreement
        assert other.agreement
        assert (one.agreement.share, other.agreement.share) == (0.6, 1.0)
        assert other.stopped_bad
        assert other.stopped_bad.share == 1.0
        assert (one.distance, one.published) == ([0.0, 0.0, 0.0], 3)
        assert difference
        assert (difference.first, difference.second, difference.judged) == (0, 2, 5)
        assert (one.tokens, one.cost) == (5 * 120, pytest.approx(5 * 140 / 1e6))
        shown = trials.shown(session, trial)
        assert len(shown) == 2  # where the first is not of people's opinion


def test_a_trial_draws_only_what_may_be_sent_and_says_what_it_left_out(model: ModelServer) -> None:
    with transaction() as session:
        sent = checked(session)
        checked(session, "MRN 1", label=NOTHING_LEFT)
        checked(session, "Changed since.", stale=True)
        make_candidate(session, caption="Never looked at.")
        checked(session, "Failed.", outcome=Outcome.ERROR)
        held = checked(session, "Dr. Ada Example saw this.")
        hold(session, held)
        trial = try_first(session, model)
        assert trial.candidates == [sent.id]
        assert trial.result["left_out"] == {"held": 1, "unchecked": 3, "private": 1}


def test_what_is_held_after_the_draw_is_not_asked_about(model: ModelServer) -> None:
    with transaction() as session:
        sent, held = checked(session), checked(session, f"{CAPTION} Dr. Ada Example.")
        assert len(try_first(session, model).candidates) == 2
        hold(session, held)
    work()
    assert [caption_in(asked) for asked in model.asked] == [CAPTION]
    assert list(the_trial().result["rows"][0]) == [str(sent.id)]


def test_a_rejection_that_is_not_about_relevance_does_not_count(model: ModelServer) -> None:
    with transaction() as session:
        decide(session, ReviewKind.REJECT, "Twice.", reasons=["duplicate", "image_too_poor"])
        decide(session, ReviewKind.REJECT, "A cat.", reasons=["duplicate", "not_histopathology"])
        endpoint, first = make_endpoint(session, model), first_prompt(session)
        second = actions.add_prompt(session, SYSTEM, f"{first.text} Look carefully.", "")
        actions.compare(session, SYSTEM, [(one.id, endpoint.id, False) for one in (first, second)], 50)
    work()
    trial = the_trial()
    (one, _), difference = trials.figures(trial.result)
    assert trial.result["other"] == 1
    assert one.agreement
    assert difference
    assert (one.agreement.judged, difference.judged) == (1, 1)
