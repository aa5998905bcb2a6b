"""The rules that the database itself holds."""

import itertools

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from app.curation.states import ARROWS
from app.db import Base
from app.jobs import record
from app.tables import CandidateState, Event
from tests.factories import make_candidate

APPEND_ONLY = ["finding", "review", "review_reason", "event", "snapshot_member", "prompt"]


def refused(session: Session, statement: str, **values: object) -> DBAPIError:
    with pytest.raises(DBAPIError) as caught, session.begin_nested():
        session.execute(text(statement), values)
    return caught.value


def test_the_trigger_knows_exactly_the_arrows_of_the_state_table(session: Session) -> None:
    body = session.scalar(text("SELECT prosrc FROM pg_proc WHERE proname = 'candidate_arrow'"))
    assert body
    states = [state.value for state in CandidateState]
    in_trigger = {pair for pair in itertools.product(states, states) if f"'{pair[0]}>{pair[1]}'" in body}
    in_code = {(old.value, new.value) for old, news in ARROWS.items() for new in news}
    assert in_trigger == in_code


def test_a_state_changes_only_along_an_arrow(session: Session) -> None:
    candidate = make_candidate(session, CandidateState.FILTERING)
    statement = "UPDATE candidate SET state = 'accepted' WHERE id = :id"
    assert "no arrow from filtering to accepted" in str(refused(session, statement, id=candidate.id))


def test_a_candidate_begins_as_incoming(session: Session) -> None:
    known = make_candidate(session)
    statement = """INSERT INTO candidate (post_id, image_id, import_id, position, state)
        SELECT post_id, image_id, import_id, 2, 'queued' FROM candidate WHERE id = :id"""
    assert "begins as incoming" in str(refused(session, statement, id=known.id))


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_append_only_tables_refuse_update_delete_and_truncate(session: Session, table: str) -> None:
    record(session, "test.happened", "test", 1)
    column = next(iter(inspect(Base.metadata.tables[table]).columns)).name
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        error = refused(session, statement)
        assert isinstance(error, ProgrammingError), statement
        assert "permission denied" in str(error) or "append-only" in str(error)


def test_even_the_owner_cannot_rewrite_history(session: Session) -> None:
    record(session, "test.happened", "test", 1)
    session.execute(text("RESET ROLE"))
    try:
        assert "append-only" in str(refused(session, "UPDATE event SET act = 'other'"))
    finally:
        session.execute(text("SET ROLE ipath_app"))
    assert session.scalars(select(Event.act).where(Event.subject_kind == "test")).all() == ["test.happened"]


def test_the_app_owns_no_table(session: Session) -> None:
    owners = session.scalars(text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")).all()
    assert session.scalar(text("SELECT current_user")) == "ipath_app"
    assert "ipath_app" not in owners


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE candidate SET stopped_by = NULL WHERE id = :filtered_out",
        "UPDATE candidate SET position = 0 WHERE id = :queued",
        "UPDATE candidate SET flag_origin = 'person' WHERE id = :queued",
        "INSERT INTO assignment (candidate_id, round, purpose, slot) VALUES (:queued, 1, 'main', 1)",
        "INSERT INTO assignment (candidate_id, round, purpose, slot) VALUES (:queued, 1, 'gold', 2)",
        "INSERT INTO assignment (candidate_id, round, purpose) VALUES (:queued, 1, 'main')",
        "INSERT INTO \"user\" (name, role, password_hash) VALUES ('Elm', 'admin', 'x')",
        "INSERT INTO \"user\" (name, role, password_hash) VALUES ('elm', 'owner', 'x')",
        "INSERT INTO \"user\" (name, role, password_hash, adjudicator) VALUES ('elm', 'admin', 'x', true)",
        "INSERT INTO job (kind, queue, state) VALUES ('test', 'cpu', 'running')",
        "INSERT INTO job (kind, queue) VALUES ('test', 'tape')",
        "INSERT INTO image (sha256, source_sha256, width, height, size) VALUES ('x', 'y', 1, 1, 1)",
    ],
)
def test_rows_that_break_a_rule_are_refused(session: Session, statement: str) -> None:
    ids = {
        "queued": make_candidate(session).id,
        "filtered_out": make_candidate(session, CandidateState.FILTERED_OUT).id,
    }
    values = {name: id_ for name, id_ in ids.items() if f":{name}" in statement}
    assert isinstance(refused(session, statement, **values), IntegrityError)


def test_a_taken_back_candidate_may_come_again_but_a_living_one_is_unique(session: Session) -> None:
    gone = make_candidate(session, CandidateState.WITHDRAWN)
    again = """INSERT INTO candidate (post_id, image_id, import_id, position)
        SELECT post_id, image_id, import_id, position FROM candidate WHERE id = :id"""
    session.execute(text(again), {"id": gone.id})
    assert isinstance(refused(session, again, id=gone.id), IntegrityError)
