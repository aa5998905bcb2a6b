"""The language-model stage in a real worker, against a real llama.cpp server with a real small model."""

import json

import pytest
from sqlalchemy import select

from app.db import transaction
from app.prompts.answers import SCORES, Answer
from app.tables import Candidate, CandidateState, Endpoint, EvidenceText, Job, LlmAnswer, Outcome
from tests.endpoints import llama
from tests.prompts.models import make_endpoint, set_up
from tests.prompts.stage import CAPTION, arrive, finding, last
from tests.test_faults import idle, site, until, worker  # noqa: F401  # `site` is a fixture

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("site")]


def test_a_caption_goes_through_the_stage_to_a_real_model_and_comes_back_as_a_finding() -> None:
    with llama.running() as url:
        with transaction() as session:
            endpoint = make_endpoint(session, url, in_flight=1, timeout_seconds=300, max_tokens=192)
            set_up(session, endpoint)
            id_ = arrive(session, with_blob=True)
        with worker():
            until(idle, 540)
    found = finding(id_)
    said = found.evidence
    with transaction() as session:
        assert session.scalars(select(Job.state).where(Job.kind == "prefilter").distinct()).all() == ["succeeded"]
        assert session.scalars(select(Endpoint.failures)).one() == 0, "the server answered"
        kept = session.scalars(select(LlmAnswer)).one()
        words = session.get_one(EvidenceText, kept.text_id).text or ""
    assert (said["endpoint"], said["prompt"], said["tokens_in"]) == (kept.endpoint_id, 1, kept.tokens_in)
    assert kept.tokens_in > 300, "the prompt alone has that many"
    assert kept.tokens_out > 0
    assert CAPTION not in str(said)
    # What so small a model says is its own affair: a valid answer is read, and one that is not is said to be none.
    if found.outcome is Outcome.OK:
        answer = Answer.model_validate(json.loads(words))
        assert (found.label, found.score, said["rung"]) == (answer.relevant, SCORES[answer.relevant], "json_schema")
    else:
        assert (found.outcome, words) == (Outcome.ERROR, "")
        assert said["why"]
    text, made_by = last(id_)
    assert (made_by == "llm 1") == bool(said.get("proposed") and text != CAPTION)
    with transaction() as session:
        assert session.get_one(Candidate, id_).state is CandidateState.QUEUED
