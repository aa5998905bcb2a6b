"""What becomes of candidates while the language model is silent, when it speaks late, and when its budget is spent."""

from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.curation import actions as curation
from app.curation import leases
from app.db import transaction
from app.errors import Conflict
from app.operations.queries import overview
from app.prefilter import actions, funnel
from app.tables import (
    Candidate,
    CandidateState,
    Endpoint,
    Event,
    Job,
    JobState,
    Outcome,
    Stage,
    StageTodo,
    WaitReason,
)
from tests.curation.test_decide import decision
from tests.endpoints.server import ModelServer, fails, in_turn, says
from tests.factories import FAR, make_person
from tests.prefilter.test_pipeline import quiet, states, work  # noqa: F401  # `quiet` is a fixture
from tests.prompts.emptied import database_of_module, emptied  # noqa: F401  # fixtures
from tests.prompts.models import caption_in, make_endpoint, repeats, set_up
from tests.prompts.stage import (  # noqa: F401  # a fixture among them
    CAPTION,
    answering_model,
    arrive,
    finding,
    last,
    offered,
    ready,
    run_due,
)
from workers import chat

S = CandidateState
pytestmark = pytest.mark.usefixtures("emptied", "quiet")


# --- silence ------------------------------------------------------------------------------------


def close(session: Session, minutes: int = 10) -> None:
    """The endpoint failed too often; nobody calls it for some minutes."""
    until = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, minutes)
    session.execute(update(Endpoint).values(failures=10, down_since=func.clock_timestamp(), open_until=until))


def answers_again() -> None:
    with transaction() as session:
        session.execute(update(Endpoint).values(open_until=func.to_timestamp(0)))


def stage_job() -> Job:
    with transaction() as session:
        return session.scalars(select(Job).where(Job.arguments["stage"].astext == "llm").order_by(Job.id)).all()[-1]


def test_while_it_is_down_candidates_go_on_at_once_and_its_word_comes_later(model: ModelServer) -> None:
    better = "Basal cell carcinoma of the skin, peripheral palisading. H&E, 10x."
    model.behaviour = says(repeats(caption=better))
    (early,) = ready(model)
    with transaction() as session:
        close(session)
    work()
    with transaction() as session:
        late = arrive(session)
    work()
    assert states() == {early: (S.QUEUED, None), late: (S.QUEUED, None)}
    assert not model.asked
    job = stage_job()
    assert (job.state, job.wait_reason) == (JobState.QUEUED, WaitReason.ENDPOINT)
    assert "does not answer since" in job.message
    answers_again()
    run_due()
    assert [last(id_) for id_ in (early, late)] == [(better, "llm 1")] * 2
    assert states() == {early: (S.QUEUED, None), late: (S.QUEUED, None)}
    with transaction() as session:
        assert not session.scalar(select(func.count()).select_from(StageTodo))


def test_a_late_word_leaves_what_someone_holds_as_they_see_it(model: ModelServer) -> None:
    model.behaviour = says(repeats(caption="Basal cell carcinoma of the skin. H&E, 10x.", relevant="no"))
    ids = ready(model, *[CAPTION] * 4)
    with transaction() as session:
        session.get_one(Stage, "llm").threshold = 0.5
        close(session)
    work()
    with transaction() as session:
        alder = make_person(session, "alder")
        held = [lease.candidate_id for lease in leases.hold(session, alder)]
    (free,) = set(ids) - set(held)
    answers_again()
    run_due()
    assert [last(id_) for id_ in held] == [(CAPTION, "import")] * 3
    assert states() == {free: (S.FILTERED_OUT, "llm")} | dict.fromkeys(held, (S.QUEUED, None))
    assert {finding(id_).score for id_ in ids} == {0.0}
    with transaction() as session:
        leases.release(session, alder, FAR)
    run_due()
    assert set(states().values()) == {(S.FILTERED_OUT, "llm")}


def test_a_late_word_stops_or_lets_go_what_a_later_stage_has_still_to_look_at(model: ModelServer) -> None:
    model.behaviour = says(lambda asked: repeats(relevant="no" if "cat" in caption_in(asked) else "yes")(asked))
    good, bad = ready(model, CAPTION, "My cat on a microscope, what a day.")
    with transaction() as session:
        session.get_one(Stage, "llm").threshold = 0.5
        actions.pause(session, SYSTEM, "alignment", paused=True)
        close(session)
    work()
    with transaction() as session:
        (counts,) = [one for one in funnel.funnel(session)[1] if one.stage.name == "alignment"]
        assert counts.due == 2  # there they are, though the model has still to look at them
    answers_again()
    run_due()
    assert states() == {good: (S.FILTERING, None), bad: (S.FILTERED_OUT, "llm")}
    with transaction() as session:
        left = session.execute(select(StageTodo.stage, StageTodo.candidate_id)).all()
        assert [tuple(row) for row in left] == [("alignment", good)]
        actions.pause(session, SYSTEM, "alignment", paused=False)
    work()
    assert states()[good] == (S.QUEUED, None)


def test_what_was_decided_without_it_is_not_asked_about(model: ModelServer) -> None:
    (id_,) = ready(model)
    with transaction() as session:
        close(session)
    work()
    with transaction() as session:
        alder = make_person(session, "alder")
        (lease,) = leases.hold(session, alder)
        curation.decide(session, alder, decision(lease))
    answers_again()
    run_due()
    assert not model.asked
    with transaction() as session:
        assert session.get_one(Candidate, id_).state is S.ACCEPTED
        assert not session.scalar(select(func.count()).select_from(StageTodo))


def test_where_it_is_required_they_wait_and_the_job_says_how_many(model: ModelServer) -> None:
    ids = ready(model, CAPTION, CAPTION, required=True)
    with transaction() as session:
        close(session)
    work()
    assert {states()[id_][0] for id_ in ids} == {S.FILTERING}
    assert "2 candidates wait" in stage_job().message
    answers_again()
    run_due()
    assert {states()[id_][0] for id_ in ids} == {S.QUEUED}


def test_a_model_that_goes_silent_in_a_batch_keeps_what_it_said_and_is_asked_for_the_rest(model: ModelServer) -> None:
    model.behaviour = in_turn(says(repeats()), fails(401), says(repeats()))
    with transaction() as session:
        set_up(session, make_endpoint(session, model, in_flight=1))
        first, second = (arrive(session, f"{CAPTION} Case {n}.") for n in (1, 2))
    work()
    run_due()
    run_due()
    assert {states()[id_][0] for id_ in (first, second)} == {S.QUEUED}
    assert {finding(id_).outcome for id_ in (first, second)} == {Outcome.OK}
    assert len(model.asked) == 3


# --- a question at which it fails --------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("captions", [[f"{CAPTION} {word}." for word in ("Poison", "One", "Two", "Three")], ["Poison"]])
def test_one_question_at_which_the_server_fails_is_an_error_and_stops_nobody(
    model: ModelServer, monkeypatch: pytest.MonkeyPatch, captions: list[str], in_flight: int
) -> None:
    monkeypatch.setattr(chat, "TRIES", 1)
    said = model.behaviour
    model.behaviour = lambda asked, answer: (fails(500) if "Poison" in asked.user else said)(asked, answer)
    with transaction() as session:
        set_up(session, make_endpoint(session, model, in_flight=in_flight))
        poison, *others = (arrive(session, caption) for caption in captions)
    work()
    assert finding(poison).outcome is Outcome.ERROR
    assert finding(poison).evidence["why"] == "the model's server fails at this one, though it answers others"
    assert {finding(id_).outcome for id_ in others} <= {Outcome.OK}
    assert {state for state, _ in states().values()} == {S.QUEUED}
    with transaction() as session:
        assert session.scalars(select(Endpoint.down_since)).one() is None


def test_a_server_that_fails_at_everything_is_down(model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "TRIES", 1)
    model.behaviour = fails(500)
    ids = ready(model, *(f"{CAPTION} {n}." for n in range(5)), required=True)
    work()
    assert {states()[id_][0] for id_ in ids} == {S.FILTERING}
    assert stage_job().wait_reason is WaitReason.ENDPOINT


# --- the budget ---------------------------------------------------------------------------------


def test_it_stops_at_its_budget_and_goes_on_when_that_is_raised(model: ModelServer) -> None:
    budget: dict[str, Any] = {"since": "2020-01-01T00:00:00+00:00", "cost": None, "tokens": 240}
    captions = [f"{CAPTION} Case {n}." for n in range(4)]
    with transaction() as session:
        set_up(session, make_endpoint(session, model, in_flight=1), budget=budget, required=True)
        ids = [arrive(session, caption) for caption in captions]
    work()
    assert len(model.asked) == 2  # of 120 tokens each
    with transaction() as session:
        assert session.get_one(Stage, "llm").paused
        assert session.scalar(select(func.count()).where(Event.act == "prompt.budget_spent")) == 1
    assert "budget is spent" in stage_job().message
    assert sorted(state.value for state, _ in states().values()) == ["filtering", "filtering", "queued", "queued"]
    with transaction() as session:
        row = session.get_one(Stage, "llm")
        with pytest.raises(Conflict, match="budget is spent"):
            actions.pause(session, SYSTEM, "llm", paused=False)
        row.setting = row.setting | {"budget": budget | {"tokens": 10_000}}
        session.flush()
        actions.pause(session, SYSTEM, "llm", paused=False)
    work()
    assert {states()[id_][0] for id_ in ids} == {S.QUEUED}
    assert len(model.asked) == 4


def test_a_spent_budget_keeps_nobody_who_need_not_wait(model: ModelServer) -> None:
    budget: dict[str, Any] = {"since": "2020-01-01T00:00:00+00:00", "cost": None, "tokens": 120}
    first, second = ready(model, CAPTION, f"{CAPTION} Two.", budget=budget)
    with transaction() as session:
        session.execute(update(Endpoint).values(in_flight=1))
    work()
    with transaction() as session:
        assert session.get_one(Stage, "llm").paused
        third = arrive(session)
    work()
    assert states() == dict.fromkeys((first, second, third), (S.QUEUED, None))
    assert len(model.asked) == 1
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(StageTodo)) == 2  # its word may come later
        (need,) = (need for need in overview(session).needs if need.route == "prompts")
    assert need.text == "The language model’s budget is spent"
    assert need.detail == "2 candidates wait. Raise it, or count from now on."
