"""Evaluations of several sets whose workers are killed: what is done stays, the rest is done once, to the same end."""

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select, update

from app import serving
from app.accounts.policies import SYSTEM
from app.config import settings
from app.db import transaction
from app.evaluation import actions, folders, queries
from app.evaluation.planning import Wish
from app.evaluation.policies import Task
from app.evaluation.queries import Shown
from app.tables import Encoder, Event, Job, JobState
from tests.encoders.models import TINY_CLIP, again, fill_models_folder, register, run, take_back
from tests.evaluation.fixtures.pictures import save, tissue
from tests.test_faults import Process, idle, site, until  # noqa: F401  # `site` is a fixture
from workers.evaluating.features import CHUNK

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("site")]
LARGE, SMALL = 2 * CHUNK, 4  # pictures a class
SETS = {"first": LARGE, "second": SMALL}


@pytest.fixture
def sets() -> list[int]:
    made = []
    for place, (name, each) in enumerate(SETS.items()):
        for kind, label in enumerate(("pale", "dense")):
            for number in range(each):
                path = settings().evaluation_roots[0] / name / "test" / label / f"{number:03}.png"
                save(tissue(3 * kind, 1000 * place + number, (32, 32)), path)
        with transaction() as session:
            row = actions.register_set(session, SYSTEM, name, f"0/{name}")
            set_id, job = row.id, session.get_one(Job, row.job_id)
        done = run(job)
        assert done.state is JobState.SUCCEEDED, done.error
        made.append(set_id)
    return made


@pytest.fixture
def encoder() -> Encoder:
    fill_models_folder()
    return register(TINY_CLIP)


def launched(encoder: Encoder, sets: list[int]) -> dict[int, Job]:
    with transaction() as session:
        rows = actions.launch(session, SYSTEM, Wish([encoder.id], sets, [], [Task.ZERO_SHOT]))
        return {row.id: session.get_one(Job, row.job_id) for row in rows}


def due_in(jobs: list[Job], hours: int) -> None:
    with transaction() as session:
        when = func.clock_timestamp() + timedelta(hours=hours)
        these = update(Job).where(Job.id.in_([job.id for job in jobs]))
        session.execute(these.values(not_before=when, sent_at=None))


def measurer() -> Process:
    """A worker that does one thing after the other."""
    return Process(*serving.worker_command(threads=1))


def found(evaluation_id: int) -> Shown:
    with transaction() as session:
        return queries.finished(session, evaluation_id)


def predictions(evaluation_id: int) -> dict[str, list[float]]:
    return {row["item"]: row["scores"] for row in folders.read_rows(folders.predictions_file(evaluation_id))}


def cached() -> dict[Path, list[str]]:
    """The ids in each file of the cache."""
    return {path: np.load(path)["ids"].tolist() for path in folders.features_folder().glob("*/*.npz")}


def test_evaluations_go_on_where_workers_were_killed_in_one_and_between_two(encoder: Encoder, sets: list[int]) -> None:
    jobs = launched(encoder, sets)
    first, *others = jobs.values()
    due_in(others, hours=1)
    with measurer() as worker:
        until(lambda: again(first).done >= CHUNK, 120)
        worker.kill()
    kept = cached()
    there = sum(map(len, kept.values()))
    assert CHUNK <= there < 2 * LARGE, "it was killed in the midst"

    take_back(first)
    with measurer() as worker:
        until(lambda: again(first).state is JobState.SUCCEEDED, 120)
        worker.kill()
    assert {again(job).state for job in others} == {JobState.QUEUED}, "it was killed between two"

    due_in(others, hours=0)
    with measurer():
        until(idle, 120)
    metrics = [found(evaluation_id).row.metrics for evaluation_id in jobs]
    assert [one["n"] for one in metrics] == [2 * each for each in SETS.values()]
    assert (metrics[0]["from_cache"], metrics[0]["made"]) == (there, 2 * LARGE - there)
    ids = Counter(id_ for some in cached().values() for id_ in some)
    assert ids.total() == sum(2 * each for each in SETS.values()), "no picture's features were made twice"
    assert cached().items() >= kept.items()
    with transaction() as session:
        ended = session.scalars(select(Event.subject_id).where(Event.act == "evaluation.finished"))
        assert sorted(map(int, ended)) == sorted(jobs), "each once"

    killed = {evaluation_id: predictions(evaluation_id) for evaluation_id in jobs}
    with transaction() as session:
        for evaluation_id in jobs:
            actions.delete(session, SYSTEM, evaluation_id, str(evaluation_id))
    shutil.rmtree(folders.features_folder())
    for (evaluation_id, before), (anew, job) in zip(killed.items(), launched(encoder, sets).items(), strict=True):
        assert run(job).state is JobState.SUCCEEDED
        after = predictions(anew)
        assert after.keys() == before.keys(), evaluation_id
        np.testing.assert_allclose(list(after.values()), [before[item] for item in after], atol=1e-5)
