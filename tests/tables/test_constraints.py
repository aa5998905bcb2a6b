"""Each unique and check constraint of every table refuses the row that breaks it."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import CheckConstraint, Table, UniqueConstraint, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import Base
from tests.factories import FAR

Row = dict[str, Any]
TABLES = Base.metadata.tables

# What a good row of each table says beside its references, which name the other rows here.
GOOD: dict[str, Row] = {
    "author": {"platform": "instagram", "account_id": "1"},
    "class_prompts": {"layout": "kather", "version": 1, "names": {}, "templates": []},
    "endpoint": {"name": "p", "base_url": "http://localhost", "model": "m"},
    "prompt": {"version": 7, "text": "t"},
    "encoder": {"name": "e", "source": "s", "model": "m", "width": 2, "kind": "image", "weights": "random"},
    "evaluation_set": {"name": "e", "layout": "kather", "folder": "0/e"},
    "evaluation": {"task": "zero_shot", "settings": {}, "settings_sha256": "x"},
    "image": {"sha256": "a" * 64, "source_sha256": "b" * 64, "width": 1, "height": 1, "size": 1},
    "label_set": {"name": "l"},
    "queue": {"name": "q"},
    "source": {"name": "s", "kind": "files", "consent": "agreed"},
    "query_vector": {"sha256": "q", "text": "glands"},
    "user": {"name": "rowan", "role": "reviewer", "password_hash": "x"},
    "classifier": {"name": "c", "head": {}, "metrics": {}},
    "import": {"origin": "o", "location": {}},
    "duplicate_edit": {"kind": "split"},
    "image_match": {"cosine": 0.9, "agrees": 0.9, "covers_a": 1.0, "covers_b": 0.6},
    "job": {"kind": "test", "queue": "cpu", "dedupe": "d"},
    "label": {"label": "histology"},
    "post": {"platform": "instagram", "natural_key": "n", "shortcode": "C", "media_pk": "1"},
    "saved_view": {"name": "v", "query": "state=queued"},
    "session": {"token_sha256": "t"},
    "withdrawal": {"kind": "post", "key": "k"},
    "snapshot": {"number": 1, "seed": 1, "event_position": 1},
    "run": {"architecture": "ViT-B-32", "recipe": "scratch", "settings": {}},
    "worker": {"host": "h", "pid": 1, "queues": []},
    "candidate": {"position": 1},
    "caption": {"kind": "raw", "version": 1, "text_sha256": "x", "made_by": "import", "text": "x"},
    "evidence_text": {"kind": "alt_text", "text_sha256": "x"},
    "llm_answer": {
        "model": "m",
        "caption_sha256": "x",
        "rung": "prompt",
        "tokens_in": 1,
        "tokens_out": 1,
        "seconds": 1,
    },
    "trial": {"kind": "try", "sides": [], "candidates": []},
    "import_file": {"name_sha256": "n", "outcome": "used", "name": "n"},
    "assignment": {"round": 1, "purpose": "main", "slot": 1},
    "finding": {"stage": "quality", "stage_version": "1", "input_hash": "h", "outcome": "ok"},
    "import_entry": {"ordinal": 1, "outcome": "taken"},
    "finding_now": {"stage": "quality", "outcome": "ok"},
    "review": {"round": 1, "purpose": "main", "kind": "accept"},
    "snapshot_member": {"key": "000000000001", "image_sha256": "a" * 64, "split": "train", "row": {}},
}
OPTIONAL = {"evaluation": ["set_id"], "assignment": ["user_id"], "import_entry": ["candidate_id"]}

# Constraint → its table and how a copy of the good row breaks it and no other.
BROKEN: dict[str, tuple[str, Row]] = {
    "uq_author_platform_account_id": ("author", {}),
    "uq_encoder_source_model_pretrained": ("encoder", {"name": "other"}),
    "uq_encoder_name": ("encoder", {"model": "other"}),
    "uq_class_prompts_layout_version": ("class_prompts", {}),
    "uq_evaluation_set_name": ("evaluation_set", {}),
    "ck_evaluation_on_one": ("evaluation", {"set_id": None}),
    "ck_evaluation_snapshot_for_retrieval": ("evaluation", {"set_id": None, "snapshot_id": -1}),
    "ck_endpoint_limits": ("endpoint", {"name": "other", "in_flight": 0}),
    "ck_endpoint_prices": ("endpoint", {"name": "other", "price_in": -1}),
    "uq_endpoint_name": ("endpoint", {}),
    "ck_prompt_not_empty": ("prompt", {"version": 8, "text": ""}),
    "uq_prompt_version": ("prompt", {}),
    "uq_llm_answer_question": ("llm_answer", {}),
    "ck_image_hashes": ("image", {"sha256": "x"}),
    "uq_image_sha256": ("image", {}),
    "uq_label_set_name": ("label_set", {}),
    "uq_queue_name": ("queue", {}),
    "uq_reason_label": ("reason", {"code": "x", "digit": 99}),
    "uq_reason_digit": ("reason", {"code": "x", "label": "x"}),
    "uq_source_name": ("source", {}),
    "ck_user_adjudicator_is_reviewer": ("user", {"name": "elm", "role": "admin", "adjudicator": True}),
    "uq_user_name": ("user", {}),
    "ck_user_name_plain": ("user", {"name": "Elm"}),
    "uq_classifier_name": ("classifier", {}),
    "ck_duplicate_edit_ordered": ("duplicate_edit", {"image_a": 2, "image_b": 1}),
    "uq_duplicate_edit_image_a_image_b": ("duplicate_edit", {}),
    "ck_image_match_ordered": ("image_match", {"image_a": 2, "image_b": 1}),
    "ck_job_lost": ("job", {"lost": 4}),
    "ck_job_running_has_token": ("job", {"state": "running"}),
    "uq_job_dedupe": ("job", {}),
    "ck_label_not_empty": ("label", {"label": ""}),
    "uq_post_platform_natural_key": ("post", {"shortcode": None, "media_pk": None}),
    "ix_post_platform_shortcode": ("post", {"natural_key": "other", "media_pk": None}),
    "ix_post_platform_media_pk": ("post", {"natural_key": "other", "shortcode": None}),
    "uq_saved_view_user_id_name": ("saved_view", {}),
    "ck_saved_view_name_length": ("saved_view", {"name": "v" * 61}),
    "ck_saved_view_narrows": ("saved_view", {"name": "other", "query": ""}),
    "uq_session_token_sha256": ("session", {}),
    "uq_withdrawal_kind_key": ("withdrawal", {}),
    "uq_snapshot_number": ("snapshot", {}),
    "ck_run_starts_from_one": ("run", {"architecture": ""}),
    "ck_snapshot_number": ("snapshot", {"number": 0}),
    "uq_worker_host_pid": ("worker", {}),
    "ck_query_vector_text_until_vector": ("query_vector", {"vec": "[1]"}),
    "ck_candidate_ordinals": ("candidate", {"position": 0}),
    "ck_candidate_settled": ("candidate", {"settled_by": 1}),
    "ck_candidate_flag_has_origin": ("candidate", {"flag_origin": "person"}),
    "uq_candidate_post_id_position_caption_ordinal_image_id": ("candidate", {}),
    "ck_import_file_refused_has_reason": ("import_file", {"outcome": "refused"}),
    "ck_import_file_ignored_has_kind": ("import_file", {"outcome": "ignored"}),
    "ck_assignment_slot_by_purpose": ("assignment", {"slot": None}),
    "ck_assignment_reviewed_by_someone": ("assignment", {"user_id": None}),
    "uq_assignment_review_id": ("assignment", {"slot": 2, "user_id": -1}),
    "uq_assignment_slot": ("assignment", {"user_id": -1, "review_id": None}),
    "uq_assignment_one_slot_a_person": ("assignment", {"slot": 2, "review_id": None}),
    "uq_caption_candidate_id_version": ("caption", {}),
    "uq_evidence_text_of_source": ("evidence_text", {}),
    "uq_finding_candidate_id_stage_stage_version_input_hash_attempt": ("finding", {"outcome": "error"}),
    "uq_finding_ok": ("finding", {"attempt": 2}),
    "uq_import_entry_import_id_ordinal": ("import_entry", {}),
    "ck_import_entry_refused_has_reason": ("import_entry", {"reason": "x"}),
    "ck_import_entry_kept_has_candidate": ("import_entry", {"candidate_id": None}),
    "uq_review_submission_id": ("review", {}),
    "ck_review_undo_supersedes": ("review", {"kind": "undo"}),
    "ck_review_seconds": ("review", {"seconds": -1}),
    "ck_snapshot_member_key": ("snapshot_member", {"key": "1"}),
}
# Those that two rows, both good alone, break together.
TWICE: dict[str, tuple[str, Callable[[Row], Row]]] = {
    "uq_assignment_gold": ("assignment", lambda _: {"purpose": "gold", "slot": None, "review_id": None}),
    "uq_review_supersedes": (
        "review",
        lambda good: {"kind": "undo", "supersedes": good["id"], "submission_id": uuid4()},
    ),
}
# The trigger on states comes before these: a new row is incoming, and test_guards.py tries what an update may say.
BEHIND_THE_TRIGGER = {"ck_candidate_candidate_state", "ck_candidate_stopped_by_a_stage", "ck_candidate_flag_origin"}


def constraints() -> dict[str, tuple[Table, CheckConstraint | None]]:
    """Every unique and check constraint and unique index, by its name."""
    found: dict[str, tuple[Table, CheckConstraint | None]] = {}
    for table in TABLES.values():
        for one in table.constraints:
            if isinstance(one, CheckConstraint | UniqueConstraint):
                found[str(one.name)] = (table, one if isinstance(one, CheckConstraint) else None)
        found |= {str(index.name): (table, None) for index in table.indexes if index.unique}
    return found


def choices() -> dict[str, tuple[str, str]]:
    """Check constraint of a closed list → table and column."""
    return {
        name: (table.name, str(check.sqltext).partition(" IN ")[0].rpartition(".")[2])
        for name, (table, check) in constraints().items()
        if check is not None and " IN (__[POSTCOMPILE" in str(check.sqltext)
    }


CHOICES = {name: found for name, found in sorted(choices().items()) if name not in BEHIND_THE_TRIGGER}


def insert(session: Session, table: str, row: Row) -> Row:
    """The row as it is stored."""
    names = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(f":{name}" for name in row)
    bound = {name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in row.items()}
    made = session.execute(text(f'INSERT INTO "{table}" ({names}) VALUES ({values}) RETURNING *'), bound)
    return dict(made.mappings().one())


@pytest.fixture
def good(session: Session) -> dict[str, Row]:
    """A good row of every table that has constraints."""
    rows = {"reason": dict(session.execute(text("SELECT * FROM reason LIMIT 1")).mappings().one())}
    for table in [table for table in Base.metadata.sorted_tables if table.name in GOOD]:
        row = dict(GOOD[table.name])
        for column in table.columns:
            wanted = not column.nullable or column.name in OPTIONAL.get(table.name, ())
            for key in column.foreign_keys if wanted and column.name not in row else ():
                row[column.name] = rows[key.column.table.name]["id"]
        if table.name in ("duplicate_edit", "image_match"):
            second = insert(session, "image", GOOD["image"] | {"sha256": uuid4().hex * 2})
            row["image_b"] = second["id"]
        if table.name == "review":
            row["submission_id"] = uuid4()
        rows[table.name] = insert(session, table.name, row)
    assignment = rows["assignment"]
    assignment["review_id"] = rows["review"]["id"]
    session.execute(
        text("UPDATE assignment SET review_id = :review_id, lease_until = :far WHERE id = :id"),
        assignment | {"far": FAR},
    )
    return rows


def copy(good: dict[str, Row], table: str, changes: Row) -> Row:
    made = {column.name for column in TABLES[table].columns if column.identity or column.computed is not None}
    return {name: value for name, value in good[table].items() if name not in made} | changes


def broken(session: Session, table: str, row: Row) -> str | None:
    with pytest.raises(IntegrityError) as caught, session.begin_nested():
        insert(session, table, row)
    return caught.value.orig.diag.constraint_name  # type: ignore[union-attr]


def test_every_constraint_is_tried_here() -> None:
    assert set(constraints()) == BROKEN.keys() | TWICE.keys() | CHOICES.keys() | BEHIND_THE_TRIGGER


@pytest.mark.parametrize("name", BROKEN)
def test_a_row_that_breaks_it_is_refused(session: Session, good: dict[str, Row], name: str) -> None:
    table, changes = BROKEN[name]
    assert broken(session, table, copy(good, table, changes)) == name


@pytest.mark.parametrize("name", TWICE)
def test_a_second_such_row_is_refused(session: Session, good: dict[str, Row], name: str) -> None:
    table, changes = TWICE[name]
    insert(session, table, copy(good, table, changes(good[table])))
    assert broken(session, table, copy(good, table, changes(good[table]))) == name


@pytest.mark.parametrize("name", CHOICES)
def test_a_value_outside_a_closed_list_is_refused(session: Session, good: dict[str, Row], name: str) -> None:
    table, column = CHOICES[name]
    assert broken(session, table, copy(good, table, {column: "nonsense"})) == name
