"""Trains the histology classifier on reviews, and measures it beside the one in use on authors neither learned from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app import jobs
from app.db import transaction
from app.jobs import RunningJob
from app.prefilter import evidence, queries, training
from app.tables import Classifier, Encoder, Image, Label, LabelSet, Weights
from workers.ml.classifier import LinearHead, calibrated, fit
from workers.ml.evaluation import evaluate, line_within, most_surprising
from workers.vectors import Vectors, register_efficientnet, vectors_of

BATCH = 64
HELD_OUT_ONE_IN = 4  # authors
MISTAKES = 12
POSITIVE, OTHER = "histology", "other"


@dataclass(frozen=True)
class Example:
    image_id: int
    sha256: str
    positive: bool
    author: str

    @property
    def is_held_out(self) -> bool:
        """By a hash of the author alone, so that no classifier trained from reviews ever learns from these."""
        return int.from_bytes(hashlib.sha256(self.author.encode()).digest()[:8]) % HELD_OUT_ONE_IN == 0


class TooFewAuthors(ValueError):
    """The authors can't be divided so that both classes are on both sides."""


def run_train_from_reviews(job: RunningJob) -> None:
    """Fits a head on a label set of all reviews so far. It is not taken into use: a person compares first."""
    encoder = _encoder(job)
    examples = _examples()
    train, test = _divided(examples)
    job.total, job.unit = len(examples), "pictures"
    rows, tests = _features(job, encoder, train), _features(job, encoder, test)
    positive = np.array([one.positive for one in train])
    head = calibrated(fit(rows, positive.tolist(), seed=0, groups=[one.author for one in train]), positive)
    with transaction() as session:
        row = queries.stage_row(session, "domain")
        line, bound = row.threshold or 0.5, evidence.audit_settings(session).bound
    truth, probabilities = np.array([one.positive for one in test]), head.predict(tests)
    threshold, missing = line_within(probabilities[truth], bound)
    measured = {
        "held_out": evaluate(truth, probabilities, [one.author for one in test], line),
        "mistakes": [
            {"sha256": test[at].sha256, "probability": float(probabilities[at]), "positive": test[at].positive}
            for at in most_surprising(truth, probabilities, MISTAKES)
        ],
        "proposal": {"threshold": threshold, "missing": missing, "bound": bound},
        "beside": _beside(job, test, truth, line),
    }
    _store(job, encoder, head, examples, measured)


def _encoder(job: RunningJob) -> Encoder:
    """The encoder in use where its weights are trained; else the one whose weights ship in a package."""
    with transaction() as session:
        in_use = queries.encoder_in_use(session)
    if in_use and in_use.weights is Weights.TRAINED:
        return in_use
    return register_efficientnet(job)


def _examples() -> list[Example]:
    with transaction() as session:
        each = training.judged_images().subquery()
        rows = session.execute(
            select(Image.id, Image.sha256, each.c.positive, each.c.author)
            .join(each, each.c.image_id == Image.id)
            .order_by(Image.sha256)
        )
        return [Example(*row) for row in rows]


def _divided(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    train = [one for one in examples if not one.is_held_out]
    test = [one for one in examples if one.is_held_out]
    for side in (train, test):
        if len({one.positive for one in side}) < 2:
            raise TooFewAuthors("Too few authors: both accepted and rejected pictures must come from several.")
    return train, test


def _features(job: RunningJob, encoder: Encoder, examples: Sequence[Example]) -> Vectors:
    rows = []
    for start in range(0, len(examples), BATCH):
        some = examples[start : start + BATCH]
        rows.append(vectors_of(job, encoder, [(one.image_id, one.sha256) for one in some]))
        with job.step():
            job.done += len(some)
    return np.concatenate(rows)


def _beside(job: RunningJob, test: Sequence[Example], truth: NDArray[np.bool_], line: float) -> dict[str, Any] | None:
    """The classifier in use on the same held-out pictures. What it learned from itself, it is asked by a fold."""
    with transaction() as session:
        in_use = queries.classifier_in_use(session)
        encoder = queries.encoder(session, in_use.encoder_id) if in_use else None
    if not in_use or not encoder:
        return None
    learned_from = in_use.head.get("held_out", {})
    probabilities = LinearHead.from_json(in_use.head).predict(
        np.concatenate(
            [
                vectors_of(job, encoder, [(one.image_id, one.sha256) for one in test[start : start + BATCH]])
                for start in range(0, len(test), BATCH)
            ]
        )
    )
    for at, one in enumerate(test):
        probabilities[at] = learned_from.get(one.sha256, probabilities[at])
    return {"classifier": in_use.id, **evaluate(truth, probabilities, [one.author for one in test], line)}


def _store(
    job: RunningJob, encoder: Encoder, head: LinearHead, examples: Sequence[Example], measured: dict[str, Any]
) -> None:
    stored = head.to_json()
    with job.step() as session:
        label_set = LabelSet(name=f"reviews, job {job.id}", note="Accepted pictures, and those that are no histology.")
        session.add(label_set)
        session.flush()
        labels = [
            {
                "label_set_id": label_set.id,
                "image_id": one.image_id,
                "label": POSITIVE if one.positive else OTHER,
                "group": one.author,
            }
            for one in examples
        ]
        session.execute(insert(Label), labels)
        made = Classifier(
            name=f"head {job.id} on {encoder.name}",
            encoder_id=encoder.id,
            label_set_id=label_set.id,
            head=stored,
            metrics=stored["cross_validation"] | measured,
            made_by=job.requested_by,
        )
        session.add(made)
        session.flush()
        job.cursor = {"classifier": made.id}
        details = {"label_set": label_set.id, "pictures": len(examples)}
        jobs.record(session, "classifier.trained", "classifier", made.id, job_id=job.id, details=details)
