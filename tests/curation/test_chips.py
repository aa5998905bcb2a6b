from datetime import UTC, datetime
from typing import Any

import pytest

from app.curation.chips import boxes, boxes_of_note, chips
from app.curation.queries import Found

AT = datetime(2026, 11, 24, tzinfo=UTC)


def found(stage: str, score: float | None = None, outcome: str = "ok", **more: Any) -> dict[str, Found]:
    values = {"label": None, "stale": False, "evidence": {}} | more
    return {stage: Found(stage, outcome, score, version="1", at=AT, **values)}


ACTIONS = {
    "private": {"name": "redact", "date": "warn", "handle": "pass"},
    "writing": {"record_number": "redact", "writing": "pass"},
    "faces": {"face": "hold"},
}


def words(given: dict[str, Found], **thresholds: float) -> list[tuple[str, str, str]]:
    return [(chip.text, chip.value, chip.tone) for chip in chips(given, thresholds, ACTIONS)]


@pytest.mark.parametrize(
    ("label", "kinds", "text"),
    [
        ("panels", ["panel", "panel", "arrow"], "2 panels"),
        ("screenshot", ["interface"], "Screenshot"),
        ("border", ["border"], "Border"),
        ("overlays", ["lettering"], "Marks on it"),
    ],
)
def test_what_is_around_or_on_the_image_is_one_chip(label: str, kinds: list[str], text: str) -> None:
    given = found("panels", label=label, evidence={"boxes": [{"kind": kind} for kind in kinds]})
    assert words(given) == [(text, "", "warn")]
    assert [box["kind"] for box in boxes(given["panels"])] == kinds


def test_a_plain_image_and_an_undetermined_language_say_nothing() -> None:
    assert words(found("panels", label="image", evidence={"boxes": []}) | found("language", 0.0, label="und")) == []


def test_the_language_is_named() -> None:
    assert words(found("language", 0.97, label="es")) == [("Spanish", "", "")]


def test_private_details_say_what_is_done_about_their_kind_and_nothing_where_nothing_is() -> None:
    given = found("private", evidence={"kinds": {"handle": 4, "name": 2, "date": 1}})
    assert words(given) == [("1 date", "left in, check", "warn"), ("2 names", "left out", "warn")]
    assert words(found("private", evidence={"kinds": {"handle": 4}})) == []
    given = found("faces", evidence={"kinds": {"face": 1}})
    given |= found("writing", evidence={"kinds": {"record_number": 1, "writing": 2}})
    assert words(given) == [
        ("1 face", "let through by an admin", "warn"),
        ("1 record number", "to be covered", "warn"),
    ]


def test_boxes_of_faces_and_writing_are_those_of_kinds_that_the_setting_minds() -> None:
    listed = [{"kind": "record_number"}, {"kind": "writing"}, {"kind": "gone"}]
    given = found("panels", evidence={"boxes": [{"kind": "panel"}]}) | found("writing", evidence={"boxes": listed})
    assert [box["kind"] for box in boxes_of_note(given, ACTIONS)] == ["panel", "record_number"]


def test_a_caption_split_over_its_images_says_so() -> None:
    part = {"removed": 2, "part": {"image": 2, "images": 3}}
    assert words(found("caption", 1.0, evidence=part)) == [("This image's part of the caption", "", "")]


def test_alignment_is_good_only_above_a_threshold_that_someone_set() -> None:
    aligned = found("alignment", 0.62)
    assert words(aligned, alignment=0.0) == [("Alignment", "0.62", "")]
    assert words(aligned, alignment=0.5) == [("Alignment", "0.62", "ok")]
    assert words(found("alignment", outcome="not_run")) == []


@pytest.mark.parametrize("outcome", ["error", "not_run"])
def test_a_stage_that_failed_has_no_boxes(outcome: str) -> None:
    assert boxes(found("panels", outcome=outcome, evidence={"boxes": [{"kind": "panel"}]})["panels"]) == []
    assert boxes(None) == []


@pytest.mark.parametrize("outcome", ["error", "not_run"])
def test_what_could_not_be_checked_for_private_details_is_said(outcome: str) -> None:
    stages = {"faces": "Faces", "writing": "Writing", "private": "Private details"}
    for stage, title in stages.items():
        assert words(found(stage, outcome=outcome)) == [(f"{title} not checked", "", "warn")]


def test_what_an_admin_let_go_is_left_out_of_the_caption_too() -> None:
    given = found("private", evidence={"kinds": {"name": 1}})
    told = chips(given, {}, {"private": {"name": "hold"}})
    assert [(chip.text, chip.value) for chip in told] == [("1 name", "left out, let through by an admin")]
