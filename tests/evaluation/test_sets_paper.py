"""The seven sets of the paper's kin, read from drawn folders in their published layouts."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.evaluation.fixtures import arrays, files
from tests.evaluation.fixtures.pictures import save, tissue
from workers.evaluation_sets import Item, open_picture, pannuke, recognise, splits, verify


def by_split(items: list[Item]) -> dict[str, set[str]]:
    return {split: {item.id for item in items if item.split == split} for split in ("train", "val", "test")}


def groups(items: list[Item], split: str) -> set[str]:
    return {item.group for item in items if item.split == split}


# Kather


def test_kather_trains_on_the_100k_and_tests_on_the_7k(tmp_path: Path) -> None:
    files.kather(tmp_path, each=2)
    found = recognise(tmp_path)
    assert found.layout == "kather"
    assert found.classes == list(files.KATHER)
    items = found.variants["as published"]
    assert Counter((item.split, item.label) for item in items) == {
        (split, label): 2 for split in ("train", "test") for label in files.KATHER
    }
    assert all(item.id.startswith("CRC-VAL-HE-7K/") == (item.split == "test") for item in items)
    assert any("Colour alone" in warning for warning in found.warnings)


def test_kather_s_pictures_before_normalisation_are_a_variant_of_their_own(tmp_path: Path) -> None:
    files.kather(tmp_path, 1, ("NCT-CRC-HE-100K", "NCT-CRC-HE-100K-NONORM", "CRC-VAL-HE-7K"))
    found = recognise(tmp_path)
    assert list(found.variants) == ["as published", "eight classes", "not normalised"]
    train = by_split(found.variants["not normalised"])["train"]
    assert len(train) == 9
    assert all(name.startswith("NCT-CRC-HE-100K-NONORM/") for name in train)
    assert by_split(found.variants["as published"])["test"] == by_split(found.variants["not normalised"])["test"]


def test_kather_s_eight_classes_are_all_but_the_background(tmp_path: Path) -> None:
    files.kather(tmp_path, each=2)
    variants = recognise(tmp_path).variants
    assert [one for one in variants["as published"] if one.label != "BACK"] == variants["eight classes"]
    assert {item.label for item in variants["eight classes"]} == set(files.KATHER) - {"BACK"}


def test_kather_is_told_from_its_class_folders_alone(tmp_path: Path) -> None:
    files.kather(tmp_path, 1, ("CRC-VAL-HE-7K",))
    found = recognise(tmp_path / "CRC-VAL-HE-7K")
    assert {item.split for item in found.variants["as published"]} == {"test"}


# PanNuke


def test_pannuke_keeps_what_the_rule_calls_malignant_or_benign_and_names_the_rest(tmp_path: Path) -> None:
    arrays.pannuke(tmp_path, each=2)
    found = recognise(tmp_path)
    assert found.layout == "pannuke"
    assert found.classes == ["benign", "malignant"]
    labels = Counter(item.label for item in found.variants["exact count"])
    assert labels == {"malignant": 24, "benign": 24}
    only_exact = {item.id for item in found.variants["exact count"]} - {
        item.id for item in found.variants["as published"]
    }
    assert only_exact == {"fold_1/Fold 1/images/fold1/images.npy#0"}
    reasons = Counter(why for _, why in found.skipped)
    assert reasons == {"by the rule it is neither malignant nor benign": 12, "it has no nuclei": 3}


def test_ids_from_256_on_wrap_in_plip_s_count_and_not_in_the_exact_one() -> None:
    mask = arrays.mask_of(neoplastic=12, inflammatory=0, first=250)
    mask[90:96, 90:96, 0] = 257 + 256  # wraps to the same id as 257
    wrapped, exact = pannuke.nuclei(mask) or pytest.fail("it is a mask")
    assert exact[0].tolist() == [13, 0, 0, 0, 0, 1]
    assert wrapped[0].tolist() == [11, 0, 0, 0, 0, 1]  # 256 became background, 513 became 257's 1


def test_both_counts_of_nuclei_equal_numpy_s_on_random_masks() -> None:
    rng = np.random.default_rng(3)
    for highest in (3, 300, 70_000):
        mask = rng.integers(0, highest, (32, 32, 6)).astype(np.float64)
        wrapped, exact = pannuke.nuclei(mask) or pytest.fail("it is a mask")
        cast = mask.astype(np.int64).astype(np.uint8)
        assert wrapped[0].tolist() == [len(np.unique(cast[..., channel])) - 1 for channel in range(6)]
        assert exact[0].tolist() == [len(np.unique(mask[..., channel])) - 1 for channel in range(6)]


@pytest.mark.parametrize("wrong", [np.nan, -1.0, 1e300])
def test_a_mask_that_holds_no_ids_is_none(wrong: float) -> None:
    mask = arrays.mask_of(3, 3)
    mask[5, 5, 2] = wrong
    assert pannuke.nuclei(mask) is None


def test_pannuke_s_split_is_the_one_that_pandas_draws_as_plip_does(tmp_path: Path) -> None:
    arrays.pannuke(tmp_path, each=3)
    found = recognise(tmp_path, "pannuke")
    items = found.variants["as published"]
    types = {fold: np.load(tmp_path / f"fold_{fold}/Fold {fold}/images/fold{fold}/types.npy") for fold in (1, 2, 3)}
    rows = pd.DataFrame(
        [(item.id, item.label, types[int(item.id[5])][int(item.id.partition("#")[2])]) for item in items],
        columns=["id", "label", "tissue"],
    )
    rows = pd.concat([rows[rows["label"] == "malignant"], rows[rows["label"] == "benign"]]).reset_index(drop=True)
    rows = rows.sample(frac=1, random_state=1).reset_index(drop=True)
    train: set[str] = set()
    for _, part in rows.groupby(["tissue", "label"]):
        again = part.sample(frac=1, random_state=1)
        train |= set(again["id"].iloc[: int(len(again) * 0.7)])
    assert by_split(items)["train"] == train
    assert 0 < len(train) < len(items)


def test_pannuke_s_pictures_are_read_from_the_array_on_the_disk(tmp_path: Path) -> None:
    arrays.pannuke(tmp_path, each=1)
    item = recognise(tmp_path).variants["exact count"][0]
    name, _, row = item.id.partition("#")
    stored = np.load(tmp_path / name)[int(row)]
    assert np.array_equal(np.asarray(open_picture(tmp_path, "pannuke", item.id)), stored.astype(np.uint8))


# DigestPath


def test_digestpath_s_patches_are_those_of_a_literal_reading_of_the_rule(tmp_path: Path) -> None:
    arrays.digestpath(tmp_path, each=2)
    place = tmp_path / "Colonoscopy_tissue_segment_dataset"
    expected: Counter[tuple[str, str]] = Counter()
    for path in sorted(place.glob("*/*.jpg")):
        if path.stem.endswith("_mask"):
            continue
        mask = path.with_name(f"{path.stem}_mask.jpg")
        for reduced in (2, 4, 8, 16, 32):
            picture = Image.open(path).convert("RGB")
            size = (round(picture.width / reduced), round(picture.height / reduced))
            pixels = np.array(picture.resize(size))
            tumour = np.array(Image.open(mask).resize(size, Image.Resampling.NEAREST)) > 10 if mask.exists() else None
            top = 0.0
            while int(top) < size[1]:
                left = 0.0
                while int(left) < size[0]:
                    y, x = int(top), int(left)
                    left += 224 * 0.9
                    if size[0] < 224 or size[1] < 224 or y + 224 >= size[1] or x + 224 >= size[0]:
                        continue
                    white = (pixels[y : y + 224, x : x + 224] >= 200).all(axis=2).sum()
                    if 1 - white / 224**2 < 0.5:
                        continue
                    share = 0.0 if tumour is None else tumour[y : y + 224, x : x + 224].sum() / 224**2
                    if share >= 0.3 or share == 0:
                        expected[path.name, "malignant" if share else "benign"] += 1
                top += 224 * 0.9
    items = recognise(tmp_path).variants["as published"]
    assert Counter((item.id.partition("#")[0].rpartition("/")[2], item.label) for item in items) == expected
    assert {label for _, label in expected} == {"benign", "malignant"}


def test_a_higher_threshold_leaves_fewer_malignant_patches_and_as_many_benign_ones(tmp_path: Path) -> None:
    arrays.digestpath(tmp_path, each=3)
    variants = recognise(tmp_path).variants
    low, high = (Counter(item.label for item in variants[name]) for name in ("as published", "as published, 0.50"))
    assert low["benign"] == high["benign"]
    assert low["malignant"] > high["malignant"] > 0


def test_digestpath_s_published_split_leaks_and_the_leak_safe_one_does_not(tmp_path: Path) -> None:
    arrays.digestpath(tmp_path, each=3)
    variants = recognise(tmp_path).variants
    published, safe = variants["as published"], variants["leak-safe"]
    assert groups(published, "train") & groups(published, "test")
    assert not groups(safe, "train") & groups(safe, "test")
    assert {item.id for item in published} == {item.id for item in safe}
    assert {item.label for item in safe if item.split == "test"} == {"benign", "malignant"}


def test_a_patch_is_cut_from_the_reduced_picture(tmp_path: Path) -> None:
    arrays.digestpath(tmp_path, each=1)
    item = recognise(tmp_path).variants["as published"][0]
    name, place = item.id.split("#")
    reduced, x, y = (int(part[1:]) for part in place.split(","))
    picture = Image.open(tmp_path / name).convert("RGB")
    small = picture.resize((round(picture.width / reduced), round(picture.height / reduced)))
    cut = np.asarray(small)[y : y + 224, x : x + 224]
    assert np.array_equal(np.asarray(open_picture(tmp_path, "digestpath", item.id)), cut)


def test_a_positive_picture_without_its_mask_is_missing_it_and_is_no_item(tmp_path: Path) -> None:
    arrays.digestpath(tmp_path, each=2)
    mask = next(tmp_path.rglob("2019-01_mask.jpg"))
    mask.unlink()
    found = recognise(tmp_path)
    assert [name.rpartition("/")[2] for name in found.missing] == ["2019-01_mask.jpg"]
    assert not any("2019-01.jpg" in item.id for item in found.variants["as published"])
    assert any(name.endswith("2019-01.jpg") and why == "its mask is missing" for name, why in found.skipped)


# WSSS4LUAD


def test_wsss4luad_is_tumour_where_the_first_of_the_name_s_three_is_one(tmp_path: Path) -> None:
    files.wsss4luad(tmp_path, each=4)
    found = recognise(tmp_path)
    assert found.layout == "wsss4luad"
    for item in found.variants["as published"]:
        assert item.label == ("tumor" if "[1," in item.id else "normal")
    assert {name.partition("/")[0] for name, _ in found.skipped} == {"2.validation", "3.testing"}


def test_wsss4luad_s_split_does_not_depend_on_the_order_of_the_listing(tmp_path: Path) -> None:
    files.wsss4luad(tmp_path, each=6)
    names = sorted(path.name for path in (tmp_path / "1.training/1.training").iterdir())
    rows = pd.DataFrame({"name": names}).sample(frac=1, random_state=1)
    train = set(rows["name"].iloc[: int(len(rows) * 0.7)])
    items = recognise(tmp_path).variants["as published"]
    assert {item.id.rpartition("/")[2] for item in items if item.split == "train"} == train


def test_wsss4luad_s_leak_safe_split_keeps_slides_whole(tmp_path: Path) -> None:
    files.wsss4luad(tmp_path, each=6)
    items = recognise(tmp_path).variants["leak-safe"]
    assert len({item.group for item in items}) == 8
    assert not groups(items, "train") & groups(items, "test")
    assert {item.label for item in items if item.split == "test"} == {"normal", "tumor"}


# SICAPv2


def test_sicapv2_takes_the_largest_grade_and_the_authors_test_list(tmp_path: Path) -> None:
    files.sicapv2(tmp_path, each=2)
    found = recognise(tmp_path)
    assert found.layout == "sicapv2"
    items = found.variants["as published"]
    assert Counter((item.split, item.label) for item in items) == {
        **{("train", grade): 4 for grade in ("NC", "G3", "G4", "G5")},
        **{("test", grade): 2 for grade in ("NC", "G3", "G4", "G5")},
    }
    inner = found.variants["with validation"]
    assert {name: len(ids) for name, ids in by_split(inner).items()} == {"train": 8, "val": 8, "test": 8}
    assert by_split(inner)["test"] == by_split(items)["test"]


def test_sicapv2_s_groups_are_patients_and_its_odd_rows_are_named(tmp_path: Path) -> None:
    files.sicapv2(tmp_path, each=2)
    found = recognise(tmp_path)
    assert all(item.group.startswith("P") for item in found.variants["as published"])
    assert found.missing == ["16B9999999_Block_Region_0_0_0_xini_1_yini_1.jpg"]
    assert [why for name, why in found.skipped if "16B8888888" in name] == ["its row says no grade in Train.xlsx"]


# LC25000


def test_lc25000_has_no_split_until_its_copies_are_grouped(tmp_path: Path) -> None:
    files.lc25000(tmp_path, originals=2, copies=2)
    found = recognise(tmp_path)
    assert {name: len(items) for name, items in found.variants.items()} == {"as published": 20, "lung": 12, "colon": 8}
    assert {item.split for item in found.variants["as published"]} == {"all"}
    assert any("no test split" in warning for warning in found.warnings)
    assert any("random split" in warning for warning in found.warnings)


def test_verifying_lc25000_finds_the_copies_of_each_original_and_keeps_them_together(tmp_path: Path) -> None:
    files.lc25000(tmp_path, originals=3, copies=4)
    found = verify(tmp_path, recognise(tmp_path))
    items = found.variants["leak-safe"]
    numbers = {item.id: int(item.id.removesuffix(".jpeg").rpartition(item.label.replace("_", ""))[2]) for item in items}
    truth = {item.id: (item.label, (numbers[item.id] - 1) // 4) for item in items}
    originals: dict[str, set[tuple[str, int]]] = {}
    for item in items:
        originals.setdefault(item.group, set()).add(truth[item.id])
    assert all(len(of_group) == 1 for of_group in originals.values())
    assert len(originals) == 15
    assert not groups(items, "train") & groups(items, "test")
    assert {item.label for item in items if item.split == "test"} == set(found.classes)
    assert {item.id: item.group for item in found.variants["as published"]} == {item.id: item.group for item in items}


# BACH


def test_bach_s_unlabelled_test_pictures_are_named_and_not_taken(tmp_path: Path) -> None:
    files.bach(tmp_path, each=2)
    found = recognise(tmp_path)
    assert found.layout == "bach"
    assert Counter(item.label for item in found.variants["as published"]) == dict.fromkeys(found.classes, 2)
    assert [name.rpartition("/")[2] for name, _ in found.skipped] == ["test0.tif"]
    assert "leak-safe" not in found.variants


def test_bach_s_patient_aware_split_of_all_400_holds_132_out(tmp_path: Path) -> None:
    files.bach(tmp_path, each=100, size=(8, 6))
    found = recognise(tmp_path)
    assert Counter(item.split for item in found.variants["leak-safe"]) == {"train": 268, "test": 132}
    assert found.differences == []
    first = {item.id.rpartition("/")[2]: item.split for item in found.variants["leak-safe"]}
    around = [first[name] for name in ("b041.tif", "b042.tif", "b059.tif", "b060.tif")]
    assert around == ["train", "test", "test", "train"]


# Splits that are drawn here


def test_the_drawn_order_is_pandas_own() -> None:
    rows = pd.DataFrame({"row": range(101)}).sample(frac=1, random_state=1)["row"]
    assert splits.shuffled(101).tolist() == rows.tolist()


def test_a_class_with_two_groups_is_on_both_sides_and_no_group_is_on_two() -> None:
    items = [
        Item(f"{label}{group}{row}", label, "all", f"{label}{group}")
        for label, count in (("a", 2), ("b", 5), ("c", 40))
        for group in range(count)
        for row in range(3)
    ]
    split = splits.by_group(items)
    assert not groups(split, "train") & groups(split, "test")
    for label in "abc":
        assert {item.split for item in split if item.label == label} == {"train", "test"}
    assert 0.6 < len(by_split(split)["train"]) / len(items) < 0.75
    assert splits.by_group(items) == split


def test_a_broken_patch_source_is_named(tmp_path: Path) -> None:
    arrays.digestpath(tmp_path, each=1)
    broken = next(tmp_path.rglob("neg-00.jpg"))
    broken.write_bytes(broken.read_bytes()[:4000])
    save(tissue(1, 5, (100, 90)), broken.with_name("neg-small.jpg"))  # too small for one patch: none, no error
    found = recognise(tmp_path)
    assert [name.rpartition("/")[2] for name, why in found.skipped if "can't be decoded" in why] == ["neg-00.jpg"]
