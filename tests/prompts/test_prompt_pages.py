"""The pages about prompts, in-process: versions, the setting, taking into use, and who may."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import jobs
from app.prompts import actions, queries
from app.prompts.actions import Given
from app.prompts.default import TEXT
from app.prompts.policies import Mode
from app.prompts.queries import Question
from app.tables import (
    CandidateState,
    Event,
    EvidenceText,
    Job,
    LlmAnswer,
    Prompt,
    Rung,
    Stage,
    StageTodo,
    Trial,
    TrialKind,
    WorkQueue,
)
from tests.factories import make_candidate
from tests.prompts.models import ANSWER, first_prompt, look, make_endpoint, make_trial, set_up
from tests.web_client import SignIn

NOWHERE = "http://127.0.0.1:9/v1"


def acts(session: Session) -> list[str]:
    return list(session.scalars(select(Event.act).order_by(Event.id)))


def test_every_installation_begins_with_one_prompt(session: Session) -> None:
    assert first_prompt(session).text == TEXT


def test_without_an_endpoint_the_page_says_where_to_add_one(sign_in: SignIn) -> None:
    page = sign_in("elm").get("/prefilter/prompts").text
    assert "There is no endpoint yet." in page
    assert 'href="/prefilter/endpoints"' in page


def test_an_edit_becomes_a_new_version_and_the_old_one_stays(sign_in: SignIn, session: Session) -> None:
    elm, first = sign_in("elm"), first_prompt(session)
    text = first.text.replace("gross specimens", "macroscopy")
    sent = elm.post("/prefilter/prompts", data={"text": text, "note": "macroscopy", "from": str(first.id)})
    assert sent.status_code == 303
    second = session.scalars(select(Prompt).where(Prompt.version == 2)).one()
    assert (second.text, second.note) == (text, "macroscopy")
    assert first_prompt(session).text == TEXT
    page = elm.get(f"/prefilter/prompts/{second.id}?against={first.id}").text
    assert "<ins>macroscopy</ins>" in page
    assert "prompt.added" in acts(session)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Write what the model is asked."),
        (TEXT, "Version 1 says exactly this"),
        ("x" * 20_001, "20,000 characters"),
    ],
)
def test_an_empty_unchanged_or_endless_prompt_is_refused_with_what_was_typed(
    sign_in: SignIn, text: str, said: str
) -> None:
    page = sign_in("elm").post("/prefilter/prompts", data={"text": text, "note": "mine", "from": "1"})
    assert page.status_code == 422
    assert said in page.text
    assert 'value="mine"' in page.text


def test_taking_a_version_into_use_says_so_and_runs_the_stage_again(sign_in: SignIn, session: Session) -> None:
    endpoint, first = make_endpoint(session, NOWHERE), first_prompt(session)
    elm = sign_in("elm")
    assert elm.post(f"/prefilter/prompts/{first.id}/use", data={"endpoint": endpoint.id}).status_code == 303
    session.expire_all()
    wanted = queries.wanted(session)
    assert (wanted.endpoint, wanted.prompt) == (endpoint.id, first.id)
    assert session.scalars(select(Job.arguments).where(Job.kind == "rerun")).one() == {
        "stage": "llm",
        "candidates": None,
    }
    used = session.scalars(select(Event).where(Event.act == "prompt.used")).one()
    assert used.details == {"from": None, "to": "version 1 on Model"}
    assert "Version 1" in elm.get("/prefilter/prompts").text
    assert elm.post("/prefilter/prompts/stop").status_code == 303
    session.expire_all()
    assert not queries.wanted(session).is_set_up


def test_a_retired_endpoint_is_not_taken(sign_in: SignIn, session: Session) -> None:
    endpoint = make_endpoint(session, NOWHERE, retired=True)
    sent = sign_in("elm").post(f"/prefilter/prompts/{first_prompt(session).id}/use", data={"endpoint": endpoint.id})
    assert sent.status_code == 409


SETTING = {"mode": "rank", "required": "true", "min_support": "80", "cost": "2.5", "tokens": "100,000"}


def test_the_setting_is_saved_with_what_changed(sign_in: SignIn, session: Session) -> None:
    set_up(session, make_endpoint(session, NOWHERE))
    elm = sign_in("elm")
    assert elm.post("/prefilter/prompts/setting", data=SETTING).status_code == 303
    session.expire_all()
    wanted = queries.wanted(session)
    assert (wanted.mode, wanted.required, wanted.min_support, wanted.with_picture) == (Mode.RANK, True, 0.8, False)
    assert wanted.budget
    assert (wanted.budget.cost, wanted.budget.tokens) == (2.5, 100_000)
    changed = session.scalars(select(Event.details).where(Event.act == "prompt.setting_changed")).one()["changed"]
    assert changed["mode"] == ["filter", "rank"]
    assert changed["budget"] == ["none", "cost 2.5, 100,000 tokens"]
    kinds = session.scalars(select(Job.kind).order_by(Job.kind)).all()
    assert kinds == ["rerun", "threshold"]  # support is judged anew, and the line stops nobody any more
    since = wanted.budget.since
    elm.post("/prefilter/prompts/setting", data=SETTING | {"cost": "5"})
    session.expire_all()
    raised = queries.wanted(session).budget
    assert raised
    assert (raised.cost, raised.since) == (5.0, since)
    elm.post("/prefilter/prompts/budget")
    session.expire_all()
    assert queries.wanted(session).budget.since > since  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"min_support": "140"}, "Use a share from 0 to 100 %."),
        ({"cost": "-1"}, "Use a number above 0"),
        ({"cost": "nan"}, "Use a number above 0"),
        ({"tokens": "many"}, "Use a number above 0"),
        ({"with_picture": "true"}, "takes no pictures"),
        ({"mode": "accept"}, "filter"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    sign_in: SignIn, session: Session, sent: dict[str, str], said: str
) -> None:
    set_up(session, make_endpoint(session, NOWHERE))
    page = sign_in("elm").post("/prefilter/prompts/setting", data={"min_support": "70"} | sent)
    assert page.status_code == 422
    assert said in page.text


def test_the_page_shows_what_was_spent_of_the_budget(sign_in: SignIn, session: Session) -> None:
    endpoint = make_endpoint(session, NOWHERE)
    budget = {"since": "2020-01-01T00:00:00+00:00", "cost": 2.0, "tokens": None}
    set_up(session, endpoint, budget=budget)
    keep(session, endpoint.id, cost=0.5)
    page = sign_in("elm").get("/prefilter/prompts").text
    assert "Cost: 0.50 of 2.00 since 1 Jan 2020" in page
    assert re.search(r'<progress[^>]*value="0.5" max="2.0"', page)


def keep(
    session: Session, endpoint_id: int, cost: float, caption: str = "c", job_id: int | None = None, seconds: float = 1
) -> None:
    asked = Question(endpoint_id, "m", first_prompt(session).id, caption, "")
    given = Given("{}", "m", Rung.PROMPT, 10, 20, cost, seconds)
    actions.keep_answer(session, asked, make_candidate(session).id, given, job_id)


def test_a_spent_budget_is_named_and_no_button_lets_the_stage_go_on(sign_in: SignIn, session: Session) -> None:
    endpoint = make_endpoint(session, NOWHERE)
    set_up(session, endpoint, budget={"since": "2020-01-01T00:00:00+00:00", "cost": 0.5, "tokens": None})
    session.get_one(Stage, "llm").paused = True
    elm = sign_in("elm")
    assert "The stage is paused." in elm.get("/prefilter/prompts").text
    keep(session, endpoint.id, cost=0.5)
    page = elm.get("/prefilter/prompts").text
    assert "The budget is spent." in page
    assert "llm/resume" not in page
    assert elm.post("/prefilter/llm/resume").status_code == 409


def test_the_rate_counts_the_stages_own_answers_while_it_asked(session: Session) -> None:
    endpoint = make_endpoint(session, NOWHERE)
    stage, trial = (jobs.submit(session, kind, WorkQueue.LLM, {}).id for kind in ("prefilter", "trial"))
    ago = {"a": 500, "b": 490, "c": 480, "d": 60, "e": 50}  # seconds, with a long pause after the third
    for caption, seconds in ago.items():
        keep(session, endpoint.id, 0, caption, stage, seconds=10)
        keep(session, endpoint.id, 0, f"{caption} tried", trial, seconds=10)
        at = func.clock_timestamp() - timedelta(seconds=seconds)
        session.execute(update(LlmAnswer).where(LlmAnswer.caption_sha256 == caption).values(at=at))
    assert queries.pace(session).per_minute == pytest.approx(6, abs=0.1)


def test_the_page_looks_again_while_candidates_are_due(sign_in: SignIn, session: Session) -> None:
    set_up(session, make_endpoint(session, NOWHERE))
    elm, polls = sign_in("elm"), 'hx-trigger="every 2s"'
    assert polls not in elm.get("/prefilter/prompts").text
    session.add(StageTodo(stage="llm", candidate_id=make_candidate(session, CandidateState.FILTERING).id))
    session.flush()
    assert polls in elm.get("/prefilter/prompts").text


def test_a_trial_names_its_versions_what_was_left_out_and_the_rule_that_struck(
    sign_in: SignIn, session: Session
) -> None:
    trial, candidate = session.get_one(Trial, make_trial(session)), make_candidate(session)
    answer = ANSWER | {"caption": "Melanoma."}
    text_id = actions.keep_text(session, candidate.id, json.dumps(answer))
    row = {"text": text_id, "why": "", "score": 1.0, "support": 0.1, "rewrote": True, "struck": ["support", "kept"]}
    row |= {"tokens_in": 1, "tokens_out": 1, "cached": False}
    trial.candidates = [candidate.id]
    trial.result = {"left_out": {"held": 0, "unchecked": 2, "private": 1}, "rows": [{str(candidate.id): row}]}
    session.flush()
    page = sign_in("elm").get(f"/prefilter/prompts/trials/{trial.id}").text
    assert "<h1>Version 1 on Nowhere, tried</h1>" in page
    assert "2 not looked at for private details; 1 with a caption of nothing but" in page
    assert "Too few of its words are in the original; less than 20% of the original is kept." in page
    assert "Take version 1 into use" in page


def test_an_answer_asked_for_again_costs_both_times(session: Session) -> None:
    endpoint = make_endpoint(session, NOWHERE)
    keep(session, endpoint.id, 0.5)
    keep(session, endpoint.id, 0.25)
    assert session.scalar(select(func.count()).select_from(LlmAnswer)) == 1
    assert queries.spent(session).cost == 0.75


def test_a_withdrawn_candidate_keeps_no_words_of_an_answer_that_comes_too_late(session: Session) -> None:
    gone = make_candidate(session, CandidateState.WITHDRAWN)
    text_id = actions.keep_text(session, gone.id, "words of a post")
    assert session.get_one(EvidenceText, text_id).text is None


def test_a_try_asks_about_ten_candidates_and_a_comparison_about_decided_ones(sign_in: SignIn, session: Session) -> None:
    endpoint, first = make_endpoint(session, NOWHERE), first_prompt(session)
    elm = sign_in("elm")
    url = f"/prefilter/prompts/{first.id}/try"
    assert elm.post(url, data={"endpoint": endpoint.id}).status_code == 409  # nobody to try it on
    for _ in range(12):
        look(session, make_candidate(session))
    assert elm.post(url, data={"endpoint": endpoint.id}).headers["location"].startswith("/prefilter/prompts/trials/")
    (trial,) = session.scalars(select(Trial)).all()
    assert (trial.kind, len(trial.candidates)) == (TrialKind.TRY, 10)
    assert "trying Version 1 on Model on 10 candidates" in elm.get("/activity").text
    sides = {"prompt_1": first.id, "endpoint_1": endpoint.id, "prompt_2": first.id, "endpoint_2": endpoint.id}
    same = elm.post("/prefilter/prompts/compare", data=sides)
    assert same.status_code == 422
    assert "Both sides are the same." in same.text
    other = make_endpoint(session, NOWHERE, name="Other")
    assert elm.post("/prefilter/prompts/compare", data=sides | {"endpoint_2": other.id}).status_code == 409


def test_a_reviewer_may_do_none_of_it(sign_in: SignIn, session: Session) -> None:
    alder: Any = sign_in("alder")
    assert alder.get("/prefilter/prompts").status_code == 403
    assert alder.post("/prefilter/prompts", data={"text": "x"}).status_code == 403
    assert session.get_one(Stage, "llm").setting == {}
