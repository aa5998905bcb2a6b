"""The embedding stage: one bad picture fails only itself, and is not embedded again and again."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs
from app.db import transaction
from app.prefilter import actions as prefilter
from app.prefilter import due, queries
from app.prefilter.stages import BY_NAME
from app.storage import blobs
from app.tables import CandidateState, Embedding, Encoder, Finding, Job, Outcome, Weights, WorkQueue
from tests.encoders.models import register, work
from tests.factories import make_candidate
from workers import vectors
from workers.ml.encoder import Encoder as Network
from workers.stages import domain, embedding

S = CandidateState

pytestmark = pytest.mark.usefixtures("models")


def claimed(session: Session) -> Job:
    return jobs.submit(session, "prefilter", WorkQueue.GPU, {"stage": "embedding"})


def test_a_bad_picture_in_a_batch_fails_alone_and_the_others_are_embedded_once(
    old: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction() as session:
        candidates = [make_candidate(session, with_blob=True) for _ in range(12)]
        batch = queries.inputs(session, [candidate.id for candidate in candidates])
        job, setting = claimed(session), dict(queries.stage_row(session, "embedding").setting)
    Path(blobs().path(batch[4].image_sha256)).write_bytes(b"GIF89a")
    seen: list[int] = []
    real = Network.embed_each

    def counted(self: Network, pictures: Any) -> Any:
        for key, made in real(self, pictures):
            seen.append(key)
            yield key, made

    monkeypatch.setattr(Network, "embed_each", counted)
    running = jobs.claim(job.id)
    assert running is not None
    results = embedding.run(batch, setting, running)
    outcomes = {result.candidate_id: result.outcome for result in results}
    bad = batch[4].candidate_id
    assert {id_ for id_, outcome in outcomes.items() if outcome is Outcome.ERROR} == {bad}
    assert len(outcomes) == 12
    (failed,) = [result for result in results if result.candidate_id == bad]
    assert failed.evidence == {"error": "UnidentifiedImageError", "why": "its picture can't be read"}
    assert sorted(seen) == sorted(item.image_id for item in batch)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Embedding)) == 11
    good = [(item.image_id, item.image_sha256) for item in batch if item.candidate_id != bad]
    assert vectors.vectors_of(running, old, good).shape == (11, 32)
    with pytest.raises(OSError):
        vectors.vectors_of(running, old, [(item.image_id, item.image_sha256) for item in batch])
    assert len(seen) == 13  # the bad one alone was tried again
    assert embedding.run([], setting, running) == []


def test_histology_is_not_asked_of_an_encoder_that_reads_images_only() -> None:
    from app.encoders.actions import NewEncoder

    lite0 = register(NewEncoder("efficientnet-lite0"))
    assert lite0.weights is Weights.TRAINED
    with transaction() as session:
        prefilter.use_encoder(session, lite0.id)
        batch = queries.inputs(session, [make_candidate(session, with_blob=True).id])
        job, setting = claimed(session), dict(queries.stage_row(session, "domain").setting)
    running = jobs.claim(job.id)
    assert running is not None
    (result,) = domain.run(batch, setting, running)
    assert result.outcome is Outcome.NOT_RUN
    assert "no text side" in result.evidence["why"]


def test_a_network_of_another_width_than_was_registered_is_refused_with_a_sentence(models: Path) -> None:
    from app.encoders.actions import NewEncoder

    tiny = register(NewEncoder("open_clip", "tiny_clip.json"))
    with transaction() as session:
        prefilter.use_encoder(session, tiny.id)
        due.due(session, BY_NAME["embedding"], [make_candidate(session, S.FILTERING, with_blob=True).id])
    config = models / "tiny_clip.json"
    config.write_text(config.read_text().replace('"embed_dim": 32', '"embed_dim": 16'))
    vectors.loaded.cache_clear()
    work()
    with transaction() as session:
        found = session.scalars(select(Finding).where(Finding.stage == "embedding")).one()
        assert found.outcome is Outcome.NOT_RUN
        assert "gives vectors of 16 numbers now, not 32 as it was registered" in found.evidence["why"]
        assert session.scalar(select(func.count()).where(Embedding.encoder_id == tiny.id)) == 0
