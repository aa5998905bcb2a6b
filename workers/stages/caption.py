"""Caption: this image's part of it, what rules can clean, with what they removed, and the fields that words name."""

from typing import Any

from app.jobs import RunningJob
from app.prefilter import caption_rules, carousel
from app.prefilter.field_rules import fields_in
from app.prefilter.policies import Offer, StageInput, StageResult
from app.prefilter.stages import BY_NAME
from app.tables import CaptionKind


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return (item.caption_id, item.position, item.images) if item.images > 1 else (item.caption_id,)


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: how much descriptive text is left, and the captions to offer: the part, and it cleaned."""
    return [_result(item) for item in batch]


def _result(item: StageInput) -> StageResult:
    parts = carousel.split(item.caption, item.images)
    part = parts[item.position - 1] if parts else item.caption
    cleaned = caption_rules.clean(part)
    kinds: dict[str, int] = {}
    for removed in cleaned.removed:
        kinds[removed.kind] = kinds.get(removed.kind, 0) + 1
    evidence: dict[str, Any] = {
        "removed": len(cleaned.removed),
        "kinds": kinds,
        "fields": fields_in(cleaned.text),
        "notes": list(cleaned.notes),
    }
    if parts:
        evidence["part"] = {"image": item.position, "images": item.images}
    offers = _offers(item, part if parts else "", cleaned.text) if cleaned.text else ()
    return StageResult(item.candidate_id, score=round(cleaned.score, 4), evidence=evidence, offers=offers)


def _offers(item: StageInput, part: str, cleaned: str) -> list[Offer]:
    """The cleaned caption, made from the part of the original that is this image's where it has one."""
    made_by = f"rules {BY_NAME['caption'].version}"
    if not part:
        return [Offer(CaptionKind.CLEANED, cleaned, made_by, item.caption_id)]
    piece = Offer(CaptionKind.PROPOSED, part, f"carousel {carousel.VERSION}", item.caption_id)
    return [piece, Offer(CaptionKind.CLEANED, cleaned, made_by)]
