"""What machines propose for a candidate, as the review page shows it: the caption and its way, and the fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session

from app.curation import queries
from app.curation.actions import plain_lines
from app.curation.queries import Found, Shown
from app.prefilter import faithfulness, origins
from app.prefilter.faithfulness import Sentence
from app.prefilter.field_rules import fields_in
from app.prefilter.origins import Maker, Piece, TakenOut
from app.prefilter.policies import Version
from app.prefilter.queries import lineages
from app.tables import Draft

UNSUPPORTED = "Not in the original: check it"
OTHERWISE = "The original says it otherwise: check it"
MOST_LINKS = 5


@dataclass(frozen=True)
class Source:
    """A sentence of the language model's, the words of what it was given that it came from, and what speaks against."""

    said: str
    words: list[str]
    doubt: str = ""


@dataclass(frozen=True)
class ShownCaption:
    """A caption against its original: `changes` with who made them, `done` says the same in words.

    `sources` say where each sentence comes from, while the language model's are on offer. `newer` is the text on offer
    where that changed after the draft was begun.
    """

    text: str
    done: str
    changes: list[Piece]
    is_draft: bool
    taken_out: list[TakenOut]
    sources: list[Source]
    newer: str = ""

    @property
    def original(self) -> list[Piece]:
        """What was posted; doubts are about the caption alone."""
        return [replace(piece, doubt="") for piece in self.changes if piece.op != "ins"]

    @property
    def pieces(self) -> list[Piece]:
        """The caption itself."""
        return [piece for piece in self.changes if piece.op != "del"]

    @property
    def makers(self) -> list[tuple[Maker, str]]:
        """Who changed something, each with its name."""
        makers = dict.fromkeys(piece.maker for piece in self.changes if piece.maker)
        return [(maker, origins.TITLES[maker]) for maker in makers]

    def without_makers(self) -> "ShownCaption":
        """The same as a spot check shows it: what changed, and not who changed it."""
        return replace(self, done="", sources=[], changes=[replace(piece, maker=None) for piece in self.changes])

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
        for start, end, why in unsupported(versions):
            pieces = origins.doubted(pieces, [(start, end)], why)
    return ShownCaption(
        text=shown.offered if edited is None else edited,
        done="your draft" if edited is not None else origins.in_words(made),
        changes=pieces,
        is_draft=edited is not None,
        taken_out=taken_out(versions, private),
        sources=sources(versions) if edited is None else [],
        newer=shown.offered if draft and edited is not None and _is_older(draft, shown) else "",
    )


def _is_older(draft: Draft, shown: Shown) -> bool:
    return draft.caption_version < shown.candidate.caption_version


def unsupported(versions: Sequence[Version]) -> list[tuple[int, int, str]]:
    """Where the language model's proposal, if it is on offer, says what it was not given, and why that is thought."""
    return [(one.start, one.end, _why(one, versions)) for one in _sentences(versions) if not one.supported]


def sources(versions: Sequence[Version]) -> list[Source]:
    """Each sentence of the language model's proposal, if it is on offer, with the words that it came from."""
    said = versions[-1].text if versions else ""
    return [Source(said[one.start : one.end], _words(one, versions), _doubt(one)) for one in _sentences(versions)]


def _sentences(versions: Sequence[Version]) -> Sequence[Sentence]:
    """Those of the language model's proposal against the text that it was given; none where another is on offer."""
    if len(versions) < 2 or origins.maker_of(versions[-1].made_by) is not Maker.LLM:
        return ()
    return faithfulness.check(versions[-2].text, versions[-1].text).sentences


def _words(sentence: Sentence, versions: Sequence[Version]) -> list[str]:
    return [versions[-2].text[start:end] for start, end in sentence.links]


def _doubt(sentence: Sentence) -> str:
    if sentence.supported:
        return ""
    return OTHERWISE if sentence.support == 1 else UNSUPPORTED


def _why(sentence: Sentence, versions: Sequence[Version]) -> str:
    """What speaks against a sentence, with the words of the original that it leans on."""
    words = ", ".join(f"“{words}”" for words in _words(sentence, versions)[:MOST_LINKS])
    return _doubt(sentence) + (f". It leans on {words}" if words else "")


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
    """The fields that the form begins with, and those that stand as rules or the language model gave them."""

    values: Mapping[str, Any]
    ruled: frozenset[str] = frozenset()
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
    values, checked = {**guessed, **by_rules}, set[str]()
    if draft and draft.fields:
        values, checked = _of_draft(session, draft), set(draft.fields.get("checked", ()))

    def left(given: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(
            name for name, value in given.items() if value and values.get(name) == value and name not in checked
        )

    return ShownFields(values, left(by_rules), left(guessed))


def _of_draft(session: Session, draft: Draft) -> dict[str, Any]:
    values = dict(draft.fields)
    if isinstance(text_id := values.pop("diagnosis_text", None), int):
        values["diagnosis"] = queries.evidence_text(session, [text_id]).get(text_id, "")
    return values
