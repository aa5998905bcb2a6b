"""Embedding: the picture's vector under the encoder in use, stored in pgvector. It drops nothing."""

from typing import Any

from app.db import transaction
from app.encoders.actions import ask_for_index
from app.jobs import RunningJob
from app.prefilter import actions, queries
from app.prefilter.policies import StageInput, StageResult
from app.tables import Encoder, Outcome
from workers.vectors import embed, reason, register_clip


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    return item.image_sha256, setting.get("encoder")


def encoder_in_use(setting: dict[str, Any], job: RunningJob) -> Encoder:
    """The encoder that the stage's setting names; on a fresh system the one that the environment names."""
    if setting.get("encoder"):
        with transaction() as session:
            return queries.encoder(session, setting["encoder"])
    made = register_clip(job)
    with job.step() as session:
        actions.use_encoder(session, made.id)
    setting["encoder"] = made.id
    return made


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate; a picture that can't be embedded fails alone, with its reason."""
    encoder = encoder_in_use(setting, job)
    made = embed(job, encoder, [(item.image_id, item.image_sha256) for item in batch])
    with job.step() as session:
        ask_for_index(session, encoder)
    return [_result(item, encoder, made.failed.get(item.image_id)) for item in batch]


def _result(item: StageInput, encoder: Encoder, error: Exception | None) -> StageResult:
    evidence: dict[str, Any]
    if error:
        evidence = {"error": type(error).__name__, "why": reason(error)}
        return StageResult(item.candidate_id, Outcome.ERROR, evidence=evidence)
    evidence = {"encoder": encoder.id, "name": encoder.name, "weights": encoder.weights.value}
    return StageResult(item.candidate_id, label=encoder.weights.value, evidence=evidence)
