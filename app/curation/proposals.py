"""What machines propose for a candidate, as the review page shows it: the caption and its way, and the fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session

from app.curation import queries
from app.curation.actions import plain_lines
from app.curation.queries import Found, Shown
from app.prefilter import faithfulness, origins
from app.prefilter.field_rules import fields_in
from app.prefilter.origins import Maker, Piece, TakenOut
from app.prefilter.policies import Version
from app.prefilter.queries import lineages
from app.tables import Draft

UNSUPPORTED = "Not in the original: check it"


@dataclass(frozen=True)
class ShownCaption:
    """A caption against its original: `changes` with who made them, `done` says the same in words.

    `newer` is the text on offer where that changed after the draft was begun.
    """

    text: str
    done: str
    changes: list[Piece]
    is_draft: bool
    taken_out: list[TakenOut]
    newer: str = ""

    @property
    def original(self) -> list[Piece]:
        return [piece for piece in self.changes if piece.op != "ins"]

    @property
    def pieces(self) -> list[Piece]:
        """The caption itself."""
        return [piece for piece in self.changes if piece.op != "del"]

    @property
    def makers(self) -> list[tuple[Maker, str]]:
        """Who changed something, each with its name."""
        makers = dict.fromkeys(piece.maker for piece in self.changes if piece.maker)
        return [(maker, origins.TITLES[maker]) for maker in makers]

    @property
    def doubts(self) -> int:
        """How many passages are marked, each in one or more pieces."""
        marked = [bool(piece.doubt) for piece in self.pieces]
        return sum(now and not before for before, now in pairwise([False, *marked]))


def caption(session: Session, shown: Shown, draft: Draft | None = None, private: Found | None = None) -> ShownCaption:
    """The caption on offer, or what this reviewer made of it, and how it came about."""
    offered_id = shown.candidate.caption_id
    versions = lineages(session, [offered_id]).get(offered_id, []) if offered_id else []
    made = origins.way(shown.raw, versions)
    typed = plain_lines(draft.text) if draft else ""
    edited = typed if draft and typed != plain_lines(shown.offered) else None
    if edited is not None:
        made = [*made, (Maker.PERSON, edited)]
    pieces = origins.explained(shown.raw, made)
    if edited is None:
        pieces = origins.doubted(pieces, unsupported(versions), UNSUPPORTED)
    return ShownCaption(
        text=shown.offered if edited is None else edited,
        done="your draft" if edited is not None else origins.in_words(made),
        changes=pieces,
        is_draft=edited is not None,
        taken_out=taken_out(versions, private),
        newer=shown.offered if draft and edited is not None and _is_older(draft, shown) else "",
    )


def _is_older(draft: Draft, shown: Shown) -> bool:
    return draft.caption_version < shown.candidate.caption_version


def unsupported(versions: Sequence[Version]) -> Sequence[tuple[int, int]]:
    """Where the language model's proposal, if it is on offer, says what it was not given."""
    if len(versions) < 2 or origins.maker_of(versions[-1].made_by) is not Maker.LLM:
        return ()
    return faithfulness.check(versions[-2].text, versions[-1].text).unsupported


def taken_out(versions: Sequence[Version], private: Found | None) -> list[TakenOut]:
    """The private details that were cut on the way to the text on offer."""
    places = [at for at, version in enumerate(versions) if origins.maker_of(version.made_by) is Maker.PRIVATE]
    if not places or not places[-1] or private is None:
        return []
    before, after = versions[places[-1] - 1], versions[places[-1]]
    if private.evidence.get("caption") != before.id:
        return []
    return origins.taken_out(before.text, after.text, _spans(private.evidence))


def _spans(evidence: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    return [(span["start"], span["end"], span["kind"]) for span in evidence.get("spans") or ()]


@dataclass(frozen=True)
class ShownFields:
    """The fields that the form begins with, where they come from, and those that the language model gave."""

    values: Mapping[str, Any]
    come_from: str = ""
    unchecked: frozenset[str] = frozenset()


def fields(
    session: Session, draft: Draft | None, found: Mapping[str, Found], *, blind: bool, seen: str = ""
) -> ShownFields:
    """What the rules found in the caption (in `seen`, where no stage did), and beside it what the model answered."""
    ruled = found.get("caption")
    by_rules = ruled.evidence.get("fields") if ruled else fields_in(seen)
    by_rules = by_rules if isinstance(by_rules, dict) else {}
    guessed = {} if blind else queries.answered_fields(session, found.get("llm"))
    guessed = {name: value for name, value in guessed.items() if name not in by_rules}
    if draft and draft.fields:
        values = _of_draft(session, draft)
        checked = set(draft.fields.get("checked", ()))
        left = {name for name, value in guessed.items() if values.get(name) == value and name not in checked}
        return ShownFields(values, "your draft", frozenset(left))
    return ShownFields({**guessed, **by_rules}, "rules, unchecked" if by_rules else "", frozenset(guessed))


def _of_draft(session: Session, draft: Draft) -> dict[str, Any]:
    values = dict(draft.fields)
    if isinstance(text_id := values.pop("diagnosis_text", None), int):
        values["diagnosis"] = queries.evidence_text(session, [text_id]).get(text_id, "")
    return values
