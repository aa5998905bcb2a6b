"""Word differences between two captions, as pieces to show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

MAX_EDITS = 500  # words put in or taken out; cost grows with its square, about 0.1 s at the limit

Op = Literal["same", "ins", "del"]
OPS: tuple[Op, ...] = ("same", "del", "ins")

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff"  # part of a word but no letters
_TOKEN = re.compile(rf"\s+|[{_UNSPACED}]|[^\W{_UNSPACED}{_MARKS}][^\W{_UNSPACED}]*(?:[{_MARKS}]+\w*)*|.", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A stretch of text that stays, was put in or was taken out."""

    text: str
    op: Op


def word_diff(before: str, after: str) -> list[Piece]:
    """Fewest words taken out and put in to get from `before` to `after`; no edit of spaces is lost.

    Same and deleted pieces joined give `before`, same and inserted ones `after`, exactly. Scripts without
    spaces are compared by character. Texts that differ in more than 500 words show as one replacement.
    Method: E. W. Myers, An O(ND) difference algorithm (Algorithmica 1986).
    """
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    middle = _edits(old[head : len(old) - tail], new[head : len(new) - tail])
    same_tail = [Piece(token, "same") for token in old[len(old) - tail :]]
    return _joined([*(Piece(token, "same") for token in old[:head]), *middle, *same_tail])


def distance(before: str, after: str) -> float:
    """The share of both texts' characters that the word difference takes out or puts in, from 0 to 1."""
    changed = sum(len(piece.text) for piece in word_diff(before, after) if piece.op != "same")
    return changed / (len(before) + len(after)) if changed else 0.0


def _common(old: list[str], new: list[str]) -> int:
    return next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _edits(old: list[str], new: list[str]) -> list[Piece]:
    """Myers' greedy search: the furthest position in `old` that n edits reach, by diagonal (old - new)."""
    reached = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(MAX_EDITS + 1):
        history.append(dict(reached))
        for diagonal in range(-edits, edits + 1, 2):
            previous = _previous(reached, diagonal, edits)
            at = reached[previous] + (previous < diagonal)
            while at < len(old) and at - diagonal < len(new) and old[at] == new[at - diagonal]:
                at += 1
            reached[diagonal] = at
            if at >= len(old) and at - diagonal >= len(new):
                return [*_walked_back(old, new, history)][::-1]
    return [Piece("".join(old), "del"), Piece("".join(new), "ins")]


def _previous(reached: dict[int, int], diagonal: int, edits: int) -> int:
    """The diagonal that the last edit came from: the next one if a word was put in, else the one before."""
    put_in = diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1])
    return diagonal + 1 if put_in else diagonal - 1


def _walked_back(old: list[str], new: list[str], history: list[dict[int, int]]) -> Iterator[Piece]:
    at, diagonal = len(old), len(old) - len(new)
    for edits in range(len(history) - 1, 0, -1):
        reached = history[edits]
        previous = _previous(reached, diagonal, edits)
        start = reached[previous]
        taken_out = previous < diagonal
        yield from (Piece(token, "same") for token in old[start + taken_out : at][::-1])
        yield Piece(old[start], "del") if taken_out else Piece(new[start - previous], "ins")
        at, diagonal = start, previous
    yield from (Piece(token, "same") for token in old[:at][::-1])


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one, deletions first; a lone space between two changes changes too."""
    runs = _runs(pieces)
    bridged: list[Piece] = []
    for number, run in enumerate(runs):
        text = "".join(piece.text for piece in run)
        if run[0].op == "same" and text.isspace() and 0 < number < len(runs) - 1:
            run = [Piece(text, "del"), Piece(text, "ins")]
        bridged += run
    return [piece for run in _runs(bridged) for piece in _by_kind(run)]


def _runs(pieces: list[Piece]) -> list[list[Piece]]:
    return [list(run) for _, run in groupby(pieces, key=lambda piece: piece.op == "same")]


def _by_kind(run: list[Piece]) -> Iterator[Piece]:
    for op in OPS:
        text = "".join(piece.text for piece in run if piece.op == op)
        if text:
            yield Piece(text, op)
