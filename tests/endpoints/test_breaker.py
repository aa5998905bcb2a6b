"""After ten failures in a row nobody calls an endpoint for a while, in no process; one answer ends that."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.db import transaction
from app.endpoints import actions, queries
from app.tables import Endpoint, Event, Rung
from tests.endpoints.calling import GOOD, ask
from tests.endpoints.server import ModelServer, fails, refuses, says
from tests.factories import make_endpoint
from workers.chat import Chat, EndpointDown


def fail(session: Session, endpoint: Endpoint, times: int) -> None:
    for _ in range(times):
        actions.note_failure(session, endpoint.id, "It does not answer in time.")
    session.refresh(endpoint)


def pause_is_over(session: Session, endpoint: Endpoint) -> None:
    endpoint.open_until = func.clock_timestamp() - timedelta(seconds=1)
    session.flush()


def acts(session: Session) -> list[str]:
    found = select(Event.act).where(Event.subject_kind == "endpoint").order_by(Event.id)
    return list(session.scalars(found))


def test_nine_failures_stop_nobody(session: Session) -> None:
    endpoint = make_endpoint(session)
    fail(session, endpoint, 9)
    assert queries.may_call(session, endpoint.id)
    assert (endpoint.failures, endpoint.last_error) == (9, "It does not answer in time.")
    assert endpoint.down_since is not None
    assert acts(session) == []


def test_the_tenth_does_for_some_seconds_and_is_an_event(session: Session) -> None:
    endpoint = make_endpoint(session)
    fail(session, endpoint, 10)
    assert not queries.may_call(session, endpoint.id)
    assert 8 < queries.closed_for(session, endpoint.id) <= 11
    assert acts(session) == ["endpoint.went_down"]


def test_calls_that_were_under_way_then_are_not_counted_again(session: Session) -> None:
    endpoint = make_endpoint(session)
    fail(session, endpoint, 42)
    assert endpoint.failures == 10
    assert queries.closed_for(session, endpoint.id) <= 11


def test_the_pause_doubles_up_to_ten_minutes(session: Session) -> None:
    endpoint = make_endpoint(session)
    fail(session, endpoint, 10)
    since = endpoint.down_since
    pauses = []
    for _ in range(12):
        pause_is_over(session, endpoint)
        fail(session, endpoint, 1)
        pauses.append(queries.closed_for(session, endpoint.id))
    for nth, pause in enumerate(pauses, 1):
        longest = min(600, 10 * 2**nth)
        assert 0.85 * longest <= pause <= 1.1 * longest
    assert (endpoint.down_since, endpoint.failures) == (since, 22)
    assert acts(session) == ["endpoint.went_down"]


def test_a_server_that_says_when_is_not_called_before(session: Session) -> None:
    endpoint = make_endpoint(session)
    actions.note_failure(session, endpoint.id, "It is busy (429).", retry_after=90)
    assert 85 < queries.closed_for(session, endpoint.id) <= 90
    actions.note_success(session, endpoint.id)
    assert queries.may_call(session, endpoint.id)


def test_one_answer_ends_it(session: Session) -> None:
    endpoint = make_endpoint(session)
    fail(session, endpoint, 10)
    actions.note_success(session, endpoint.id)
    session.refresh(endpoint)
    assert (endpoint.failures, endpoint.down_since, endpoint.last_error) == (0, None, "")
    assert queries.may_call(session, endpoint.id)
    assert acts(session) == ["endpoint.went_down", "endpoint.came_back"]


def test_an_endpoint_that_is_not_there_may_be_called_and_notes_nothing(session: Session) -> None:
    assert queries.may_call(session, 2**40)
    actions.note_failure(session, 2**40, "")
    actions.note_success(session, 2**40)
    assert acts(session) == []


@pytest.mark.usefixtures("own_database")
def test_chats_in_any_thread_share_what_the_row_knows() -> None:
    with ModelServer(fails(401)) as server:
        with transaction() as session:
            row = make_endpoint(session, base_url=server.url, in_flight=8)

        def outcome(_: int) -> str:
            with pytest.raises(EndpointDown) as caught:
                ask(Chat(row))
            return caught.value.why

        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(outcome, range(30)))
        called = len(server.asked)
        assert 10 <= called <= 13, "ten, and what was under way"
        assert said.count("It does not accept the key (401).") == called
        with pytest.raises(EndpointDown) as caught:
            ask(Chat(row))
        assert 0 < caught.value.retry_after <= 11
        server.behaviour = says(GOOD)
        with transaction() as session:
            session.execute(update(Endpoint).values(open_until=func.clock_timestamp()))
        assert ask(Chat(row)).answer == GOOD
        with transaction() as session:
            assert session.get_one(Endpoint, row.id).failures == 0


@pytest.mark.usefixtures("own_database")
def test_the_rung_that_was_learnt_is_where_the_next_chat_begins() -> None:
    with ModelServer(refuses(lambda asked: asked.format == "json_schema", says(GOOD))) as server:
        with transaction() as session:
            row = make_endpoint(session, base_url=server.url)
        ask(Chat(row))
        with transaction() as session:
            again = session.get_one(Endpoint, row.id)
            assert again.rung is Rung.JSON_OBJECT
        before = len(server.asked)
        ask(Chat(again))
        assert [asked.format for asked in server.asked[before:]] == ["json_object", "json_object"][
            : len(server.asked) - before
        ]
