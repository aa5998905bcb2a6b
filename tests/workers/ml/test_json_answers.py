"""The one JSON object in whatever a language model answers, however it tries to make that dear."""

import pytest
from pydantic import BaseModel

from workers.ml.json_answers import Unreadable, read


class Word(BaseModel):
    word: str


@pytest.mark.parametrize(
    "text",
    [
        '{"word": "x"}',
        '```json\n{"word": "x"}\n```',
        'Here it is:\n```\n{"word": "x"}\n```\nAnything else?',
        '<think>{"word": "no"}</think>{"word": "x"}',
        'so it is {"word": "no"}</think>\n{"word": "x"}',
        '<thinking>hm</thinking> Sure: {"word": "x"}',
        '\ufeff{"word": "x"}',
    ],
)
def test_it_is_found_past_thinking_fences_and_prose(text: str) -> None:
    assert read([text], Word) == {"word": "x"}


@pytest.mark.parametrize(
    "text", ["<think>" * 200_000, "```" + " " * 1_000_000 + "x", "</think>" * 200_000, "`" * 900_000]
)
def test_an_answer_of_a_megabyte_of_marks_is_no_answer_and_soon_read(text: str) -> None:
    with pytest.raises(Unreadable):
        read([text], Word)


@pytest.mark.parametrize("deep", [100, 700, 50_000])
def test_what_nests_deeply_is_no_answer(deep: int) -> None:
    with pytest.raises(Unreadable):
        read(['{"word": ' + "[" * deep + "]" * deep + "}"], Word)
