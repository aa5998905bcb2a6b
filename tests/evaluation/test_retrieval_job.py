"""Retrieval on a snapshot's held-out pairs, and items of a set that a model has seen in training."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session

from app.accounts.policies import SYSTEM
from app.curation import moves
from app.db import transaction
from app.evaluation import actions, folders, lineage, passport, pools, queries, shown
from app.evaluation.planning import Wish, plan
from app.evaluation.policies import Settings, Task
from app.evaluation.pools import Pair
from app.snapshots import building
from app.snapshots import queries as snapshots
from app.storage import blobs
from app.tables import Encoder, Job, JobState, Run, Snapshot
from tests.encoders.models import TINY_CLIP, register, run
from tests.evaluation.fixtures import files
from tests.evaluation.test_evaluate_job import evaluated, read
from tests.factories import make_encoder, make_person, make_picture
from tests.snapshots.test_snapshot_job import accepted, snapshot
from workers import contaminated
from workers.ml.retrieval import caption_label
from workers.retrieving import labels_of


@pytest.fixture
def frozen(roots: Path) -> Snapshot:
    """A written snapshot with eight held-out test pairs, of which three are of one author."""
    with transaction() as session:
        alder = make_person(session, f"alder{uuid4().hex[:6]}")
        accepted(session, 3, author="path_demo_07", actor=alder)
        accepted(session, 11, actor=alder)
    done = snapshot(val=0, test=8)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        return snapshots.numbered(session, 1)


def searched(encoder: Encoder, frozen: Snapshot) -> queries.Shown:
    with transaction() as session:
        (row,) = actions.launch(session, SYSTEM, Wish([encoder.id], [], [frozen.id], [Task.RETRIEVAL], Settings()))
        evaluation_id, job = row.id, session.get_one(Job, row.job_id)
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        return queries.finished(session, evaluation_id)


def test_held_out_pairs_are_searched_in_both_directions_strictly_and_by_group(frozen: Snapshot) -> None:
    found = searched(register(TINY_CLIP), frozen)
    metrics = found.row.metrics
    assert metrics["n"] == 8
    assert "not known here" in metrics["contamination"]["why_not"]
    for way in ("text_to_image", "image_to_text"):
        for how in ("strict", "group_aware"):
            figures = [metrics["figures"][f"{way}.r{k}.{how}"]["value"] for k in (1, 5)]
            assert figures == sorted(figures)
            assert f"{way}.r10.{how}" not in metrics["figures"], "eight pairs: each search finds its own among ten"
            assert metrics["chance"][f"{way}.r1.{how}"] == pytest.approx(1 / metrics["n"], abs=0.05)
    rows = list(folders.read_rows(folders.predictions_file(found.row.id)))
    first = sum(row["text_to_image.group_aware"] <= 1 for row in rows) / len(rows)
    assert metrics["figures"]["text_to_image.r1.group_aware"]["value"] == pytest.approx(first)


def test_examples_show_pairs_without_any_text_in_the_row_and_none_that_was_withdrawn(frozen: Snapshot) -> None:
    found = searched(register(TINY_CLIP), frozen)
    assert "Naevus" not in str(found.row.metrics)
    with transaction() as session:
        before = shown.examples(session, found)
        assert all(side.caption.startswith("Naevus") for one in before for side in one.results)
        moves.withdraw(session, [int(one.query.key) for one in before])
        assert shown.examples(session, found) == []


def test_a_search_is_run_again_from_its_passport_here_and_from_the_unpacked_snapshot(frozen: Snapshot) -> None:
    found = searched(register(TINY_CLIP), frozen)
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    assert "Naevus" not in str(given)
    for root in ("", str(building.folder_of(1))):
        with transaction() as session:
            kept = actions.keep_passport(folders.passport_file(found.row.id))
            job = actions.replay(session, SYSTEM, kept, root, "")
        done = run(job)
        assert done.state is JobState.SUCCEEDED, done.error
        assert (done.cursor["same"], done.cursor["of"]) == (8, 8)


@pytest.fixture
def pool(roots: Path) -> int:
    """A set of pairs as ARCH is published, read and ready."""
    files.arch(roots / "arch", each=4)
    return read("arch")


def test_a_set_of_pairs_is_searched_as_a_pool_whose_figures_are_its_units(pool: int) -> None:
    found = evaluated(register(TINY_CLIP), pool, Task.RETRIEVAL, variant="books_set")
    metrics = found.row.metrics
    assert (metrics["n"], metrics["strict_n"], metrics["groups"]) == (8, 4, 4)
    assert found.row.settings["variant"] == "books_set"
    assert "splits" not in found.row.settings
    rows = list(folders.read_rows(folders.predictions_file(found.row.id)))
    first = sum(row["image_to_text.group_aware"] <= 1 for row in rows) / len(rows)
    assert metrics["figures"]["image_to_text.r1.group_aware"]["value"] == pytest.approx(first)
    with transaction() as session:
        sides = [side for one in shown.examples(session, found) for side in one.results]
    assert "--set arch --task retrieval --variant books_set" in shown.command_of(found)
    assert all(side.caption.startswith("Drawn books_set") for side in sides)
    assert found.set
    thumbs = [folders.thumbnail_file(pool, found.set.items_sha256, int(side.picture)) for side in sides]
    assert all(thumb.is_file() for thumb in thumbs)


def test_a_set_of_pairs_is_for_retrieval_alone_and_one_of_classes_for_the_rest(pool: int) -> None:
    encoder = register(TINY_CLIP)
    with transaction() as session:
        planned = plan(session, Wish([encoder.id], [pool], [], list(Task), Settings()))
    assert {one.task for one in planned if one.is_gap} == {Task.RETRIEVAL}
    assert {one.why_not for one in planned if not one.is_gap} == {
        "The set has captions and no classes: only retrieval can be measured on it."
    }


def test_a_search_of_a_set_is_run_again_from_its_passport_and_its_folder(pool: int, roots: Path) -> None:
    found = evaluated(register(TINY_CLIP), pool, Task.RETRIEVAL)
    file = folders.passport_file(found.row.id)
    assert "Drawn" not in str(passport.from_bytes(file.read_bytes())), "captions stay where they are"
    assert replayed(file, roots / "arch") == (16, 16, [])
    captions = roots / "arch" / "pubmed_set" / "captions.json"
    captions.write_text(captions.read_text().replace("density 1", "density 7"))
    _, _, differences = replayed(file, roots / "arch")
    assert any("1 of the 16 items measured on have other files here" in one for one in differences)


def replayed(file: Path, root: Path) -> tuple[int, int, list[str]]:
    """(Same, of, what differs) of a passport that is run again."""
    with transaction() as session:
        job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(root), "")
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    return done.cursor["same"], done.cursor["of"], done.cursor["differences"]


def trained_on(frozen: Snapshot) -> tuple[Encoder, list[str]]:
    """A model that says so, and the pictures that it then learned from."""
    encoder = register(TINY_CLIP)
    run = Run(snapshot_id=frozen.id, architecture="tiny", recipe="scratch", settings={}, encoder_id=encoder.id)
    with transaction() as session:
        session.add(run)
        return encoder, [one.sha256 for one in lineage.training_pictures(session, [frozen.id])]


def test_pairs_of_a_set_that_were_in_training_are_found_and_the_figures_without_them_given(
    roots: Path, frozen: Snapshot
) -> None:
    encoder, train = trained_on(frozen)
    files.captions(roots / "pairs", each=6)
    (roots / "pairs" / "images" / "0.jpg").write_bytes(blobs().get(train[0]))
    found = evaluated(encoder, read("pairs"), Task.RETRIEVAL)
    seen = found.row.metrics["contamination"]
    assert (seen["items"], [one["item"] for one in seen["list"]]) == (1, ["images/0.jpg"])
    assert set(seen["without"]) <= set(found.row.metrics["figures"])
    assert "text_to_image.r1.strict" in seen["without"]


def test_pictures_of_a_set_that_were_in_training_are_found_and_the_figures_without_them_given(
    roots: Path, frozen: Snapshot
) -> None:
    encoder, train = trained_on(frozen)
    for number in range(8):
        for label in ("a", "b"):
            path = roots / "seen" / "test" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make_picture(9_000 + 10 * number + (label == "a")))
    (roots / "seen" / "test" / "a" / "0.jpg").write_bytes(blobs().get(train[0]))
    found = evaluated(encoder, read("seen"), Task.ZERO_SHOT)
    seen = found.row.metrics["contamination"]
    assert (seen["checked"], seen["items"], seen["exact"]) == (True, 1, 1)
    assert seen["list"][0]["item"] == "test/a/0.jpg"
    with transaction() as session:
        pictures = lineage.training_pictures(session, [frozen.id])
    assert seen["list"][0]["candidate"] == next(one.candidate_id for one in pictures if one.sha256 == train[0])
    rows = [row for row in folders.read_rows(folders.predictions_file(found.row.id)) if row["item"] != "test/a/0.jpg"]
    without = sum(row["said"] == row["truth"] for row in rows) / len(rows)
    assert seen["without"]["accuracy"] == pytest.approx(without)


def test_why_nothing_was_looked_for_is_said_as_far_as_it_is_known(session: Session) -> None:
    untrained = make_encoder(session, name="drawn", weights="random")
    practised, ours, others = (make_encoder(session, name=name) for name in ("practised", "ours", "others"))
    session.add(Run(encoder_id=practised.id, architecture="tiny", recipe="scratch", settings={}))
    session.add(Run(encoder_id=ours.id, base_id=others.id, recipe="scratch", settings={}))
    session.flush()
    assert lineage.only_practised(session, practised.id)
    assert not any(lineage.only_practised(session, one.id) for one in (untrained, ours, others))
    session.refresh(untrained)
    assert contaminated.why_not(untrained) == "drawn was not trained: its weights are random."


def test_a_pool_is_told_by_the_picture_caption_author_post_and_group_of_each_pair(frozen: Snapshot) -> None:
    def pool() -> tuple[int, str]:
        with transaction() as session:
            return pools.pool(session, frozen.id, ["test"])

    with transaction() as session:
        pairs = pools.held_out(session, frozen.id, ["test"])
    lines = [(one.key, one.digest, one.author, one.post_id, one.group_id) for one in pairs]
    assert pool() == (8, folders.digest(lines))
    with transaction() as session:
        moves.withdraw(session, [pairs[0].candidate_id])
    assert pool() == (7, folders.digest(lines[1:]))


def test_captions_that_differ_by_case_and_blanks_are_positives_of_each_other() -> None:
    one, other = (Pair(str(k), k, "a", text, f"a{k}", k, None) for k, text in enumerate(("A  naevus\n", "a Naevus")))
    assert set(labels_of(one)) & set(labels_of(other)) == {caption_label("a naevus")}
