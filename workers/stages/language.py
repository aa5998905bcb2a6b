"""Language: which one the caption on offer is in. The stage's setting says which of them are reviewed."""

from typing import Any

from app.jobs import RunningJob
from app.prefilter.languages import LANGUAGES
from app.prefilter.policies import StageInput, StageResult


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return (item.offered_id,)


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: the language's code as label, its probability as score."""
    from workers.ml.language import identify

    results = []
    for item in batch:
        code, probability = identify(item.offered, LANGUAGES)
        results.append(StageResult(item.candidate_id, score=round(probability, 4), label=code))
    return results
