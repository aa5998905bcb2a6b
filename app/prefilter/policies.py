"""Verdicts: a threshold applied to a stored score. Nothing here asks the database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.prefilter.grouping import Match
from app.prefilter.privacy import Action, strongest
from app.tables.candidate import CaptionKind
from app.tables.prefilter import Outcome


@dataclass(frozen=True)
class Version:
    """A caption on the way from the original to the one on offer; `made_by` begins with what made it."""

    id: int
    made_by: str
    text: str


@dataclass
class StageInput:
    """One candidate as a stage gets it: its picture, its newest original caption and the text on offer.

    `images` is the last position of its post and `handle` the poster's, without "@". `versions` lead from an original
    to the text on offer, which is the last of them.
    """

    candidate_id: int
    image_id: int
    image_sha256: str
    caption_id: int | None
    caption: str
    caption_version: int = 0
    offered_id: int | None = None
    offered: str = ""
    post_id: int | None = None
    position: int = 1
    images: int = 1
    handle: str = ""
    versions: Sequence[Version] = ()

    def before(self, *makers: str) -> Version | None:
        """The caption on offer as it was before these stages put theirs on offer."""
        kept = [version for version in self.versions if version.made_by.split(" ")[0] not in makers]
        return kept[-1] if kept else None


@dataclass(frozen=True)
class Offer:
    """A caption that a stage puts on offer, made from another. Where both say the same, that one is on offer again.

    `based_on` None stands for the offer before it in the same result.
    """

    kind: CaptionKind
    text: str
    made_by: str
    based_on: int | None = None


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105
    DROP = "drop"
    HOLD = "hold"


@dataclass
class StageResult:
    """What a stage says of one candidate, with what else it computed (written in the same step).

    `words` were read in the picture; they are kept as evidence text, which the finding's evidence then names.
    """

    candidate_id: int
    outcome: Outcome = Outcome.OK
    score: float | None = None
    label: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    pdq: str | None = None
    pdq_quality: int = 0
    matches: Sequence[Match] = ()
    offers: Sequence[Offer] = ()
    words: str = ""


def passes(score: float | None, outcome: Outcome, threshold: float | None) -> bool:
    """Whether a candidate goes on. What was not run, failed, or has no score is never dropped for it."""
    if outcome is not Outcome.OK or score is None or threshold is None:
        return True
    return score >= threshold


def is_reviewed(language: str | None, reviewed: Collection[str] | None) -> bool:
    """Whether captions in this language go on to reviewers; None means that those in every language do."""
    return reviewed is None or language in reviewed


def verdict(result: StageResult, threshold: float | None, setting: Mapping[str, Any]) -> Verdict:
    """What a stage's setting makes of a finding: by the kinds that it holds, its languages, its threshold."""
    if result.outcome is Outcome.OK:
        if holds(result.evidence, setting):
            return Verdict.HOLD
        if not is_reviewed(result.label, setting.get("reviewed")):
            return Verdict.DROP
    line = None if only_ranks(setting) else threshold
    return Verdict.PASS if passes(result.score, result.outcome, line) else Verdict.DROP


def only_ranks(setting: Mapping[str, Any]) -> bool:
    """Whether a stage's scores stop nobody and only put the queue in order."""
    return setting.get("mode") == "rank"


def holds(evidence: Mapping[str, Any], setting: Mapping[str, Any]) -> bool:
    """Whether a kind of private detail was found that the setting says to hold for an admin."""
    return strongest(evidence.get("kinds", {}), setting.get("actions", {})) is Action.HOLD
