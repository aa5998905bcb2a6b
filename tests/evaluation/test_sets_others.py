"""The other published sets."""

import json
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from app.evaluation import catalogue
from tests.evaluation.fixtures import arrays, files
from tests.evaluation.fixtures.layouts import LAYOUTS
from tests.evaluation.fixtures.pictures import save, tissue
from workers.evaluation_sets import Item, NotRecognised, open_picture, recognise
from workers.evaluation_sets.layouts import READERS


def counted(items: list[Item]) -> Counter[tuple[str, str]]:
    return Counter((item.split, item.label) for item in items)


def on_both_sides(items: list[Item]) -> set[str]:
    """The groups that are in train and in test."""
    train, test = ({item.group for item in items if item.split == split} for split in ("train", "test"))
    return train & test


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_drawn_layout_is_recognised_without_being_told_and_every_item_opens(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path)
    found = recognise(tmp_path)
    assert found.layout == layout
    assert found.default_variant == next(iter(found.variants)) == "as published"
    assert set(found.variants) <= {variant.name for variant in catalogue.known(layout).variants}
    for items in found.variants.values():
        assert len({item.id for item in items}) == len(items) > 0
        if catalogue.known(layout).of_pairs:
            assert all(item.caption and not item.label for item in items)
        else:
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
    found = recognise(tmp_path)
    items = found.variants["as published"]
    assert {item.group for item in items if "-16184" in item.id} == {"16184"}
    assert all("-40-" in item.id and item.group.isdecimal() for item in items)
    assert {item.id for item in items} < {item.id for item in found.variants["all magnifications"]}
    assert on_both_sides(found.variants["leak-safe"]) == set()


def test_breakhis_s_four_classes_are_split_as_eva_has_it_and_without_its_leak_beside(tmp_path: Path) -> None:
    files.breakhis(tmp_path, each=2)
    variants = recognise(tmp_path).variants
    by_eva, safe = variants["four classes"], variants["leak-safe, four classes"]
    four = {"tubular_adenoma", "mucinous_carcinoma", "fibroadenoma", "ductal_carcinoma"}
    assert {item.label for item in by_eva} == four
    assert all("-40-" in item.id for item in by_eva)
    assert {item.id for item in by_eva if item.split == "test"} == {i.id for i in by_eva if "-16184CD-" in i.id}
    assert on_both_sides(by_eva) == {"16184"}
    assert on_both_sides(safe) == set()
    assert {item.id for item in safe} == {item.id for item in by_eva}


def test_breakhis_s_two_classes_are_benign_and_malignant_at_all_magnifications(tmp_path: Path) -> None:
    files.breakhis(tmp_path, each=1)
    variants = recognise(tmp_path).variants
    for name in ("two classes", "leak-safe, two classes"):
        assert all(f"/breast/{item.label}/" in item.id for item in variants[name])
        assert {item.id for item in variants[name]} == {item.id for item in variants["all magnifications"]}
    assert on_both_sides(variants["leak-safe, two classes"]) == set()


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


def test_bracs_in_six_and_three_classes_is_the_same_split_of_the_same_regions(tmp_path: Path) -> None:
    files.bracs(tmp_path, each=1)
    found = recognise(tmp_path)
    counts = {name: counted(items) for name, items in found.variants.items()}
    six = {"N_PB": 2, "2_UDH": 1, "3_FEA": 1, "4_ADH": 1, "5_DCIS": 1, "6_IC": 1}
    three = {"benign": 3, "atypical": 2, "malignant": 2}
    for split in ("train", "val", "test"):
        assert {label: n for (at, label), n in counts["six classes"].items() if at == split} == six
        assert {label: n for (at, label), n in counts["three classes"].items() if at == split} == three
    assert not [one for one in found.differences if "No picture" in one]


def test_a_class_of_any_variant_that_has_no_picture_is_named(tmp_path: Path) -> None:
    files.bracs(tmp_path, each=1)
    for path in [*tmp_path.rglob("3_FEA/*.png"), *tmp_path.rglob("4_ADH/*.png")]:
        path.unlink()
    missing = [one for one in recognise(tmp_path).differences if "No picture" in one]
    assert missing == [f"No picture is of class {key}." for key in ("3_FEA", "4_ADH", "atypical")]


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
    assert Counter(item.label for item in found.variants["as published"]) == {"1": 7, "2": 7, "3": 7}
    assert ("Grade I/moved_Grade_3.jpg", "its path names several grades") in found.skipped


def test_databiox_s_magnifications_are_variants_and_what_names_none_is_counted(tmp_path: Path) -> None:
    files.databiox(tmp_path, each=2)
    save(tissue(1, 2), tmp_path / "Grade I" / "10x" / "9500_40x_1.jpg")
    found = recognise(tmp_path)
    sizes = {name: len(items) for name, items in found.variants.items()}
    assert sizes == {"as published": 22, "4×": 3, "10×": 6, "20×": 3, "40×": 3}
    assert all("/40x/" in item.id for item in found.variants["40×"])
    assert "7 of the 22 pictures name no magnification, or several." in found.warnings


def test_sicap_mil_takes_the_labelled_test_patches_and_names_the_others(tmp_path: Path) -> None:
    files.sicap_mil(tmp_path, each=2)
    found = recognise(tmp_path)
    assert counted(found.variants["as published"]) == {("test", grade): 2 for grade in files.GRADES}
    assert len({item.group for item in found.variants["as published"]}) == 8
    assert found.skipped == [("patches/16B0001851_Block_Region_0_0_0_xini_7_yini_7.jpg", "no label names it")]


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


def test_a_pcam_file_that_claims_more_labels_than_pictures_is_refused_unread(tmp_path: Path) -> None:
    arrays.pcam(tmp_path)
    path = tmp_path / "camelyonpatch_level_2_split_test_y.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("y", shape=(10**12,), dtype=np.uint8, chunks=(10**6,), compression="gzip")
    with pytest.raises(NotRecognised, match="has 1,000,000,000,000 labels; they do not fit"):
        recognise(tmp_path)
