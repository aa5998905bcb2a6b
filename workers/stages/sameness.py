"""Sameness: the picture's PDQ hash. Groups and kept copies are found where the finding is written."""

from typing import Any

from app.jobs import RunningJob
from app.prefilter.policies import StageInput, StageResult
from app.storage import blobs


def looked_at(item: StageInput, setting: dict[str, Any]) -> None:
    """What it looks at is the whole group, known only when the finding is written."""
    return


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate with its 256-bit hash as text of 0 and 1."""
    from workers.ml.perceptual import pdq

    results = []
    for item in batch:
        found = pdq(blobs().get(item.image_sha256))
        bits = f"{int.from_bytes(found.pdq):0256b}"
        evidence = {"content": round(found.content, 3)}
        results.append(StageResult(item.candidate_id, evidence=evidence, pdq=bits, pdq_quality=found.quality))
    return results
