"""A text that is edited while every character remembers its place in the original."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["emoji", "invisible", "hashtag", "mention", "link", "promotion", "question", "punctuation"]
Span = tuple[int, int]
Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Removed:
    """Characters start to end of the original caption are left out, and why."""

    kind: Kind
    start: int
    end: int


class TrackedText:
    """A text under edit that knows, for each of its characters, where in the original it comes from."""

    def __init__(self, original: str) -> None:
        self.now = original
        self.notes: list[str] = []
        self._original = original
        self._removed: list[Removed] = []
        self._starts = list(range(len(original)))
        self._ends = list(range(1, len(original) + 1))

    def edit(self, edits: Iterable[Edit], cut_as: Kind | None = None) -> bool:
        """Apply (start, end, new) edits, in order and apart; returns whether there were any."""
        texts, starts, ends, at = [], list[int](), list[int](), 0
        for start, end, new in edits:
            if cut_as:
                self._note_cut(start, end, cut_as)
            same_length = len(new) == end - start
            texts += [self.now[at:start], new]
            starts += self._starts[at:start]
            starts += self._starts[start:end] if same_length else self._starts[start : start + 1] * len(new)
            ends += self._ends[at:start]
            ends += self._ends[start:end] if same_length else self._ends[end - 1 : end] * len(new)
            at = end
        if not texts:
            return False
        self.now = "".join([*texts, self.now[at:]])
        self._starts, self._ends = starts + self._starts[at:], ends + self._ends[at:]
        return True

    def substitute(self, pattern: re.Pattern[str], new: str, cut_as: Kind | None = None) -> bool:
        """Put `new` for every match."""
        return self.edit(((*match.span(), new) for match in pattern.finditer(self.now)), cut_as)

    def collapse(self, pattern: re.Pattern[str], new: str) -> bool:
        """Substitute, skipping what is so already."""
        found = (match for match in pattern.finditer(self.now) if match.group() != new)
        return self.edit((*match.span(), new) for match in found)

    def cut(self, spans: Iterable[Span], cut_as: Kind) -> bool:
        """Cut spans out; what stood apart stays apart."""
        return self.edit([(start, end, self._gap(start, end)) for start, end in spans], cut_as)

    def removed(self) -> tuple[Removed, ...]:
        """In reading order and apart; neighbours of one kind, with nothing but space between, as one."""
        merged: list[Removed] = []
        for part in sorted(self._removed, key=lambda part: (part.start, part.end)):
            last = merged[-1] if merged else Removed(part.kind, 0, 0)
            start = max(part.start, last.end)
            if start >= part.end:
                continue
            if merged and part.kind == last.kind and not self._original[last.end : start].strip():
                merged[-1] = Removed(last.kind, last.start, part.end)
            else:
                merged.append(Removed(part.kind, start, part.end))
        return tuple(merged)

    def _note_cut(self, start: int, end: int, kind: Kind) -> None:
        gone = self.now[start:end]
        words = gone.strip()
        if words:
            first = start + gone.index(words[0])
            last = first + len(words) - 1
            self._removed.append(Removed(kind, self._starts[first], self._ends[last]))

    def _gap(self, start: int, end: int) -> str:
        before, gone, after = self.now[start - 1 : start], self.now[start:end], self.now[end : end + 1]
        was_apart = gone != gone.strip() and not before.isspace() and (after.isalnum() or after in {"(", "[", "{"})
        return " " if was_apart or (before.isalnum() and after.isalnum()) else ""
