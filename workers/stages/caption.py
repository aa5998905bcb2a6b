"""Caption: what rules can clean, with what they removed, and the fields that the words name."""

from typing import Any

from app.jobs import RunningJob
from app.prefilter import caption_rules
from app.prefilter.field_rules import fields_in
from app.prefilter.policies import Offer, StageInput, StageResult
from app.prefilter.stages import BY_NAME
from app.tables import CaptionKind


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return (item.caption_id,)


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: how much descriptive text is left, and the cleaned caption to offer."""
    return [_result(item) for item in batch]


def _result(item: StageInput) -> StageResult:
    cleaned = caption_rules.clean(item.caption)
    kinds: dict[str, int] = {}
    for removed in cleaned.removed:
        kinds[removed.kind] = kinds.get(removed.kind, 0) + 1
    evidence = {
        "removed": len(cleaned.removed),
        "kinds": kinds,
        "fields": fields_in(cleaned.text),
        "notes": list(cleaned.notes),
    }
    made = [Offer(CaptionKind.CLEANED, cleaned.text, f"rules {BY_NAME['caption'].version}", item.caption_id)]
    return StageResult(
        item.candidate_id, score=round(cleaned.score, 4), evidence=evidence, offers=made if cleaned.text else ()
    )
