"""What a language model is asked of one caption, and the answer that is taken. Nothing here asks the database.

The schema is kept plain, as servers that enforce one understand little more: one object, strings and closed lists.
"""

import json
import unicodedata
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.curation.vocabulary import FIELDS, MAGNIFICATIONS, ORGANS, SPECIES, STAINS
from app.prefilter.languages import LANGUAGES

CAPTION_LIMIT = 20_000  # characters
UNKNOWN, NONE = "unknown", "none"
SCORES = {"yes": 1.0, "probably": 0.75, "unsure": 0.5, "probably_not": 0.25, "no": 0.0}
REASONS = (
    "not_histopathology",
    "caption_says_nothing",
    "image_too_poor",
    "unclear_panels",
    "person_recognisable",
    "advertising",
    "duplicate",
    "other",
)


def _enum(values: Iterable[str]) -> dict[str, Any]:
    return {"enum": list(values)}


class Answer(BaseModel):
    """A model's answer. Only `relevant` and `caption` must be right: a field's value off its list counts as unknown."""

    model_config = ConfigDict(hide_input_in_errors=True)  # an error would quote the post

    relevant: str = Field(json_schema_extra=_enum(SCORES))
    reason: str = Field(json_schema_extra=_enum([NONE, *REASONS]))
    caption: str  # a limit in the schema would become a grammar of its length
    organ: str = Field(json_schema_extra=_enum([UNKNOWN, *ORGANS]))
    diagnosis: str = Field(max_length=500)
    stain: str = Field(json_schema_extra=_enum([UNKNOWN, *STAINS]))
    magnification: str = Field(json_schema_extra=_enum([UNKNOWN, *MAGNIFICATIONS]))
    species: str = Field(json_schema_extra=_enum([UNKNOWN, *SPECIES]))
    language: str = Field(json_schema_extra=_enum([UNKNOWN, *LANGUAGES]))

    @field_validator("relevant")
    @classmethod
    def one_of_five(cls, value: str) -> str:
        if value not in SCORES:
            raise ValueError(f"relevant must be one of {', '.join(SCORES)}")
        return value

    @field_validator("caption")
    @classmethod
    def short_enough(cls, value: str) -> str:
        if len(value) > CAPTION_LIMIT:
            raise ValueError(f"caption may have at most {CAPTION_LIMIT} characters")
        return value

    @field_validator("reason")
    @classmethod
    def known_reason(cls, value: str) -> str:
        return value if value in (NONE, *REASONS) else "other"

    @field_validator("organ", "stain", "magnification", "species", mode="before")
    @classmethod
    def listed(cls, value: object, info: Any) -> str:
        """The id of the list that is meant by an id or by what people read for it."""
        ids = {shown.casefold(): id_ for id_, shown in FIELDS[info.field_name].items()}
        plain = str(value).strip().casefold()
        return plain if plain in FIELDS[info.field_name] else ids.get(plain.replace("x", "×"), ids.get(plain, UNKNOWN))

    @field_validator("language")
    @classmethod
    def known_language(cls, value: str) -> str:
        return value if value in LANGUAGES else UNKNOWN

    @property
    def score(self) -> float:
        """Relevance from 0 to 1."""
        return SCORES[self.relevant]

    @property
    def fields(self) -> dict[str, str]:
        """Field → vocabulary id, where the caption names one."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) != UNKNOWN}


def question(caption: str) -> str:
    """The caption as the user's message: a JSON string, so that where it ends is never in doubt."""
    return json.dumps(visible(caption)[:CAPTION_LIMIT], ensure_ascii=False)


_FILLERS = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")
_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    """The text without characters that nobody sees: what may be hidden in them is not for a model to read.

    Joiners stay between letters of scripts that are written with them.
    """
    kept: list[str] = []
    for character in text:
        joins = (
            character in _JOINERS and bool(kept) and kept[-1] > "\u0590" and unicodedata.category(kept[-1])[0] in "LM"
        )
        if character in "\n\t" or joins or not _is_hidden(character):
            kept.append(character)
    return "".join(kept)


def _is_hidden(character: str) -> bool:
    selects_variation = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return selects_variation or character in _FILLERS or unicodedata.category(character)[0] == "C"
