"""Held-out pairs that a model was trained on before they were held out: said, and figures without them."""

from pathlib import Path
from uuid import uuid4

import pytest

from app.accounts.policies import SYSTEM
from app.curation import moves
from app.db import transaction
from app.evaluation import actions, queries
from app.evaluation.planning import Wish
from app.evaluation.policies import Settings, Task
from app.tables import Candidate, DuplicateGroup, DuplicateMember, Encoder, Job, JobState, Post, Run, Snapshot
from tests.encoders.models import TINY_CLIP, register, run
from tests.factories import make_candidate, make_person
from tests.snapshots.test_snapshot_job import accept, accepted, snapshot

OLD, NEW = 6, 5


def frozen(test: int) -> Snapshot:
    done = snapshot(val=0, test=test)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        return max(queries.snapshots(session), key=lambda one: one.number)


@pytest.fixture
def two(roots: Path) -> tuple[Snapshot, Snapshot]:
    """One snapshot that holds nothing out, and a later one whose test pairs are those, their kin, and new ones."""
    with transaction() as session:
        alder = make_person(session, f"alder{uuid4().hex[:6]}")
        accepted(session, 3, author="path_demo_07", actor=alder)  # the largest component always stays in training
        old = accepted(session, OLD, actor=alder)
    first = frozen(test=0)
    with transaction() as session:
        post = session.get_one(Post, session.get_one(Candidate, old[0]).post_id)
        kin = make_candidate(session, caption="Naevus, another field.", post=post, position=2, with_blob=True)
        accept(session, alder, kin)
        (copy,) = accepted(session, 1, actor=alder)
        group = DuplicateGroup()
        session.add(group)
        session.flush()
        session.add_all(DuplicateMember(candidate_id=one, group_id=group.id) for one in (old[1], copy))
        accepted(session, NEW, actor=alder)
    return first, frozen(test=OLD + 2 + NEW)


def searched(encoder: Encoder, on: Snapshot) -> queries.Shown:
    with transaction() as session:
        (row,) = actions.launch(session, SYSTEM, Wish([encoder.id], [], [on.id], [Task.RETRIEVAL], Settings()))
        job = session.get_one(Job, row.job_id)
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        return queries.finished(session, row.id)


def trained(on: Snapshot) -> Encoder:
    encoder = register(TINY_CLIP)
    with transaction() as session:
        session.add(Run(snapshot_id=on.id, architecture="tiny", recipe="scratch", settings={}, encoder_id=encoder.id))
    return encoder


def test_held_out_pairs_that_an_earlier_snapshot_trained_on_are_told_and_left_out_of_second_figures(
    two: tuple[Snapshot, Snapshot],
) -> None:
    encoder = trained(two[0])
    found = searched(encoder, two[1])
    seen = found.row.metrics["contamination"]
    assert (seen["checked"], seen["training"], seen["items"]) == (True, 3 + OLD, OLD + 2)
    assert (seen["exact"], seen["group"], seen["post"]) == (OLD, 1, 1)
    by_way = {one["how"]: one for one in seen["list"]}
    assert by_way["a duplicate"]["candidate"] != int(by_way["a duplicate"]["item"])
    with transaction() as session:
        assert queries.measured(session, Task.RETRIEVAL, "text_to_image.r1.strict")[0].touched == OLD + 2
        moves.withdraw(session, [int(one["item"]) for one in seen["list"]])
    alone = searched(encoder, two[1]).row.metrics
    assert alone["n"] == NEW
    assert alone["contamination"]["items"] == 0
    for key, figure in alone["figures"].items():
        assert seen["without"][key] == pytest.approx(figure["value"]), key


def test_of_a_models_own_snapshot_no_held_out_pair_was_seen(two: tuple[Snapshot, Snapshot]) -> None:
    seen = searched(trained(two[1]), two[1]).row.metrics["contamination"]
    assert (seen["checked"], seen["training"], seen["items"]) == (True, 3, 0)
    assert "without" not in seen
