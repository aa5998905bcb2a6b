"""Faces: people in the picture who could be recognised."""

from typing import Any

from app.jobs import RunningJob
from app.prefilter.policies import StageInput, StageResult
from app.tables import Outcome


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return (item.image_sha256,)


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    return [StageResult(item.candidate_id, Outcome.NOT_RUN, evidence={"why": "not built yet"}) for item in batch]
