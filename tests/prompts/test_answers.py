"""What a model is asked and how its answer is read, without any model."""

import json

import pytest
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.prompts.answers import CAPTION_LIMIT, NONE, REASONS, SCORES, Answer, question, visible
from app.tables import Reason
from tests.prompts.models import ANSWER


def answer(**values: object) -> Answer:
    return Answer.model_validate(ANSWER | {"caption": "A caption."} | values)


def test_the_reasons_are_those_that_reviewers_choose_from(session: Session) -> None:
    assert set(REASONS) == set(session.scalars(select(Reason.code)))


def test_the_schema_is_plain_enough_for_every_server() -> None:
    from workers.ml.json_answers import plain_schema

    schema = plain_schema(Answer)
    assert len(schema["properties"]) == 9
    assert schema["properties"]["relevant"]["enum"] == list(SCORES)
    assert schema["properties"]["reason"]["enum"] == [NONE, *REASONS]
    assert "maxLength" not in schema["properties"]["caption"]  # llama.cpp would unroll it
    assert not {"$ref", "anyOf", "pattern", "format"} & set(json.dumps(schema).replace('"', " ").split())


@pytest.mark.parametrize("word", ["perhaps", "", "Yes!", "1"])
def test_relevance_off_the_scale_is_no_answer(word: str) -> None:
    with pytest.raises(ValidationError):
        answer(relevant=word)


def test_a_caption_beyond_all_bounds_is_no_answer() -> None:
    with pytest.raises(ValidationError):
        answer(caption="x" * (CAPTION_LIMIT + 1))


@pytest.mark.parametrize(
    ("name", "said", "known"),
    [
        ("stain", "H&E", "he"),
        ("stain", " he ", "he"),
        ("organ", "Lymph node", "lymph_node"),
        ("magnification", "20x", "20"),
        ("magnification", 20, "20"),
        ("organ", "left big toe", None),
        ("species", "unknown", None),
        ("stain", None, None),
    ],
)
def test_a_field_is_an_id_of_its_list_or_unknown(name: str, said: object, known: str | None) -> None:
    assert answer(**{name: said}).fields.get(name) == known


def test_a_caption_goes_out_as_one_json_string_without_what_nobody_sees() -> None:
    hidden = 'He\u200b said\u2066 "no"\u202e\x00.\n\U000e0041\u3164\ufe0f End'
    assert json.loads(question(hidden)) == 'He said "no".\n End'
    assert len(json.loads(question("𝕏" * 30_000))) == CAPTION_LIMIT


@pytest.mark.parametrize("text", ["می\u200cشود", "क्\u200dष", "皮膚の基底細胞癌", "มะเร็งผิวหนัง", "سرطان"])
def test_what_scripts_need_stays(text: str) -> None:
    assert visible(text) == text


def test_a_joiner_in_latin_letters_hides_something_and_goes() -> None:
    assert visible("ig\u200cnore") == "ignore"
