"""The index of an encoder's vectors, and deleting an encoder with all that it has."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import func, insert, select, text, update

from app import jobs
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.encoders import actions
from app.encoders.policies import index_name
from app.errors import Conflict
from app.prefilter import actions as prefilter
from app.tables import Embedding, Encoder, Event, Image, JobState
from tests.encoders.models import (
    SECOND,
    add_images,
    again,
    embedded,
    in_use,
    index_state,
    register,
    run,
    take_back,
    use,
    work,
)
from tests.factories import make_encoder
from workers import indexes, vectors
from workers import main as worker

pytestmark = pytest.mark.usefixtures("models")


def fill(encoder: Encoder, count: int) -> None:
    """So many images with random unit vectors under an encoder."""
    shas = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    rows = [{"sha256": sha, "source_sha256": sha, "width": 1, "height": 1, "size": 1} for sha in shas]
    drawn = np.random.default_rng(1).normal(size=(count, encoder.width)).astype(np.float32)
    with transaction() as session:
        ids = session.scalars(insert(Image).returning(Image.id), rows).all()
        made = [{"image_id": id_, "encoder_id": encoder.id, "vec": row} for id_, row in zip(ids, drawn, strict=True)]
        session.execute(insert(Embedding), made)


def test_the_first_encoder_gets_its_index_with_the_thousandth_vector(old: Encoder) -> None:
    fill(old, 999)
    with transaction() as session:
        assert actions.ask_for_index(session, old) is None
    add_images(1)
    image = add_images(1)[0]
    with transaction() as session:
        job = jobs.submit(session, "prefilter", jobs.WorkQueue.GPU, {"stage": "embedding"})
    running = jobs.claim(job.id)
    vectors.embed(running, old, [(image.id, image.sha256)])
    with transaction() as session:
        assert actions.ask_for_index(session, old).id == actions.ask_for_index(session, old).id
    running.finish(JobState.SUCCEEDED)
    work()
    assert index_state(old) == "ready"
    with transaction() as session:
        assert actions.ask_for_index(session, old) is None
        assert session.scalar(select(func.count()).where(Event.act == "encoder.indexed")) == 1


def test_a_build_that_ended_badly_is_not_begun_again_by_itself(old: Encoder) -> None:
    fill(old, 1000)
    with transaction() as session:
        job = actions.ask_for_index(session, old)
        jobs.request_cancel(session, job.id, None)
        assert actions.ask_for_index(session, old) is None
        actions.build_index(session, SYSTEM, old.id)
    work()
    assert index_state(old) == "ready"


def test_the_index_serves_a_search_among_its_encoders_vectors(old: Encoder) -> None:
    fill(old, 1200)
    with transaction() as session:
        actions.ask_for_index(session, old)
    work()
    with transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(
            session.scalars(
                text(
                    f"""EXPLAIN SELECT image_id FROM embedding WHERE encoder_id = {old.id}
                    ORDER BY vec::vector(32) <=> (SELECT array_agg(random()) FROM generate_series(1, 32))::vector(32)
                    LIMIT 10"""
                )
            )
        )
    assert index_name(old.id) in plan


def test_what_a_cut_off_build_left_is_dropped_and_built_again(old: Encoder) -> None:
    fill(old, 50)
    with indexes.as_owner() as owner:
        owner.execute(text("SET statement_timeout = '300ms'"))
        with transaction() as session:  # a build waits for whoever writes, and is cut off meanwhile
            session.execute(update(Embedding).where(Embedding.encoder_id == old.id).values(encoder_id=old.id))
            with pytest.raises(Exception, match="statement timeout"):
                owner.execute(text(indexes._definition(old)))
    assert index_state(old) == "broken"
    with transaction() as session:
        job = actions.build_index(session, SYSTEM, old.id)
    assert run(job).state is JobState.SUCCEEDED
    assert index_state(old) == "ready"


def test_a_build_can_be_stopped_while_it_runs(old: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "LOOK_SECONDS", 0.1)
    fill(old, 50)
    with transaction() as session:
        job = actions.build_index(session, SYSTEM, old.id)
    with transaction() as session:
        session.execute(update(Embedding).where(Embedding.encoder_id == old.id).values(encoder_id=old.id))
        building = threading.Thread(target=worker.run_job, args=(job.id,))
        building.start()
        until(lambda: again(job).message == "Building the index")
        with transaction() as other:
            jobs.request_cancel(other, job.id, None)
        building.join(20)
        assert not building.is_alive()
    assert again(job).state is JobState.CANCELLED


@pytest.mark.process
def test_a_worker_that_dies_takes_its_build_with_it_and_the_next_one_builds(old: Encoder) -> None:
    fill(old, 50)
    with transaction() as session:
        job = actions.build_index(session, SYSTEM, old.id)
    code = f"from workers.main import run_job; run_job({job.id})"
    building = text("SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()")
    with indexes.as_owner() as owner, transaction() as session:
        session.execute(update(Embedding).where(Embedding.encoder_id == old.id).values(encoder_id=old.id))
        child = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
        until(lambda: owner.scalar(building) == 1)
        child.kill()
        child.wait()
        until(lambda: owner.scalar(building) == 0)
    assert index_state(old) == "broken"
    take_back(job)
    assert run(job).state is JobState.SUCCEEDED
    assert (index_state(old), again(job).lost) == ("ready", 1)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def test_an_encoder_too_wide_for_an_index_is_used_without(old: Encoder) -> None:
    with transaction() as session:
        wide = make_encoder(session, width=2048)
        assert actions.ask_for_index(session, wide) is None
        with pytest.raises(Conflict, match="pgvector indexes up to 2000"):
            actions.build_index(session, SYSTEM, wide.id)
        job = jobs.submit(session, "index_encoder", jobs.WorkQueue.CPU, {"encoder": wide.id})
    assert run(job).state is JobState.SUCCEEDED
    assert index_state(wide) == "missing"


# --- deleting -----------------------------------------------------------------------------------


def test_deleting_takes_the_vectors_and_the_index_along(old: Encoder, new: Encoder) -> None:
    add_images(3)
    run(use(new))
    run(use(old))
    with transaction() as session:
        job = actions.remove(session, SYSTEM, new.id, str(new.id))
    done = run(job)
    assert (done.state, done.done, index_state(new)) == (JobState.SUCCEEDED, 3, "missing")
    with transaction() as session:
        assert session.get(Encoder, new.id) is None
        assert session.scalar(select(func.count()).where(Event.act == "encoder.deleted")) == 1
    assert len(embedded(old)) == 3
    assert register(SECOND).name == new.name


def test_what_something_stands_on_is_not_deleted(old: Encoder, new: Encoder) -> None:
    with pytest.raises(Conflict, match=r"is in use: the stage"), transaction() as session:
        actions.remove(session, SYSTEM, old.id, str(old.id))
    with transaction() as session:
        deletion = actions.remove(session, SYSTEM, new.id, str(new.id))
    with pytest.raises(Conflict, match="being deleted"):
        use(new)
    with transaction() as session:
        jobs.request_cancel(session, deletion.id, None)
    use(new)
    with pytest.raises(Conflict, match="being taken into use"), transaction() as session:
        actions.remove(session, SYSTEM, new.id, str(new.id))


def test_a_deletion_ends_where_the_encoder_came_into_use_meanwhile(old: Encoder, new: Encoder) -> None:
    with transaction() as session:
        job = actions.remove(session, SYSTEM, new.id, str(new.id))
        prefilter.use_encoder(session, new.id)
    assert "is in use" in run(job).error
    assert in_use().id == new.id
