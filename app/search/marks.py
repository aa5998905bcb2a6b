"""Matches inside a text, marked without any markup of the text's own being trusted."""

import re
from dataclasses import dataclass

# Private characters: PostgreSQL puts them around matches after every one that a text had was taken out.
START, STOP = "\ue000", "\ue001"
MARKED = re.compile(f"{START}([^{START}{STOP}]*){STOP}")


@dataclass(frozen=True)
class Stretch:
    """A part of a text, matched or not; a page escapes it as any text."""

    text: str
    is_match: bool


def stretches(marked: str) -> list[Stretch]:
    """The text cut at its marks; a mark without its other half is dropped."""
    parts = MARKED.split(marked)
    cut = [Stretch(part.replace(START, "").replace(STOP, ""), bool(n % 2)) for n, part in enumerate(parts)]
    return [one for one in cut if one.text]
