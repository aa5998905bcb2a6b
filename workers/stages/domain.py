"""Domain: histopathology or not.

By a trained classifier where one is in use; else by zero-shot prompts when the CLIP in use has trained
weights; else it is not run, and says so.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.db import transaction
from app.jobs import RunningJob
from app.prefilter.policies import StageInput, StageResult
from app.tables import Classifier, Encoder, EncoderKind, Outcome, Weights
from workers.ml.zero_shot import PROMPTS_VERSION
from workers.vectors import load, vectors_of

if TYPE_CHECKING:
    from workers.ml.encoder import Encoder as Network


def looked_at(item: StageInput, setting: dict[str, Any]) -> tuple[object, ...]:
    if setting.get("classifier"):
        return item.image_sha256, setting["classifier"]
    return item.image_sha256, setting.get("encoder"), PROMPTS_VERSION


def run(batch: list[StageInput], setting: dict[str, Any], job: RunningJob) -> list[StageResult]:
    """A result a candidate: the probability that it is a micrograph of tissue, or not run."""
    images = [(item.image_id, item.image_sha256) for item in batch]
    with transaction() as session:
        classifier = session.get(Classifier, setting["classifier"]) if setting.get("classifier") else None
        encoder_id = classifier.encoder_id if classifier else setting.get("encoder")
        encoder = session.get(Encoder, encoder_id) if encoder_id else None
    learned_from: dict[str, float] = {}
    if encoder and classifier:
        scores = _head_scores(classifier, vectors_of(job, encoder, images))
        evidence = {"by": classifier.name, "encoder": encoder.name}
        learned_from = classifier.head.get("held_out", {})
    elif encoder and encoder.weights is Weights.TRAINED and encoder.kind is EncoderKind.IMAGE_TEXT:
        scores = _prompt_scores(encoder, vectors_of(job, encoder, images))
        evidence = {"by": "zero-shot prompts", "encoder": encoder.name}
    else:
        why = {"why": "no classifier is in use and the encoder in use has no text side with trained weights"}
        return [StageResult(item.candidate_id, Outcome.NOT_RUN, evidence=why) for item in batch]
    return [
        _result(item, float(score), evidence, learned_from.get(item.image_sha256))
        for item, score in zip(batch, scores, strict=True)
    ]


def _result(item: StageInput, score: float, evidence: dict[str, Any], held_out: float | None) -> StageResult:
    """A picture that the classifier learned from counts as a fold's head sees it that had not: else it knows it."""
    if held_out is not None:
        score, evidence = held_out, {**evidence, "held_out": True}
    label = "histology" if score >= 0.5 else "other"
    return StageResult(item.candidate_id, score=round(score, 6), label=label, evidence=evidence)


def _head_scores(classifier: Classifier, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    from workers.ml.classifier import LinearHead

    return LinearHead.from_json(classifier.head).predict(vectors)


def _prompt_scores(encoder: Encoder, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    from workers.ml.zero_shot import zero_shot_scores

    network = load(encoder)
    positive, negative = _prompt_vectors(network)
    return zero_shot_scores(vectors, positive, negative, network.logit_scale or 100.0)


@lru_cache(maxsize=2)
def _prompt_vectors(network: "Network") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from workers.ml import zero_shot

    embed = network.embed_texts
    positive = zero_shot.class_vectors(embed, zero_shot.HISTOLOGY_TEMPLATES, zero_shot.HISTOLOGY)
    return positive, zero_shot.class_vectors(embed, zero_shot.OTHER_TEMPLATES, zero_shot.OTHER)
