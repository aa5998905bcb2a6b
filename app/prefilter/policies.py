"""Verdicts: a threshold applied to a stored score. Nothing here asks the database."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.tables.prefilter import Outcome


@dataclass
class StageInput:
    """One candidate as a stage gets it: its picture, its newest original caption and the text on offer."""

    candidate_id: int
    image_id: int
    image_sha256: str
    caption_id: int | None
    caption: str
    caption_version: int = 0
    offered_id: int | None = None
    offered: str = ""
    post_id: int | None = None


@dataclass
class StageResult:
    """What a stage says of one candidate, with what else it computed (written in the same step)."""

    candidate_id: int
    outcome: Outcome = Outcome.OK
    score: float | None = None
    label: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    pdq: str | None = None
    pdq_quality: int = 0
    cleaned: str | None = None


def passes(score: float | None, outcome: Outcome, threshold: float | None) -> bool:
    """Whether a candidate goes on. What was not run, failed, or has no score is never dropped for it."""
    if outcome is not Outcome.OK or score is None or threshold is None:
        return True
    return score >= threshold


def is_reviewed(language: str | None, reviewed: Collection[str] | None) -> bool:
    """Whether captions in this language go on to reviewers; None means that those in every language do."""
    return reviewed is None or language in reviewed


def goes_on(result: StageResult, threshold: float | None, setting: Mapping[str, Any]) -> bool:
    """Whether a stage lets a candidate through, by its threshold and by the languages of its setting."""
    if result.outcome is Outcome.OK and not is_reviewed(result.label, setting.get("reviewed")):
        return False
    return passes(result.score, result.outcome, threshold)
