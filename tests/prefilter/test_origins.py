"""The way of a caption from the original to what is published, each change with who made it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.prefilter.origins import Maker, Piece, doubted, explained, in_words, maker_of, taken_out, way
from app.prefilter.policies import Version

RULES, PRIVATE, LLM, PERSON = Maker.RULES, Maker.PRIVATE, Maker.LLM, Maker.PERSON
RAW = "Follow me! Jane Doe, 62, basal cell carcinoma HE 10x #path"
CLEANED = "Jane Doe, 62, basal cell carcinoma HE 10x"
WITHOUT_NAME = "62, basal cell carcinoma HE 10x"
PROPOSED = "62, basal cell carcinoma, H&E, 10×"


def test_each_change_names_its_maker() -> None:
    pieces = explained(RAW, [(RULES, CLEANED), (PRIVATE, WITHOUT_NAME), (LLM, PROPOSED)])
    changed = {(piece.op, piece.maker, piece.text.strip()) for piece in pieces if piece.op != "same"}
    assert {("del", RULES, "Follow me!"), ("del", RULES, "#path"), ("del", PRIVATE, "Jane Doe,")} <= changed
    assert any(maker is LLM and op == "ins" and "H&E" in text for op, maker, text in changed)
    assert all(piece.maker is None for piece in pieces if piece.op == "same")


def test_what_one_put_in_and_a_later_one_took_out_is_not_shown() -> None:
    pieces = explained("nevus", [(RULES, "nevus of the skin"), (LLM, "nevus")])
    assert pieces == [Piece("nevus", "same")]


def test_a_caption_that_nobody_changed_is_one_piece() -> None:
    assert explained("Naevus.", []) == [Piece("Naevus.", "same")]
    assert explained("", []) == []


WORDS = ["mitoses", "no", "skin", "40×", ",", "\n", "腫瘍", "  ", "e\u0301", "#x"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=9)


@given(st.lists(TEXTS.map(" ".join), min_size=1, max_size=5))
def test_both_ends_of_the_way_are_kept_exactly(texts: list[str]) -> None:
    pieces = explained(texts[0], list(zip([RULES, PRIVATE, LLM, PERSON], texts[1:], strict=False)))
    assert "".join(piece.text for piece in pieces if piece.op != "ins") == texts[0]
    assert "".join(piece.text for piece in pieces if piece.op != "del") == texts[-1]
    marked = doubted(pieces, [(1, 4), (6, 9)], "not in the original")
    assert "".join(piece.text for piece in marked if piece.op != "del") == texts[-1]
    doubtful = "".join(piece.text for piece in marked if piece.doubt)
    assert len(doubtful) <= 6


def test_a_doubted_span_is_marked_across_pieces_and_nothing_else_is() -> None:
    pieces = [Piece("old ", "del", RULES), Piece("A nevus. ", "same"), Piece("It is benign.", "ins", LLM)]
    marked = doubted(pieces, [(2, 11)], "why")
    assert [(piece.text, piece.doubt) for piece in marked if piece.op != "del"] == [
        ("A ", ""),
        ("nevus. ", "why"),
        ("It", "why"),
        (" is benign.", ""),
    ]


@pytest.mark.parametrize(
    ("made_by", "maker"),
    [("rules 1", RULES), ("llm 12", LLM), ("private 1", PRIVATE), ("alder", PERSON), ("rules", PERSON)],
)
def test_the_maker_is_read_from_who_made_it(made_by: str, maker: Maker) -> None:
    assert maker_of(made_by) is maker


def versions(*made: tuple[str, str]) -> list[Version]:
    return [Version(number, made_by, text) for number, (made_by, text) in enumerate(made, start=1)]


def test_the_way_begins_after_the_original() -> None:
    line = versions(("import", RAW), ("rules 1", CLEANED), ("private 1", WITHOUT_NAME))
    assert way(RAW, line) == [(RULES, CLEANED), (PRIVATE, WITHOUT_NAME)]
    assert in_words(way(RAW, line)) == "cleaned by rules, private details left out"
    assert in_words(way(RAW, line[:1])) == "as posted"


def test_a_way_from_an_older_original_still_ends_in_the_text_on_offer() -> None:
    pieces = explained("The newer text.", way("The newer text.", versions(("import", "The older text."))))
    assert "".join(piece.text for piece in pieces if piece.op != "del") == "The older text."


def test_private_details_that_were_cut_are_listed_with_what_stood_before_them() -> None:
    text = "Patient of Jane Doe seen on 3 May 2021 in 2021."
    spans = [(28, 38, "date"), (11, 19, "name"), (42, 46, "date")]
    found = taken_out(text, "Patient of seen on in 2021.", spans)
    assert [(one.kind, one.words, one.before) for one in found] == [
        ("name", "Jane Doe", "Patient of "),
        ("date", "3 May 2021", "Patient of  seen on "),
    ]


def test_a_detail_that_stands_twice_and_was_cut_once_is_listed_once() -> None:
    found = taken_out("Jane Doe, by Jane Doe", "by Jane Doe", [(0, 8, "name"), (13, 21, "name")])
    assert [(one.words, one.before) for one in found] == [("Jane Doe", "")]
