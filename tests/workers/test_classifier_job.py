"""Training the histology classifier, and what it then says of the pictures that it learned from."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app import jobs
from app.db import transaction
from app.jobs import RunningJob
from app.prefilter import queries
from app.tables import Candidate, Encoder, EncoderKind, Image, Label, LabelSet, Weights, WorkQueue
from tests.factories import make_candidate
from workers import classifier, main, vectors
from workers.stages import domain

pytestmark = pytest.mark.usefixtures("own_database")


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors in which nothing but each picture itself can be learned; no broker, no network."""

    def vectors_of(_job: RunningJob, _encoder: Encoder, images: Sequence[tuple[int, str]]) -> NDArray[np.float32]:
        made = [np.random.default_rng(image_id).normal(size=256).astype(np.float32) for image_id, _ in images]
        return np.stack(made)

    def register(_job: RunningJob) -> Encoder:
        with transaction() as session:
            return an_encoder(session)

    monkeypatch.setattr(jobs, "send", lambda job_id, queue: None)
    monkeypatch.setattr(classifier, "register_efficientnet", register)
    for module in (classifier, domain, vectors):
        monkeypatch.setattr(module, "vectors_of", vectors_of)


def an_encoder(session: Session) -> Encoder:
    kind = {"kind": EncoderKind.IMAGE, "weights": Weights.TRAINED}
    encoder = Encoder(name="Noise", source="test", model="noise", width=256, **kind)
    session.add(encoder)
    session.flush()
    return encoder


def train(candidates: Sequence[Candidate]) -> None:
    with transaction() as session:
        label_set = LabelSet(name="labels")
        session.add(label_set)
        session.flush()
        for number, candidate in enumerate(candidates):
            label = "histology" if number % 2 else "other"
            session.add(Label(label_set_id=label_set.id, image_id=candidate.image_id, label=label))
        job = jobs.submit(session, "train_classifier", WorkQueue.GPU, {"label_set": label_set.id})
    main.run_job(job.id)


def test_a_picture_that_it_learned_from_is_scored_by_a_fold_that_had_not_seen_it() -> None:
    with transaction() as session:
        learned = [make_candidate(session) for _ in range(40)]
        new = make_candidate(session)
        first = session.get_one(Image, learned[0].image_id).sha256
    train(learned)
    with transaction() as session:
        head = queries.classifier_in_use(session)
        assert head is not None
        job = jobs.submit(session, "prefilter", WorkQueue.GPU, {"stage": "domain"})
        setting = dict(queries.stage_row(session, "domain").setting)
        batch = queries.inputs(session, [learned[0].id, new.id])
    assert len(head.head["held_out"]) == 40
    running = jobs.claim(job.id)
    assert running is not None
    known, unknown = domain.run(batch, setting, running)
    assert known.score == head.head["held_out"][first]
    assert known.evidence["held_out"]
    assert "held_out" not in unknown.evidence
