"""Quality: large enough, not too narrow, sharp, not blank. One score between 0 and 1 from three measures."""

from typing import Any

from app.jobs import RunningJob
from app.prefilter.limits import limits_of
from app.prefilter.policies import StageInput, StageResult
from app.storage import blobs

SHARP = 100.0  # variance of the Laplacian at which a picture counts as fully sharp
BLURRED = 20.0
BLANK = 0.98  # share of near-uniform tiles beyond which nothing is on the picture


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    aspect = setting.get("aspect")
    return (item.image_sha256, setting.get("shorter_side"), *([aspect] if aspect else []))


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: 0 when too small, too narrow or blank, else how sharp it is (1 from variance 100 on)."""
    from workers.ml.quality import measure

    results, limits = [], limits_of(setting)
    for item in batch:
        found = measure(blobs().get(item.image_sha256))
        evidence = {
            "width": found.width,
            "height": found.height,
            "sharpness": round(found.sharpness, 1),
            "blankness": round(found.blankness, 3),
        }
        if label := limits.broken_by(found.width, found.height):
            score = 0.0
        elif found.blankness > BLANK:
            score, label = 0.0, "blank"
        else:
            score, label = (
                min(1.0, found.sharpness / SHARP),
                "blurred" if found.sharpness < BLURRED else "sharp",
            )
        results.append(StageResult(item.candidate_id, score=round(score, 4), label=label, evidence=evidence))
    return results
