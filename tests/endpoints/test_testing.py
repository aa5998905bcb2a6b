"""The Test button's job finds out what a server really does, and the page says it in plain words."""

from typing import Any
from uuid import uuid4

import pytest

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.endpoints import actions
from app.jobs import claim
from app.tables import Endpoint, JobState, Rung
from tests.endpoints.calling import endpoint
from tests.endpoints.server import MODEL, Asked, Behaviour, ModelServer, fails, fitting, hangs, obeys, refuses, says
from tests.factories import make_endpoint
from workers.chat import Chat
from workers.endpoints import run_test, tried

pytestmark = pytest.mark.usefixtures("database_url")
WORD = {"word": "hello"}


def found(behaviour: Behaviour, **values: Any) -> tuple[dict[str, Any], Rung | None]:
    with ModelServer(behaviour) as server:
        return tried(Chat(endpoint(server.url, **values), pause=0.01))


def test_a_server_that_holds_to_the_schema() -> None:
    what, rung = found(obeys(), price_in=1.0, price_out=2.0)
    assert rung is Rung.JSON_SCHEMA
    assert (what["answers"], what["schema"], what["model"], what["picture"]) == (True, "held", MODEL, "")
    assert (what["tokens_in"], what["tokens_out"]) == (100, 20)
    assert what["cost"] == pytest.approx(140e-6)
    assert what["seconds"] > 0
    assert what["tokens_a_second"] > 0


def test_a_server_that_takes_a_schema_and_ignores_it_is_told_from_one_that_holds_to_it() -> None:
    what, rung = found(says(WORD))
    assert (what["answers"], what["schema"], rung) == (True, "ignored", Rung.JSON_OBJECT)


def test_the_word_that_only_the_schema_knows_is_nowhere_in_the_question() -> None:
    with ModelServer(obeys()) as server:
        tried(Chat(endpoint(server.url)))
        (asked,) = server.asked
        assert asked.schema
        word = asked.schema["properties"]["word"]["enum"][0]
        assert word not in asked.system + asked.user


def test_a_server_that_takes_no_schema() -> None:
    what, rung = found(refuses(lambda asked: asked.format == "json_schema", says(WORD), 422))
    assert (what["schema"], rung) == ("refused", Rung.JSON_OBJECT)


def test_a_server_that_takes_no_format_at_all() -> None:
    what, rung = found(refuses(lambda asked: bool(asked.format), says(WORD)))
    assert (what["schema"], rung) == ("refused", Rung.PROMPT)


def test_a_model_that_never_answers_in_json_can_not_be_used() -> None:
    what, rung = found(says("Hello!"))
    assert (what["answers"], what["why"], rung) == (True, "The answer holds no JSON.", None)


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (fails(500), "It fails (500)."),
        (fails(401), "It does not accept the key (401)."),
        (hangs(), "It does not answer in time."),
    ],
)
def test_a_server_that_does_not_answer(behaviour: Behaviour, why: str) -> None:
    what, rung = found(behaviour, timeout_seconds=1)
    assert (what["answers"], what["why"], rung) == (False, why, None)


@pytest.mark.parametrize(
    ("told", "said"), [({"colour": "blue"}, "seen"), ({"colour": "red"}, "taken"), ("A picture.", "taken")]
)
def test_a_picture_is_taken_or_even_seen(told: Any, said: str) -> None:
    def content(asked: Asked) -> Any:
        return told if asked.picture.startswith("data:image/jpeg;base64,") else fitting(asked.schema or {})

    what, _ = found(says(content), takes_pictures=True)
    assert what["picture"] == said


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_picture_is_refused_and_the_text_is_not(status: int) -> None:
    what, rung = found(refuses(lambda asked: bool(asked.picture), obeys(), status), takes_pictures=True)
    assert (what["picture"], what["answers"], rung) == ("refused", True, Rung.JSON_SCHEMA)


def run(endpoint_id: int) -> None:
    with transaction() as session:
        job_id = actions.ask_for_test(session, SYSTEM, endpoint_id).id
    job = claim(job_id)
    assert job
    run_test(job)
    job.finish(JobState.SUCCEEDED)


@pytest.mark.usefixtures("own_database")
def test_what_was_found_is_kept_and_ends_a_breakers_pause() -> None:
    with ModelServer(obeys()) as server:
        with transaction() as session:
            row = make_endpoint(session, base_url=server.url)
            for _ in range(10):
                actions.note_failure(session, row.id, "It fails (500).")
        run(row.id)
        with transaction() as session:
            kept = session.get_one(Endpoint, row.id)
            assert (kept.rung, kept.test["schema"], kept.failures) == (Rung.JSON_SCHEMA, "held", 0)
            assert kept.tested_at
        server.behaviour = fails(401)
        run(row.id)
        with transaction() as session:
            kept = session.get_one(Endpoint, row.id)
            assert (kept.test["answers"], kept.test["why"]) == (False, "It does not accept the key (401).")
            assert (kept.rung, kept.test["schema"]) == (Rung.JSON_SCHEMA, "held"), "what once worked is worth a try"
            assert (kept.failures, kept.last_error) == (1, "It does not accept the key (401).")


@pytest.mark.usefixtures("own_database")
def test_a_test_of_what_is_another_server_by_now_says_nothing_of_it() -> None:
    with transaction() as session:
        row = make_endpoint(session, name=f"endpoint {uuid4()}")

    def change_meanwhile(asked: Asked, answer: Any) -> None:
        with transaction() as session:
            session.get_one(Endpoint, row.id).model = "another"
        obeys()(asked, answer)

    with ModelServer(change_meanwhile) as server:
        with transaction() as session:
            session.get_one(Endpoint, row.id).base_url = server.url
        run(row.id)
    with transaction() as session:
        kept = session.get_one(Endpoint, row.id)
        assert (kept.test, kept.rung, kept.tested_at) == ({}, None, None)
