"""The generic layouts, and verifying what was read."""

import csv
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.fixtures import arrays, files
from tests.evaluation.fixtures.pictures import save, tissue
from tests.evaluation.test_sets_others import counted
from workers.evaluation_sets import Item, open_picture, recognise, verify


def test_folders_of_splits_and_classes_are_any_set(tmp_path: Path) -> None:
    files.folders(tmp_path, each=2)
    found = recognise(tmp_path)
    assert (found.layout, found.classes, found.differences) == ("folders", ["cat", "dog"], [])
    assert counted(found.variants["as published"]) == {(s, c): 2 for s in ("train", "test") for c in ("cat", "dog")}


def test_folders_of_classes_alone_have_no_split_and_say_so(tmp_path: Path) -> None:
    files.folders(tmp_path, each=2)
    found = recognise(tmp_path / "train")
    assert {item.split for item in found.variants["as published"]} == {"all"}
    assert any("no test split" in warning for warning in found.warnings)


def test_folders_around_the_splits_and_within_the_classes_change_nothing(tmp_path: Path) -> None:
    for split in ("Training", "Test"):
        for label in ("benign", "malignant"):
            save(tissue(0, 1), tmp_path / "set" / "data" / split / label / "patient 7" / "slide" / "1.png")
    save(tissue(0, 1), tmp_path / "alone" / "data" / "benign" / "patient 7" / "1.png")
    save(tissue(0, 2), tmp_path / "alone" / "data" / "malignant" / "1.png")
    assert counted(recognise(tmp_path / "set").variants["as published"]) == {
        (split, label): 1 for split in ("train", "test") for label in ("benign", "malignant")
    }
    alone = recognise(tmp_path / "alone").variants["as published"]
    assert counted(alone) == {("all", "benign"): 1, ("all", "malignant"): 1}


def test_a_table_gives_label_split_and_group(tmp_path: Path) -> None:
    files.table_of_pictures(tmp_path, each=2)
    found = recognise(tmp_path)
    assert (found.layout, found.classes) == ("table", ["benign", "malignant"])
    assert Counter(item.split for item in found.variants["as published"]) == {"train": 4, "val": 2, "test": 2}
    assert found.variants["as published"][0] == Item("pictures/000.png", "benign", "train", "patient 0")


def test_a_table_s_picture_that_is_missing_and_a_split_that_is_none_are_named(tmp_path: Path) -> None:
    files.table_of_pictures(tmp_path, each=2)
    with (tmp_path / "labels.csv").open("a", newline="") as file:
        csv.writer(file).writerows([["gone.png", "benign", "test", ""], ["pictures/000.png", "malignant", "test", ""]])
        save(tissue(0, 77), tmp_path / "pictures" / "more.png")
        csv.writer(file).writerow(["pictures/more.png", "benign", "holdout", ""])
        save(tissue(0, 78), tmp_path / "pictures" / "alone.png")
    found = recognise(tmp_path)
    assert found.missing == ["gone.png"]
    assert dict(found.skipped) == {
        "pictures/000.png": "it is listed again",
        "pictures/more.png": "its row says label benign, split holdout",
        "pictures/alone.png": "no label names it",
    }


def test_three_tables_called_by_their_splits_are_splits(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        save(tissue(number, number), tmp_path / "pictures" / f"{split}.png")
        files.table(tmp_path / f"{split}.csv", ["label", "image"], [[str(number), f"pictures/{split}.png"]])
    items = recognise(tmp_path).variants["as published"]
    assert {(item.split, item.label) for item in items} == {("train", "0"), ("val", "1"), ("test", "2")}


def test_a_webdataset_s_classes_are_its_names_and_its_pictures_stay_in_the_tars(tmp_path: Path) -> None:
    arrays.clip_benchmark(tmp_path, each=2)
    found = recognise(tmp_path)
    assert found.classes == ["normal colon", "colon cancer"]
    assert counted(found.variants["as published"]) == {
        ("train", "normal colon"): 2,
        ("train", "colon cancer"): 2,
        ("test", "normal colon"): 4,
        ("test", "colon cancer"): 4,
    }
    item = found.variants["as published"][0]
    assert item.id == "test/0.tar#s0000000.webp"
    drawn = tissue(0, 0)  # stored without loss
    assert np.array_equal(np.asarray(open_picture(tmp_path, "clip_benchmark", item.id)), np.asarray(drawn))


def test_a_webdataset_s_missing_shard_and_odd_samples_are_named(tmp_path: Path) -> None:
    arrays.clip_benchmark(tmp_path, each=2)
    (tmp_path / "test" / "nshards.txt").write_text("4\n")
    with tarfile.open(tmp_path / "test" / "2.tar", "w") as tar:
        arrays.add(tar, "one.webp", b"RIFF")
        arrays.add(tar, "two.cls", b"0")
        arrays.add(tar, "three.webp", b"RIFF")
        arrays.add(tar, "three.cls", b"9")
    found = recognise(tmp_path)
    assert found.missing == ["test/3.tar"]
    assert dict(found.skipped) == {
        "test/2.tar#one.webp": "it has no .cls",
        "test/2.tar#two": "it holds no picture",
        "test/2.tar#three.webp": "its .cls names none of the 2 classes",
    }


def test_a_set_converted_to_a_table_gives_the_same_labels(tmp_path: Path) -> None:
    files.kather(tmp_path / "set", each=1)
    rows = [[item.id, item.label, item.split] for item in recognise(tmp_path / "set").variants["as published"]]
    files.table(tmp_path / "set" / "labels.csv", ["image", "label", "split"], rows)
    again = recognise(tmp_path / "set", "table").variants["as published"]
    assert [[item.id, item.label, item.split] for item in again] == rows


def test_verifying_tells_its_progress_and_may_be_stopped(tmp_path: Path) -> None:
    files.folders(tmp_path, each=2)
    found = recognise(tmp_path)
    told: list[tuple[int, int]] = []
    verify(tmp_path, found, lambda done, total: told.append((done, total)))
    assert told == [(8, 8)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(tmp_path, found, stop)


def test_verifying_that_was_stopped_goes_on_behind_what_was_done(tmp_path: Path) -> None:
    save(tissue(0, 1), tmp_path / "test" / "cat" / "0.png")
    save(tissue(1, 1), tmp_path / "test" / "dog" / "0.png")
    picture = (tmp_path / "test" / "cat" / "0.png").read_bytes()
    broken = {"test/cat/7.png", "test/cat/299.png"}
    for number in range(1, 300):
        name = f"test/cat/{number}.png"
        (tmp_path / name).write_bytes(picture[:300] if name in broken else picture)
    found = recognise(tmp_path)
    whole = verify(tmp_path, found)
    kept: dict[str, str] = {}
    reached = 0

    def stop_at_the_second(done: int, total: int) -> None:
        nonlocal reached
        if done > 256:
            raise KeyboardInterrupt
        reached = done

    with pytest.raises(KeyboardInterrupt):
        verify(tmp_path, found, stop_at_the_second, broken=kept)
    seen: list[int] = []
    again = verify(tmp_path, found, lambda done, total: seen.append(done), start=reached, broken=kept)
    assert (again.variants, again.skipped) == (whole.variants, whole.skipped)
    assert {name for name, _ in whole.skipped} == broken
    assert min(seen) > reached > 0


def test_splits_that_need_the_pictures_are_told_as_a_second_half_and_never_backwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.lc25000(tmp_path)
    monkeypatch.setattr("workers.evaluation_sets.CHUNK", 8)
    told: list[tuple[int, int]] = []
    verify(tmp_path, recognise(tmp_path), lambda done, total: told.append((done, total)))
    assert told == [(done, 80) for done in range(8, 81, 8)]


def test_a_clip_benchmark_set_brings_its_own_templates(tmp_path: Path) -> None:
    arrays.clip_benchmark(tmp_path)
    assert recognise(tmp_path).templates == ["a photo of {}."]


def test_a_label_that_is_no_label_by_its_size_is_refused_by_name(tmp_path: Path) -> None:
    arrays.clip_benchmark(tmp_path)
    with tarfile.open(tmp_path / "test" / "0.tar", "a") as tar:
        arrays.add(tar, "s9.webp", b"RIFF")
        arrays.add(tar, "s9.cls", b"0" * 2_000)
    found = recognise(tmp_path)
    assert ("test/0.tar#s9.webp", "its .cls has more than 1,000 bytes, which no label has") in found.skipped
