"""The job of an evaluation: every task on drawn sets, killed and resumed, refused where it can't be, compared."""

import json
import os
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import jobs
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.encoders.actions import NewEncoder
from app.errors import Invalid
from app.evaluation import actions, folders, passport, queries
from app.evaluation.planning import Wish
from app.evaluation.policies import MCNEMAR, Preset, Settings, Task
from app.evaluation.queries import Shown
from app.tables import Encoder, Job, JobState
from tests.encoders.models import SECOND, TINY_CLIP, register, run, take_back
from tests.evaluation.fixtures.pictures import save, tissue
from workers import evaluate, set_files
from workers import main as worker

EACH = 12  # pictures a class and split


@pytest.fixture
def set_id(roots: Path) -> int:
    """A set of two classes whose pictures differ, with a training and a test split."""
    for split in ("train", "test"):
        for kind, label in enumerate(("pale", "dense")):
            for number in range(EACH):
                seed = number + (100 if split == "test" else 0)
                save(tissue(3 * kind, seed, (80, 80)), roots / "made" / split / label / f"{number:03}.png")
    return read("made")


def read(name: str) -> int:
    with transaction() as session:
        row = actions.register_set(session, SYSTEM, name, f"0/{name}")
        set_id, job = row.id, session.get_one(Job, row.job_id)
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        if queries.set_row(session, set_id).ready_at is None:
            actions.go_on(session, SYSTEM, set_id)
    return set_id


def launched(encoder: Encoder, set_id: int, task: Task, **settings: object) -> tuple[int, Job]:
    with transaction() as session:
        wish = Wish([encoder.id], [set_id], [], [task], Settings(**settings))  # type: ignore[arg-type]
        (row,) = actions.launch(session, SYSTEM, wish)
        assert row.job_id
        return row.id, session.get_one(Job, row.job_id)


def evaluated(encoder: Encoder, set_id: int, task: Task, **settings: object) -> Shown:
    evaluation_id, job = launched(encoder, set_id, task, **settings)
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        return queries.finished(session, evaluation_id)


def predictions(found: Shown) -> list[dict[str, object]]:
    return list(folders.read_rows(folders.predictions_file(found.row.id)))


def test_zero_shot_keeps_each_prediction_its_interval_and_the_spread_over_wordings(set_id: int) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.ZERO_SHOT)
    metrics, rows = found.row.metrics, predictions(found)
    assert metrics["n"] == len(rows) == 2 * EACH
    right = np.mean([row["said"] == row["truth"] for row in rows])
    accuracy = metrics["figures"]["accuracy"]
    assert accuracy["value"] == pytest.approx(right)
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert metrics["chance"]["accuracy"] == 0.5
    assert found.wording
    assert set(metrics["spread"]["templates"]) == set(found.wording.templates)
    assert sum(map(sum, metrics["confusion"])) == 2 * EACH
    for one in metrics["wrongest"]:
        assert found.set
        assert folders.thumbnail_file(set_id, found.set.items_sha256, one["number"]).is_file()
    assert metrics["contamination"]["checked"] is False


@pytest.mark.parametrize("preset", list(Preset))
def test_a_linear_probe_learns_from_training_pictures_and_tells_the_classes_apart(set_id: int, preset: Preset) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.LINEAR_PROBE, preset=preset)
    assert found.row.metrics["figures"]["balanced_accuracy"]["value"] > 0.8
    assert found.row.metrics["trained_on"] == 2 * EACH
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    assert not set(given.used) & set(given.learned_from)
    assert {id_.split("/")[0] for id_ in given.learned_from} == {"train"}


def test_few_shot_gives_every_k_its_own_figures(set_id: int) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.FEW_SHOT, ks=(1, 4), seeds=3)
    figures = found.row.metrics["figures"]
    assert {"balanced_accuracy.k1", "balanced_accuracy.k4"} <= set(figures)
    assert [line["k"] for line in found.row.metrics["by_k"]] == [1, 4]
    assert figures["balanced_accuracy.k4"]["value"] == pytest.approx(found.row.metrics["by_k"][1]["mean"])


def test_a_second_task_takes_the_features_of_the_first(set_id: int) -> None:
    encoder = register(TINY_CLIP)
    first = evaluated(encoder, set_id, Task.LINEAR_PROBE)
    assert (first.row.metrics["made"], first.row.metrics["from_cache"]) == (4 * EACH, 0)
    second = evaluated(encoder, set_id, Task.FEW_SHOT, ks=(1,))
    assert (second.row.metrics["made"], second.row.metrics["from_cache"]) == (0, 4 * EACH)


def test_a_model_is_compared_with_those_that_were_measured_in_the_same_way(set_id: int) -> None:
    first = evaluated(register(TINY_CLIP), set_id, Task.LINEAR_PROBE)
    second = evaluated(register(SECOND), set_id, Task.LINEAR_PROBE)
    value, low, high, p, test = second.row.metrics["against"]["accuracy"][str(first.row.id)]
    mine, other = predictions(second), predictions(first)
    right = [np.array([row["said"] == row["truth"] for row in rows], dtype=float) for rows in (mine, other)]
    assert value == pytest.approx(float((right[0] - right[1]).mean()))
    assert low <= value <= high
    assert 0 <= p <= 1
    assert test == MCNEMAR
    assert first.row.metrics["against"] == {}


def test_a_set_with_a_picture_that_broke_is_measured_without_it_once_it_is_read_again(roots: Path, set_id: int) -> None:
    (roots / "made" / "test" / "pale" / "003.png").write_bytes(b"\x89PNG\r\n\x1a\n gone")
    encoder = register(TINY_CLIP)
    done = run(launched(encoder, set_id, Task.ZERO_SHOT)[1])
    assert done.state is JobState.FAILED
    assert "1 of the 48 pictures changed since the set was read, test/pale/003.png" in done.error
    assert "Read the set again" in done.error
    read_again(set_id)
    assert evaluated(encoder, set_id, Task.ZERO_SHOT).row.metrics["n"] == 2 * EACH - 1


def exchange(path: Path) -> None:
    """Puts another picture in place of one, under its size and its time."""
    before = path.stat()
    save(Image.new("RGB", (80, 80), "red"), path)
    path.write_bytes(path.read_bytes().ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def read_again(set_id: int) -> None:
    with transaction() as session:
        job = actions.read_again(session, SYSTEM, set_id)
    assert run(job).state is JobState.SUCCEEDED


def test_a_picture_exchanged_under_its_size_and_time_gives_no_figures_before_the_set_is_read_again(
    roots: Path, set_id: int
) -> None:
    encoder = register(TINY_CLIP)
    before = evaluated(encoder, set_id, Task.ZERO_SHOT).row
    exchange(roots / "made" / "test" / "pale" / "003.png")
    said = "1 of the 48 pictures changed since the set was read, test/pale/003.png first. Read the set again."
    assert run(launched(encoder, set_id, Task.LINEAR_PROBE)[1]).error == said
    read_again(set_id)
    after = evaluated(encoder, set_id, Task.ZERO_SHOT).row
    assert after.settings["items"] != before.settings["items"]


def test_a_picture_is_hashed_as_it_is_decoded_where_a_file_system_tells_no_change(
    roots: Path, set_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_files, "content_of", lambda _root: "the same as ever")
    read_again(set_id)
    exchange(roots / "made" / "test" / "pale" / "003.png")
    encoder = register(TINY_CLIP)
    said = "test/pale/003.png changed since the set was read. Read the set again. Nothing was measured."
    assert run(launched(encoder, set_id, Task.ZERO_SHOT)[1]).error == said
    read_again(set_id)
    assert evaluated(encoder, set_id, Task.ZERO_SHOT).row.metrics["n"] == 2 * EACH


def test_a_killed_worker_goes_on_with_the_features_that_are_there(set_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = register(TINY_CLIP)
    evaluation_id, job = launched(encoder, set_id, Task.ZERO_SHOT)
    keep = evaluate._keep

    def dies(*_: object) -> None:
        raise jobs.LeaseLost

    monkeypatch.setattr(evaluate, "_keep", dies)
    worker.run_job(job.id)
    take_back(job)
    monkeypatch.setattr(evaluate, "_keep", keep)
    worker.run_job(job.id)
    with transaction() as session:
        found = queries.finished(session, evaluation_id)
    assert found.row.metrics["made"] == 0
    worker.run_job(job.id)
    with transaction() as session:
        assert queries.evaluation(session, evaluation_id).row.finished_at == found.row.finished_at


def test_pictures_only_models_one_class_and_a_large_k_are_refused_before_anything_starts(
    roots: Path, set_id: int
) -> None:
    lite = register(NewEncoder("efficientnet-lite0"))
    for task, said in ((Task.ZERO_SHOT, "reads pictures only"), (Task.RETRIEVAL, "Choose at least one")):
        with pytest.raises(Invalid, match=said):
            launched(lite, set_id, task)
    with pytest.raises(Invalid, match="k = 16 is more than the training pictures of"):
        launched(lite, set_id, Task.FEW_SHOT)
    save(tissue(0, 1), roots / "one" / "train" / "a" / "1.png")
    one = read("one")
    with pytest.raises(Invalid, match="one class only"):
        launched(lite, one, Task.LINEAR_PROBE)


def test_a_folder_that_is_gone_fails_with_what_to_do(roots: Path, set_id: int) -> None:
    _, job = launched(register(TINY_CLIP), set_id, Task.ZERO_SHOT)
    (roots / "made").rename(roots / "moved")
    done = run(job)
    assert done.state is JobState.FAILED
    assert "Put it back" in done.error


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        (Task.ZERO_SHOT, {}),
        *((Task.LINEAR_PROBE, {"preset": preset}) for preset in Preset),
        (Task.FEW_SHOT, {"ks": (1, 4), "seeds": 3}),
    ],
)
def test_the_passport_gives_the_same_predictions_again(
    roots: Path, set_id: int, task: Task, settings: dict[str, object]
) -> None:
    found = evaluated(register(TINY_CLIP), set_id, task, **settings)
    with transaction() as session:
        kept = actions.keep_passport(folders.passport_file(found.row.id))
        job = actions.replay(session, SYSTEM, kept, str(roots / "made"), "")
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    assert (done.cursor["same"], done.cursor["of"]) == (2 * EACH, 2 * EACH)
    assert done.cursor["differences"] == []


def test_a_passport_says_which_input_differs(roots: Path, set_id: int) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.ZERO_SHOT)
    save(tissue(1, 999, (80, 80)), roots / "made" / "test" / "pale" / "000.png")
    (roots / "made" / "test" / "pale" / "001.png").unlink()
    with transaction() as session:
        kept = actions.keep_passport(folders.passport_file(found.row.id))
        job = actions.replay(session, SYSTEM, kept, str(roots / "made"), "")
    done = run(job)
    said = " ".join(done.cursor["differences"])
    assert "1 of the 24 items measured on are missing here: test/pale/001.png" in said
    assert "1 of the 24 items measured on have other files here: test/pale/000.png" in said
    assert done.cursor["same"] == 0


def test_a_passport_needs_its_model_or_a_file_of_it(roots: Path, set_id: int, tmp_path: Path) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.ZERO_SHOT)
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes((tmp_path / "models" / "run-1.safetensors").read_bytes())
    other = passport.to_bytes(replace(given, inputs=replace(given.inputs, checksum="0" * 64)))
    file = tmp_path / "other.json.gz"
    file.write_bytes(other)
    with transaction() as session:
        job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(roots / "made"), "")
    done = run(job)
    assert done.state is JobState.FAILED
    assert "--weights" in done.error
    with transaction() as session:
        job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(roots / "made"), str(moved))
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    assert done.cursor["same"] == 2 * EACH
    assert any("weights" in one for one in done.cursor["differences"])


def test_a_passport_whose_prompts_name_nothing_says_so(roots: Path, set_id: int, tmp_path: Path) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.ZERO_SHOT)
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    file = tmp_path / "nameless.json.gz"
    file.write_bytes(passport.to_bytes(replace(given, inputs=replace(given.inputs, names=((" ",), ("dense",))))))
    with transaction() as session:
        job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(roots / "made"), "")
    assert run(job).error == "Class 1 has no name, or an empty one. Nothing was measured."


def test_a_packages_weights_are_read_with_the_config_beside_them(roots: Path, set_id: int, tmp_path: Path) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.ZERO_SHOT)
    config = json.loads((tmp_path / "models" / "tiny_clip.json").read_bytes())
    folder = tmp_path / "unpacked"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    shutil.move(tmp_path / "models" / "run-1.safetensors", folder / "open_clip_model.safetensors")
    (tmp_path / "models" / "tiny_clip.json").unlink()
    with transaction() as session:
        kept = actions.keep_passport(folders.passport_file(found.row.id))
        weights = str(folder / "open_clip_model.safetensors")
        job = actions.replay(session, SYSTEM, kept, str(roots / "made"), weights)
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    assert done.cursor["same"] == 2 * EACH


def test_a_passport_with_the_folder_of_something_else_says_which_one_it_wants(
    roots: Path, set_id: int, tmp_path: Path
) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.LINEAR_PROBE)
    (tmp_path / "other").mkdir()
    with transaction() as session:
        kept = actions.keep_passport(folders.passport_file(found.row.id))
        job = actions.replay(session, SYSTEM, kept, str(tmp_path / "other"), "")
    done = run(job)
    assert done.state is JobState.FAILED
    assert "None of the 24 items lie in that folder." in done.error
    assert "Give the folder of made with --root: the one that holds test/" in done.error


def test_no_item_of_a_passport_leads_out_of_the_folder(roots: Path, set_id: int, tmp_path: Path) -> None:
    found = evaluated(register(TINY_CLIP), set_id, Task.ZERO_SHOT)
    given = passport.from_bytes(folders.passport_file(found.row.id).read_bytes())
    save(tissue(1, 5, (80, 80)), tmp_path / "outside.png")
    evil = (str(tmp_path / "outside.png"), "../../../outside.png", *given.used[2:])
    digest = sha256((tmp_path / "outside.png").read_bytes()).hexdigest()[:16]
    file = tmp_path / "evil.json.gz"
    file.write_bytes(passport.to_bytes(replace(given, used=evil, files=(digest, digest, *given.files[2:]))))
    with transaction() as session:
        job = actions.replay(session, SYSTEM, actions.keep_passport(file), str(roots / "made"), "")
    done = run(job)
    assert "2 of the 24 items measured on are missing here" in " ".join(done.cursor["differences"])
    assert done.cursor["same"] == 0


def test_a_file_that_is_no_passport_is_refused_at_once(own_database: None, tmp_path: Path) -> None:
    (tmp_path / "x.json.gz").write_bytes(b"not gzip")
    with pytest.raises(Invalid, match="no passport"):
        actions.keep_passport(tmp_path / "x.json.gz")
