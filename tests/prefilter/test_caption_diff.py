"""Word differences: exact, few, readable, and bounded on long texts."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.prefilter.caption_diff import Piece, word_diff


def shown(pieces: list[Piece]) -> str:
    marks = {"same": "{}", "ins": "[+{}+]", "del": "[-{}-]"}
    return "".join(marks[piece.op].format(piece.text) for piece in pieces)


def sides(pieces: list[Piece]) -> tuple[str, str]:
    before = "".join(piece.text for piece in pieces if piece.op != "ins")
    after = "".join(piece.text for piece in pieces if piece.op != "del")
    return before, after


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", ""),
        ("same text", "same text", "same text"),
        ("", "new", "[+new+]"),
        ("old", "", "[-old-]"),
        ("Grade 3 carcinoma", "Grade 2 carcinoma", "Grade [-3-][+2+] carcinoma"),
        ("A carcinoma", "A ductal carcinoma", "A [+ductal +]carcinoma"),
        ("carcinoma, grade 3", "carcinoma; grade 3", "carcinoma[-,-][+;+] grade 3"),
        ("high grade tumour here", "low risk nodule here", "[-high grade tumour-][+low risk nodule+] here"),
        ("two  spaces", "two spaces", "two[-  -][+ +]spaces"),
        ("印環細胞癌のHE像", "印環細胞腫のHE像", "印環細胞[-癌-][+腫+]のHE像"),
        ("कैंसर ऊतक", "कैंसर नमूना", "कैंसर [-ऊतक-][+नमूना+]"),
        ("He\u0301 a", "He\u0301 b", "He\u0301 [-a-][+b+]"),
    ],
)
def test_words_that_differ_are_marked(before: str, after: str, expected: str) -> None:
    assert shown(word_diff(before, after)) == expected


words = st.lists(st.sampled_from(["a", "b", "c", " ", "  ", "\n", ",", "癌", "腺", "e\u0301"]), max_size=30).map(
    "".join
)


@settings(deadline=None)
@given(st.one_of(words, st.text(max_size=60)), st.one_of(words, st.text(max_size=60)))
def test_the_pieces_hold_both_texts_exactly(before: str, after: str) -> None:
    assert sides(word_diff(before, after)) == (before, after)


@settings(deadline=None)
@given(words, words)
def test_pieces_are_not_empty_and_neighbours_differ_in_kind(before: str, after: str) -> None:
    pieces = word_diff(before, after)
    assert all(piece.text for piece in pieces)
    assert all(a.op != b.op for a, b in pairwise(pieces))


def longest_common(a: str, b: str) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        above, row = row, [0]
        for j, y in enumerate(b):
            row.append(above[j] + 1 if x == y else max(above[j + 1], row[j]))
    return row[-1]


@settings(deadline=None)
@given(st.text("腺癌細胞", max_size=14), st.text("腺癌細胞", max_size=14))
def test_as_much_as_possible_stays(before: str, after: str) -> None:
    kept = sum(len(piece.text) for piece in word_diff(before, after) if piece.op == "same")
    assert kept == longest_common(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a " * 50_000, "b " * 50_000),
        ("癌" * 100_000, "腺" * 100_000),
        ("a b " * 25_000, "b a c " * 16_000),
        ("word " * 20_000, "word " * 20_000 + "end"),
        ("x" * 100_000, "y" * 100_000),
    ],
)
def test_long_texts_cost_a_bounded_time_and_stay_exact(before: str, after: str) -> None:
    started = time.process_time()
    pieces = word_diff(before, after)
    assert time.process_time() - started < 2
    assert sides(pieces) == (before, after)


def test_texts_with_nothing_in_common_show_as_one_replacement() -> None:
    before, after = "start " + "a " * 2_000 + "end", "start " + "b c " * 2_000 + "end"
    assert [piece.op for piece in word_diff(before, after)] == ["same", "del", "ins", "same"]
