"""A finished run that kept its last epoch goes on as a new run, with the real trainer."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from app.accounts.policies import SYSTEM
from app.db import transaction
from app.tables import Encoder, Job, JobState, Run, RunStep, Snapshot
from app.training import actions
from tests.training.running import accept_pairs, freeze, launch, now, work
from tests.training.shards import QUICK

REACHING = {"stage": "domain", "encoder": "CONCH", "licence": "CC BY-NC-ND 4.0", "reaches_data": True}


def steps_of(run: Run) -> list[int]:
    with transaction() as session:
        return list(session.scalars(select(RunStep.step).where(RunStep.run_id == run.id).order_by(RunStep.step)))


@pytest.mark.process
def test_it_begins_behind_the_last_epoch_and_leaves_a_model_that_its_data_s_licence_reaches(own_home: Path) -> None:
    with transaction() as session:
        accept_pairs(session, 60, authors=30)
    snapshot = freeze()
    run, job = launch(replace(QUICK, epochs=1, keep="best_and_latest"), snapshot_id=snapshot.id)
    assert work(job).state is JobState.SUCCEEDED
    with transaction() as session:
        stored = session.get_one(Snapshot, snapshot.id)
        stored.report = stored.report | {"filtered_by": [REACHING]}
        more = actions.go_on(session, SYSTEM, run.id, 1)
        job = session.get_one(Job, more.job_id)
    done = work(job)
    assert done.state is JobState.SUCCEEDED, done.error
    first, then = steps_of(run), steps_of(more)
    assert then == list(range(len(first), 2 * len(first)))
    with transaction() as session:
        models = [session.get_one(Encoder, now(one).encoder_id) for one in (run, more)]
    assert [model.reaches_data for model in models] == [False, True]
    assert models[1].name == f"ip-clip v0001 run {more.id}"
