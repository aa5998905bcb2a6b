"""Reading a set: what was recognised, what was not used, and what an admin has to say yes to."""

from pathlib import Path

import pytest

from app import jobs
from app.accounts.policies import SYSTEM
from app.db import transaction
from app.errors import Conflict, Invalid
from app.evaluation import actions, folders, queries
from app.evaluation.planning import wording_layout
from app.tables import EvaluationSet, Job, JobState
from tests.encoders.models import again, run, take_back
from tests.evaluation.fixtures import files
from workers import evaluation_set
from workers import main as worker


def registered(name: str, layout: str = "") -> tuple[int, Job]:
    with transaction() as session:
        row = actions.register_set(session, SYSTEM, name, f"0/{name}", layout)
        assert row.job_id
        return row.id, session.get_one(Job, row.job_id)


def row_of(set_id: int) -> EvaluationSet:
    with transaction() as session:
        return queries.set_row(session, set_id)


def test_a_set_is_recognised_and_its_items_are_kept_in_a_file(roots: Path) -> None:
    files.kather(roots / "colon")
    set_id, job = registered("colon")
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    row = row_of(set_id)
    assert (row.layout, row.licence) == ("kather", "CC BY 4.0")
    shape = row.report["variants"][row.report["default_variant"]]
    assert shape["splits"] == {"train": 18, "test": 18}
    items = list(folders.read_rows(folders.items_file(set_id, row.items_sha256)))
    assert {item["label"] for item in items} == set(files.KATHER)
    assert all(folders.thumbnail_file(set_id, row.items_sha256, n).is_file() for n in row.report["samples"]["ADI"])
    with transaction() as session:
        assert queries.newest_wording(session, "kather")


def test_a_set_whose_counts_differ_waits_for_an_admin(roots: Path) -> None:
    files.kather(roots / "colon")
    set_id, job = registered("colon")
    run(job)
    assert row_of(set_id).ready_at is None
    assert row_of(set_id).report["differences"]
    with transaction() as session:
        assert queries.ready_sets(session) == []
        actions.go_on(session, SYSTEM, set_id)
    assert row_of(set_id).ready_at is not None
    with pytest.raises(Conflict), transaction() as session:
        actions.go_on(session, SYSTEM, set_id)


def test_reading_the_same_folder_again_keeps_the_yes_and_a_changed_one_asks_anew(roots: Path) -> None:
    files.kather(roots / "colon")
    set_id, job = registered("colon")
    run(job)
    with transaction() as session:
        actions.go_on(session, SYSTEM, set_id)
        again_job = actions.read_again(session, SYSTEM, set_id)
    run(again_job)
    assert row_of(set_id).ready_at is not None
    (roots / "colon" / "CRC-VAL-HE-7K" / "ADI" / "ADI-TCGA-0000AAAA.tif").unlink(missing_ok=True)
    for path in sorted((roots / "colon" / "CRC-VAL-HE-7K" / "TUM").iterdir())[:1]:
        path.unlink()
    with transaction() as session:
        again_job = actions.read_again(session, SYSTEM, set_id)
    run(again_job)
    assert row_of(set_id).ready_at is None


def test_a_picture_that_cannot_be_decoded_is_named_and_left_out(roots: Path) -> None:
    files.kather(roots / "colon")
    broken = next((roots / "colon" / "CRC-VAL-HE-7K" / "TUM").iterdir())
    broken.write_bytes(broken.read_bytes()[:300])
    (roots / "colon" / "CRC-VAL-HE-7K" / "notes.txt").write_text("=1+1")
    set_id, job = registered("colon")
    run(job)
    report = row_of(set_id).report
    named = {name for name, _ in report["skipped"]["first"]}
    assert f"CRC-VAL-HE-7K/TUM/{broken.name}" in named
    assert "CRC-VAL-HE-7K/notes.txt" in named
    assert report["skipped"]["count"] == len(named)
    problems = {row["path"]: row["what"] for row in problems_of(set_id)}
    assert problems[f"CRC-VAL-HE-7K/TUM/{broken.name}"] == "unreadable"
    assert problems["CRC-VAL-HE-7K/notes.txt"] == "skipped"


def problems_of(set_id: int) -> list[dict[str, str]]:
    return list(folders.read_rows(folders.problems_file(set_id, row_of(set_id).items_sha256)))


def test_each_reading_keeps_what_was_wrong_with_it(roots: Path) -> None:
    files.folders(roots / "mine")
    broken = roots / "mine" / "test" / "dog" / "0.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    set_id, job = registered("mine")
    run(job)
    first = row_of(set_id).items_sha256
    broken.write_bytes(whole)
    with transaction() as session:
        again_job = actions.read_again(session, SYSTEM, set_id)
    run(again_job)
    assert problems_of(set_id) == []
    (kept,) = folders.read_rows(folders.problems_file(set_id, first))
    assert (kept["path"], kept["what"]) == ("test/dog/0.png", "unreadable")


def test_a_folder_in_which_no_picture_can_be_read_says_why(roots: Path) -> None:
    files.folders(roots / "mine", each=1)
    for path in (roots / "mine").rglob("*.png"):
        path.write_bytes(path.read_bytes()[:100])
    set_id, job = registered("mine")
    done = run(job)
    assert done.state is JobState.FAILED
    assert "No picture of the folder can be read: of train/dog/0.png, it can't be decoded" in done.error
    assert row_of(set_id).ready_at is None


def test_a_folder_of_no_layout_says_what_is_needed(roots: Path) -> None:
    (roots / "stuff").mkdir()
    (roots / "stuff" / "a.txt").write_text("x")
    set_id, job = registered("stuff")
    done = run(job)
    assert done.state is JobState.FAILED
    assert "image and label" in done.error
    assert row_of(set_id).ready_at is None


def test_only_a_listed_folder_can_be_registered(roots: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (roots / "link").symlink_to(tmp_path / "outside")
    for key in ("0/link", "0/../outside", "0//etc", "7/colon", "", "0/.hidden"):
        with pytest.raises(Invalid), transaction() as session:
            actions.register_set(session, SYSTEM, "x", key)


def test_a_name_stands_for_one_set(roots: Path) -> None:
    files.kather(roots / "colon")
    registered("colon")
    with pytest.raises(Invalid, match="There is a set named colon"), transaction() as session:
        actions.register_set(session, SYSTEM, "colon", "0/colon")


def test_a_killed_reading_goes_on_behind_what_was_decoded(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.kather(roots / "colon")
    set_id, job = registered("colon")
    seen: list[tuple[int, dict[str, str]]] = []
    real = evaluation_set.verify

    def dies(*given: object, start: int, broken: dict[str, str]) -> object:
        seen.append((start, dict(broken)))
        if len(seen) == 1:
            broken["CRC-VAL-HE-7K/TUM/x.tif"] = "it was broken"
            given[2](20, 36)  # type: ignore[operator]
            raise jobs.LeaseLost
        return real(*given, start=start, broken=broken)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluation_set, "verify", dies)
    worker.run_job(job.id)
    take_back(job)
    worker.run_job(job.id)
    assert again(job).state is JobState.SUCCEEDED
    assert seen == [(0, {}), (20, {"CRC-VAL-HE-7K/TUM/x.tif": "it was broken"})]
    assert ["CRC-VAL-HE-7K/TUM/x.tif", "it was broken"] in row_of(set_id).report["skipped"]["first"]


def test_a_generic_folder_brings_its_own_classes_and_their_wording(roots: Path) -> None:
    files.folders(roots / "mine")
    set_id, job = registered("mine")
    run(job)
    row = row_of(set_id)
    assert row.layout == "folders"
    with transaction() as session:
        newest = queries.newest_wording(session, wording_layout(row))
        assert newest
        assert set(newest.names) == set(row.report["classes"])
