"""The other published sets, and the generic layouts."""

import csv
import json
import tarfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from app.evaluation import catalogue
from tests.evaluation.fixtures import arrays, files
from tests.evaluation.fixtures.layouts import LAYOUTS
from tests.evaluation.fixtures.pictures import save, tissue
from workers.evaluation_sets import Item, NotRecognised, open_picture, recognise, verify
from workers.evaluation_sets.layouts import READERS


def counted(items: list[Item]) -> Counter[tuple[str, str]]:
    return Counter((item.split, item.label) for item in items)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_drawn_layout_is_recognised_without_being_told_and_every_item_opens(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path)
    found = recognise(tmp_path)
    assert found.layout == layout
    assert found.default_variant == next(iter(found.variants)) == "as published"
    assert set(found.variants) <= {variant.name for variant in catalogue.known(layout).variants}
    for items in found.variants.values():
        assert len({item.id for item in items}) == len(items) > 0
        assert {item.label for item in items} <= set(found.classes)
        assert {item.split for item in items} <= {"train", "val", "test", "all"}
        for item in items[:: max(1, len(items) // 8)]:
            assert open_picture(tmp_path, layout, item.id).mode == "RGB"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_gives_the_same_items_twice_and_from_another_place(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path / "one")
    first = recognise(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    second = recognise(tmp_path / "two")
    assert first.variants == second.variants
    assert (first.skipped, first.missing) == (second.skipped, second.missing)


def test_the_fixtures_are_of_every_layout() -> None:
    assert set(LAYOUTS) == set(READERS)


def test_breakhis_groups_patients_by_digits_and_takes_40x(tmp_path: Path) -> None:
    files.breakhis(tmp_path, each=2)
    slide = tmp_path / "BreaKHis_v1/histology_slides/breast/malignant/SOB/ductal_carcinoma/SOB_M_DC-14-16184CD"
    save(tissue(4, 99, (140, 92)), slide / "40X" / "SOB_M_DC-14-16184CD-40-001.png")
    found = recognise(tmp_path)
    items = found.variants["as published"]
    assert "16184" in {item.group for item in items}
    assert all("-40-" in item.id and item.group.isdecimal() for item in items)
    assert {item.id for item in items} < {item.id for item in found.variants["all magnifications"]}
    safe = found.variants["leak-safe"]
    sides: dict[str, set[str]] = {}
    for item in safe:
        sides.setdefault(item.group, set()).add(item.split)
    assert all(len(some) == 1 for some in sides.values())


def test_pcam_s_labels_splits_and_slides_are_those_of_its_files(tmp_path: Path) -> None:
    arrays.pcam(tmp_path, each=3)
    found = recognise(tmp_path)
    assert counted(found.variants["as published"]) == {
        (split, label): 3 for split in ("train", "val", "test") for label in "01"
    }
    item = next(item for item in found.variants["as published"] if item.id.endswith("_test_x.h5#4"))
    assert item.group == "camelyon16_test_001"
    with h5py.File(tmp_path / "camelyonpatch_level_2_split_test_x.h5") as file:
        assert np.array_equal(np.asarray(open_picture(tmp_path, "pcam", item.id)), file["x"][4])


def test_skincancer_goes_by_names_and_not_by_class_int(tmp_path: Path) -> None:
    files.skincancer(tmp_path, each=1)
    found = recognise(tmp_path)
    for item in found.variants["as published"]:
        assert f"/{item.label}_0.jpg" in item.id
    assert Counter(item.split for item in found.variants["as published"]) == {"train": 16, "val": 16, "test": 16}
    tumours = {item.label for item in found.variants["SkinTumor"]}
    assert tumours == {label for label in found.classes if label.startswith("tumor_")}
    assert len(tumours) == 4


def test_mhist_s_majority_is_the_label(tmp_path: Path) -> None:
    files.mhist(tmp_path, each=3)
    assert counted(recognise(tmp_path).variants["as published"]) == {
        (split, label): 3 for split in ("train", "test") for label in ("HP", "SSA")
    }


def test_unitopatho_s_numbers_are_places_in_the_alphabet_and_must_agree_with_the_folder(tmp_path: Path) -> None:
    files.unitopatho(tmp_path, each=1)
    table = tmp_path / "unitopatho/800/test.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows[:-1], rows[-1].replace('png",5', 'png",0').replace("png,5", "png,0")]) + "\n")
    found = recognise(tmp_path)
    assert all(f"/{item.label}/" in item.id for item in found.variants["as published"])
    assert counted(found.variants["as published"])["test", "TVA.LG"] == 0
    assert [why for name, why in found.skipped if "/TVA.LG/" in name] == ["its row says 0, its folder another class"]


def test_chaoyang_s_lists_are_its_labels(tmp_path: Path) -> None:
    files.chaoyang(tmp_path, each=2)
    found = recognise(tmp_path)
    assert counted(found.variants["as published"]) == {(s, str(k)): 2 for s in ("train", "test") for k in range(4)}
    listed = json.loads((tmp_path / "test.json").read_text())
    (tmp_path / "test.json").write_text(json.dumps([*listed, {"name": "test/gone.JPG", "label": 1}]))
    assert recognise(tmp_path).missing == ["test/gone.JPG"]


def test_bracs_groups_regions_by_their_slide(tmp_path: Path) -> None:
    files.bracs(tmp_path, each=1)
    items = recognise(tmp_path).variants["as published"]
    assert all(item.group.startswith("BRACS_1") and item.id.rpartition("/")[2].startswith(item.group) for item in items)


def test_osteo_s_names_are_made_alike_and_its_mixed_class_can_be_left_out(tmp_path: Path) -> None:
    files.osteo(tmp_path, each=3)
    found = recognise(tmp_path)
    assert found.missing == []
    assert Counter(item.label for item in found.variants["as published"]) == dict.fromkeys(found.classes, 3)
    assert {item.label for item in found.variants["three classes"]} == set(found.classes[:3])
    assert {item.group for item in found.variants["leak-safe"]} == {"case-3", "case-4", "case-5"}


def test_osteo_s_other_spelling_of_the_name_s_column_is_read_too(tmp_path: Path) -> None:
    files.osteo(tmp_path, each=2)
    table = tmp_path / "ML_Features_1144.csv"
    table.write_text(table.read_text().replace("image.name", "image_name"))
    assert len(recognise(tmp_path).variants["as published"]) == 8


def test_oscc_tells_its_magnifications_apart(tmp_path: Path) -> None:
    files.oscc(tmp_path, each=2)
    found = recognise(tmp_path)
    assert {name: len(items) for name, items in found.variants.items()} == {"as published": 8, "100×": 4, "400×": 4}
    assert all(item.id.startswith("First Set/") for item in found.variants["100×"])


def test_databiox_s_grade_is_found_in_folders_and_in_file_names(tmp_path: Path) -> None:
    files.databiox(tmp_path, each=2)
    save(tissue(1, 1), tmp_path / "Grade I" / "moved_Grade_3.jpg")
    found = recognise(tmp_path)
    assert Counter(item.label for item in found.variants["as published"]) == {"1": 4, "2": 4, "3": 4}
    assert ("Grade I/moved_Grade_3.jpg", "its path names several grades") in found.skipped


def test_gleason_s_second_pathologist_is_a_variant(tmp_path: Path) -> None:
    files.gleason(tmp_path, each=1)
    found = recognise(tmp_path)
    first, second = (found.variants[name] for name in ("as published", "second pathologist"))
    assert Counter(item.split for item in first) == {"train": 8, "val": 4, "test": 4}
    assert Counter(item.label for item in first if item.split == "test") == {"0": 1, "1": 1, "2": 1, "3": 1}
    assert Counter(item.label for item in second if item.split == "test") == {"1": 1, "2": 1, "3": 2}


def test_renalcell_s_counts_are_not_known_and_so_never_differ(tmp_path: Path) -> None:
    files.renalcell(tmp_path)
    found = recognise(tmp_path)
    assert found.differences == []
    assert {item.label for item in found.variants["five classes"]} == set(found.classes) - {"empty"}


# Generic layouts


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


def test_a_pcam_file_that_claims_more_labels_than_pictures_is_refused_unread(tmp_path: Path) -> None:
    arrays.pcam(tmp_path)
    path = tmp_path / "camelyonpatch_level_2_split_test_y.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("y", shape=(10**12,), dtype=np.uint8, chunks=(10**6,), compression="gzip")
    with pytest.raises(NotRecognised, match="has 1,000,000,000,000 labels; they do not fit"):
        recognise(tmp_path)
