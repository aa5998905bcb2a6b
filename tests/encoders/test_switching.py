"""Taking an encoder into use: every image has its vector before anything changes, whatever happens meanwhile."""

import dataclasses
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import jobs
from app.db import transaction
from app.encoders import queries
from app.errors import Conflict
from app.prefilter import queries as stage_queries
from app.storage import blobs
from app.tables import Encoder, Event, Image, Job, JobState
from tests.encoders.models import add_images, again, embedded, in_use, index_state, run, take_back, use
from tests.factories import make_candidate
from workers import encoders as job_module
from workers import indexes, vectors
from workers import main as worker

pytestmark = pytest.mark.usefixtures("models")


def test_all_images_are_embedded_indexed_and_then_the_encoder_is_in_use(old: Encoder, new: Encoder) -> None:
    images = add_images(5)
    with transaction() as session:
        assert queries.images(session) == 5  # and the page keeps these counts for a while
    job = use(new)
    assert in_use().id == old.id
    done = run(job)
    assert (done.state, done.done, done.total, done.unit) == (JobState.SUCCEEDED, 5, 5, "images")
    assert embedded(new) == {image.id for image in images}
    assert index_state(new) == "ready"
    assert in_use().id == new.id
    with transaction() as session:
        assert [(one.encoder.id, one.vectors) for one in queries.shown(session)] == [(new.id, 5), (old.id, 0)]
        assert stage_queries.stage_row(session, "domain").setting["encoder"] == new.id
        stored = stage_queries.vectors(session, new.id, [images[0].id])[images[0].id]
    expected = vectors.load(new).embed_images([blobs().get(images[0].sha256)])[0]
    assert float(abs(stored - expected).max()) < 1e-5


def test_going_back_makes_no_vector_again(old: Encoder, new: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    add_images(3)
    run(use(new))
    run(use(old))
    made: list[int] = []
    monkeypatch.setattr(job_module, "write", lambda session, encoder, some: made.extend(some))
    done = run(use(new))
    assert (done.state, done.done, made, in_use().id) == (JobState.SUCCEEDED, 0, [], new.id)


def test_withdrawn_images_are_not_embedded_and_labelled_ones_are(old: Encoder, new: Encoder) -> None:
    from app.tables import CandidateState, Label, LabelSet

    with transaction() as session:
        make_candidate(session, CandidateState.WITHDRAWN, with_blob=True)
        labelled = make_candidate(session, CandidateState.WITHDRAWN, with_blob=True).image_id
        labels = LabelSet(name="labels")
        session.add(labels)
        session.flush()
        session.add(Label(label_set_id=labels.id, image_id=labelled, label="histology"))
    run(use(new))
    assert embedded(new) == {labelled}


def test_an_image_that_arrives_while_the_index_is_built_is_caught_up_with_before_the_switch(
    old: Encoder, new: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add_images(2)
    late: list[Image] = []

    def build(job: jobs.RunningJob, encoder: Encoder) -> bool:
        if not late:
            late.extend(add_images(1))
            vectors.embed(job, old, [(image.id, image.sha256) for image in late])
        return indexes.ensure_index(job, encoder)

    monkeypatch.setattr(job_module, "ensure_index", build)
    done = run(use(new))
    assert done.state is JobState.SUCCEEDED
    assert embedded(new) == {image.id for image in [*first, *late]}
    assert embedded(old) == {image.id for image in late}


class Killed(BaseException):
    """What no handler catches: the worker is gone."""


def test_a_worker_killed_at_any_step_loses_that_step_alone(
    old: Encoder, new: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = add_images(6)
    monkeypatch.setattr(vectors, "STEP_ROWS", 2)
    job, real_step, left, finished = use(new), jobs.RunningJob.step, 0, False
    written: list[int] = []
    real_write = job_module.write

    def write(session: Session, encoder: Encoder, some: dict[int, Any]) -> None:
        real_write(session, encoder, some)
        written.extend(some)

    def step(self: jobs.RunningJob, **limits: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return real_step(self, **limits)

    monkeypatch.setattr(job_module, "write", write)
    monkeypatch.setattr(jobs.RunningJob, "step", step)
    for steps in range(20):
        left = steps
        try:
            worker.run_job(job.id)
        except Killed:
            assert in_use().id == old.id
            with transaction() as session:  # a person whose workers die more often than thrice tries again
                session.execute(update(Job).where(Job.id == job.id).values(lost=0))
            take_back(job)
        else:
            finished = True
            break
    assert finished
    assert again(job).state is JobState.SUCCEEDED
    assert (again(job).done, again(job).total) == (6, 6)
    assert sorted(written) == [image.id for image in images]
    assert embedded(new) == {image.id for image in images}
    assert (in_use().id, index_state(new)) == (new.id, "ready")


def test_a_worker_that_was_believed_dead_writes_nothing_and_the_other_finishes(
    old: Encoder, new: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = add_images(8)
    monkeypatch.setattr(vectors, "STEP_ROWS", 1)
    reached, go_on, real = threading.Event(), threading.Event(), job_module.made_in_steps

    def slow(network: Any, pictures: Iterable[tuple[int, str]]) -> Iterator[Any]:
        for count, some in enumerate(real(network, pictures)):
            if threading.current_thread().name == "first" and count == 2:
                reached.set()
                go_on.wait(30)
            yield some

    monkeypatch.setattr(job_module, "made_in_steps", slow)
    monkeypatch.setattr(jobs.RunningJob, "_beat", lambda self, over: None)
    job = use(new)
    stale = threading.Thread(target=worker.run_job, args=(job.id,), name="first")
    stale.start()
    assert reached.wait(30)
    take_back(job)
    worker.run_job(job.id)
    go_on.set()
    stale.join(30)
    done = again(job)
    assert (done.state, done.lost, done.done) == (JobState.SUCCEEDED, 1, 8)
    assert embedded(new) == {image.id for image in images}
    assert in_use().id == new.id


def test_poison_pictures_fail_alone_with_their_reasons_and_hold_up_nothing(old: Encoder, new: Encoder) -> None:
    images = add_images(6)
    Path(blobs().path(images[1].sha256)).write_bytes(b"<html>not a picture</html>")
    Path(blobs().path(images[4].sha256)).unlink()
    done = run(use(new))
    assert (done.state, done.message) == (JobState.SUCCEEDED, "2 could not be embedded")
    assert done.cursor["failed"] == {
        str(images[1].id): "its picture can't be read",
        str(images[4].id): "its picture is not in the store",
    }
    assert embedded(new) == {image.id for image in images} - {images[1].id, images[4].id}
    assert in_use().id == new.id


def test_a_vector_that_is_not_finite_is_never_stored(
    old: Encoder, new: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_images(4)
    network = vectors.load(new)
    spoilt = dataclasses.replace(network, image_tower=lambda pixels: network.image_tower(pixels) * np.nan)
    monkeypatch.setattr(job_module, "load", lambda encoder: spoilt)
    done = run(use(new))
    assert done.state is JobState.FAILED
    assert "4 of 4 images could not be embedded: the model gave no finite vector" in done.error
    assert (embedded(new), in_use().id) == (set(), old.id)


def test_what_failed_altogether_is_tried_whole_again(
    old: Encoder, new: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = add_images(3)
    pictures = {image.sha256: blobs().get(image.sha256) for image in images}
    for sha256 in pictures:
        Path(blobs().path(sha256)).unlink()
    done = run(use(new))
    assert "not in the store" in done.error
    for picture in pictures.values():
        blobs().put(picture)
    with transaction() as session:
        retried = jobs.retry(session, session.get_one(Job, done.id), None)
    assert (run(retried).state, again(retried).done, in_use().id) == (JobState.SUCCEEDED, 3, new.id)


def test_stopping_keeps_what_is_done_and_the_old_encoder(
    old: Encoder, new: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_images(6)
    monkeypatch.setattr(vectors, "STEP_ROWS", 2)
    job, real = use(new), job_module.write

    def write(session: Session, encoder: Encoder, some: dict[int, Any]) -> None:
        real(session, encoder, some)
        with transaction() as other:
            jobs.request_cancel(other, job.id, None)

    monkeypatch.setattr(job_module, "write", write)
    assert (run(job).state, len(embedded(new)), in_use().id) == (JobState.CANCELLED, 2, old.id)


def test_one_encoder_at_a_time_is_taken_into_use_and_two_clicks_are_one_job(old: Encoder, new: Encoder) -> None:
    assert use(new).id == use(new).id
    with pytest.raises(Conflict, match="Another encoder"):
        use(old)


def test_the_stages_that_read_the_encoder_look_again(old: Encoder, new: Encoder) -> None:
    run(use(new))
    with transaction() as session:
        reruns = session.scalars(select(Job).where(Job.kind == "rerun")).all()
        assert [job.arguments["stage"] for job in reruns] == ["domain"]
        acts = set(session.scalars(select(Event.act)))
    assert {"encoder.use_asked", "stage.encoder_changed"} <= acts
