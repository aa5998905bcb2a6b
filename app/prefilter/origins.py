"""Who changed what on the way from an original caption to the one to publish. Nothing here asks the database."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby, pairwise

from app.prefilter.caption_diff import Op, word_diff
from app.prefilter.policies import Version


class Maker(StrEnum):
    """What makes a caption of another."""

    RULES = "rules"
    CAROUSEL = "carousel"
    PRIVATE = "private"
    LLM = "llm"
    PERSON = "person"


TITLES = {
    Maker.RULES: "Rules",
    Maker.CAROUSEL: "Carousel split",
    Maker.PRIVATE: "Private details",
    Maker.LLM: "Language model",
    Maker.PERSON: "A person",
}
DONE = {
    Maker.RULES: "cleaned by rules",
    Maker.CAROUSEL: "split over the post’s images",
    Maker.PRIVATE: "private details left out",
    Maker.LLM: "proposed by the language model",
    Maker.PERSON: "edited by hand",
}
BEFORE = 60  # code points that tell where a private detail stood
BY_STAGE = re.compile(r"(rules|carousel|private|llm) \S+")


@dataclass(frozen=True)
class Piece:
    """A stretch of text that stays, was put in or taken out, by whom, and what speaks against it."""

    text: str
    op: Op
    maker: Maker | None = None
    doubt: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.maker] if self.maker else ""


def maker_of(made_by: str) -> Maker:
    """The maker that a caption's `made_by` names: a stage with its version, or a person."""
    found = BY_STAGE.fullmatch(made_by)
    return Maker(found[1]) if found else Maker.PERSON


def way(original: str, versions: Sequence[Version]) -> list[tuple[Maker, str]]:
    """Each maker's text, from what was made of the original on; all of it where the way began elsewhere."""
    is_root = bool(versions) and versions[0].text == original
    return [(maker_of(version.made_by), version.text) for version in versions[is_root:]]


def in_words(made: Sequence[tuple[Maker, str]]) -> str:
    """What was done to a caption, in the order it was done."""
    done = dict.fromkeys(DONE[maker] for maker, _ in made)
    return ", ".join(done) or "as posted"


def explained(original: str, made: Sequence[tuple[Maker, str]]) -> list[Piece]:
    """The way from `original` to the last text as one diff, each change with who made it.

    Kept and taken out pieces joined give the original, kept and put in ones the last text, exactly. What one maker
    put in and a later one took out again is not shown.
    """
    pieces = [Piece(original, "same")] if original else []
    before = original
    for maker, after in made:
        pieces, before = list(_composed(pieces, before, after, maker)), after
    return list(_joined(pieces))


def _composed(pieces: Iterable[Piece], before: str, after: str, maker: Maker) -> Iterator[Piece]:
    """`pieces`, which end in `before`, led on to `after`."""
    left = list(pieces)[::-1]
    for step in word_diff(before, after):
        if step.op == "ins":
            yield Piece(step.text, "ins", maker)
            continue
        wanted = len(step.text)
        while wanted:
            piece = left.pop()
            if piece.op == "del":
                yield piece
                continue
            now, later = piece.text[:wanted], piece.text[wanted:]
            wanted -= len(now)
            if later:
                left.append(replace(piece, text=later))
            if step.op == "same":
                yield replace(piece, text=now)
            elif piece.op == "same":
                yield Piece(now, "del", maker)
    yield from reversed(left)


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Neighbours of one kind as one piece."""
    for (op, maker, doubt), run in groupby(pieces, key=lambda piece: (piece.op, piece.maker, piece.doubt)):
        yield Piece("".join(piece.text for piece in run), op, maker, doubt)


def doubted(pieces: Iterable[Piece], spans: Iterable[tuple[int, int]], doubt: str) -> list[Piece]:
    """The pieces, with what lies within `spans` of the last text marked by why it is doubted."""
    edges = sorted({edge for span in spans for edge in span})
    inside = [span for span in spans if span[0] < span[1]]
    made: list[Piece] = []
    at = 0
    for piece in pieces:
        if piece.op == "del":
            made.append(piece)
            continue
        cuts = [at, *(edge for edge in edges if at < edge < at + len(piece.text)), at + len(piece.text)]
        for start, end in pairwise(cuts):
            within = any(first <= start and end <= last for first, last in inside)
            made.append(replace(piece, text=piece.text[start - at : end - at], doubt=doubt if within else piece.doubt))
        at += len(piece.text)
    return list(_joined(made))


@dataclass(frozen=True)
class TakenOut:
    """A private detail that was cut from a caption: its kind, its words, and the end of what stayed before it."""

    kind: str
    words: str
    before: str


def taken_out(before: str, after: str, spans: Iterable[tuple[int, int, str]]) -> list[TakenOut]:
    """Those of the (start, end, kind) `spans` of `before` that were cut to get `after`, in their order."""
    cut: list[tuple[int, int]] = []
    at = 0
    for step in word_diff(before, after):
        if step.op == "del":
            cut.append((at, at + len(step.text)))
        at += len(step.text) if step.op != "ins" else 0
    out = [
        (start, end, kind)
        for start, end, kind in sorted(spans)
        if before[start:end] not in after or any(first < end and start < last for first, last in cut)
    ]
    made, stayed, last = [], "", 0
    for start, end, kind in out:
        stayed, last = stayed + before[last:start], end
        made.append(TakenOut(kind, before[start:end], stayed[-BEFORE:]))
    return made
