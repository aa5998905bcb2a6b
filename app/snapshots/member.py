"""One frozen pair, what a release says of it, and the order in which releases hold pairs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

RELEASED = ("train", "val", "test")
RESERVE = "reserve"
KEY = re.compile(r"[0-9]{12}")


@dataclass(frozen=True)
class Field:
    """A column of a release. Only a nullable one may be unknown (None)."""

    name: str
    type: Literal["string", "int64", "float64", "bool", "timestamp"]
    description: str
    nullable: bool = False


LEADING_FIELDS = (
    Field("key", "string", "The pair's id, 12 digits; also the name of its picture"),
    Field("split", "string", "train, val or test"),
    Field("caption", "string", "The caption as a reviewer accepted it"),
    Field("image_sha256", "string", "SHA-256 of the picture's bytes"),
)

EXPORTED_FIELDS = (
    Field("candidate", "string", "The pair's name in the curation system, such as C-20418"),
    Field("platform", "string", "Where it was posted"),
    Field("shortcode", "string", "The post's code on that platform", nullable=True),
    Field("permalink", "string", "The post's address", nullable=True),
    Field("author", "string", "The account that posted it, where its name is released", nullable=True),
    Field("position", "int64", "Which picture of its post, from 1"),
    Field("taken_at", "timestamp", "When it was posted (UTC)", nullable=True),
    Field("source", "string", "The account, hashtag or file set it was read from"),
    Field("consent", "string", "agreed, ids_only or not_asked: the source's state when frozen"),
    Field("licence", "string", "The source's licence", nullable=True),
    Field("organ", "string", "Organ", nullable=True),
    Field("diagnosis", "string", "Diagnosis, as written", nullable=True),
    Field("stain", "string", "Stain", nullable=True),
    Field("magnification", "string", "Objective magnification", nullable=True),
    Field("species", "string", "Human or animal", nullable=True),
    Field("language", "string", "The caption's language, ISO 639-1", nullable=True),
    Field("width", "int64", "Width of the picture in pixels"),
    Field("height", "int64", "Height of the picture in pixels"),
    Field("masked", "int64", "How many parts of the picture are covered, such as a face or a name in it"),
    Field("source_sha256", "string", "SHA-256 of the picture as it was received"),
    Field("edited", "bool", "Whether a reviewer changed the caption"),
    Field("reviewed_at", "timestamp", "When the review that settled it was given (UTC)"),
    Field("reviews", "int64", "How many reviews it has"),
    Field("domain_score", "float64", "The histopathology classifier's score, 0 to 1", nullable=True),
    Field("alignment_score", "float64", "Cosine of picture and caption under CLIP", nullable=True),
)

FIELDS = LEADING_FIELDS + EXPORTED_FIELDS
EXPORTED_NAMES = frozenset(field.name for field in EXPORTED_FIELDS)
REQUIRED_NAMES = tuple(field.name for field in EXPORTED_FIELDS if not field.nullable)

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Member:
    """A pair with its split; `row` maps every name of EXPORTED_FIELDS to a JSON value, times in ISO 8601.

    Raises ValueError where a release could not be read back.
    """

    key: str
    image_sha256: str
    caption: str
    split: str
    row: Mapping[str, Value]

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.key):
            raise ValueError(f"Key {self.key!r} is not 12 digits.")
        if not self.caption.strip():
            raise ValueError(f"Pair {self.key} has no caption.")
        if self.row.keys() != EXPORTED_NAMES:
            names = ", ".join(sorted(self.row.keys() ^ EXPORTED_NAMES))
            raise ValueError(f"Pair {self.key} lacks or adds fields: {names}.")
        for name in REQUIRED_NAMES:
            if self.row[name] is None:
                raise ValueError(f"Pair {self.key} has no {name}.")

    def record(self) -> dict[str, Value]:
        """Every column's typed value, in the order of FIELDS."""
        values = {
            "key": self.key,
            "split": self.split,
            "caption": self.caption,
            "image_sha256": self.image_sha256,
            **self.row,
        }
        return {field.name: values[field.name] for field in FIELDS}


def rank(seed: int, key: str) -> bytes:
    """Where a pair stands in release order, and what is drawn first: SHA-256 of seed then key, as text."""
    return sha256(f"{seed}{key}".encode()).digest()


def part_of(seed: int, key: str, count: int) -> int:
    """Which of `count` files holds a pair: equal ranges of rank.

    So files follow each other in release order, and leaving a pair out moves no other pair.
    """
    return int.from_bytes(rank(seed, key)[:8]) * count >> 64
