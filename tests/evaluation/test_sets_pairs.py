"""Sets of pairs: pools for retrieval, read from drawn folders in their published layouts."""

from collections import Counter
from pathlib import Path

import pytest

from tests.evaluation.fixtures import files
from tests.evaluation.fixtures.pictures import save, tissue
from workers.evaluation_sets import Item, NotRecognised, recognise, verify


def test_arch_s_captions_go_with_pictures_by_uuid_and_its_figures_are_the_units(tmp_path: Path) -> None:
    files.arch(tmp_path, each=3)
    found = recognise(tmp_path)
    assert {name: len(items) for name, items in found.variants.items()} == {
        "as published": 12, "books_set": 6, "pubmed_set": 6,
    }  # fmt: skip
    books = found.variants["books_set"]
    assert books[3] == Item(
        "books_set/images/0003-4c1f.png", "", "all", "books_set/01", "Drawn books_set of the density 1"
    )
    assert Counter(item.group for item in books) == dict.fromkeys(("books_set/00", "books_set/01", "books_set/02"), 2)
    assert len({item.group for item in found.variants["pubmed_set"]}) == 6
    assert found.missing == ["books_set/images/0999-4c1f", "pubmed_set/images/1999-4c1f"]
    assert found.differences == []


def test_one_set_of_arch_alone_is_read_too(tmp_path: Path) -> None:
    files.arch(tmp_path, each=2)
    found = recognise(tmp_path / "books_set")
    assert (found.layout, len(found.variants["as published"])) == ("arch", 4)


def test_pathmmu_s_parts_are_pools_and_its_odd_entries_are_named(tmp_path: Path) -> None:
    files.pathmmu(tmp_path, each=3)
    found = recognise(tmp_path)
    assert {name: len(items) for name, items in found.variants.items()} == {
        "as published": 9, "Book": 3, "WebPathology": 3, "Twitter": 3,
    }  # fmt: skip
    assert dict(found.skipped)["Book/images/empty.jpg"] == "its row says no caption"
    assert dict(found.skipped)["Book/images/0.jpg"] == "it is listed again"


def test_pathpedia_s_table_is_a_table_of_pairs(tmp_path: Path) -> None:
    files.captions(tmp_path, each=3)
    found = recognise(tmp_path)
    assert (found.layout, found.classes, found.differences) == ("captions", [], [])
    assert found.variants["as published"][1] == Item("images/1.jpg", "", "all", "images/1.jpg", "Drawn tissue, the 1th")


def test_a_table_of_pairs_may_name_splits_and_groups(tmp_path: Path) -> None:
    rows = []
    for number, split in enumerate(("train", "test", "test", "holdout")):
        save(tissue(number, number), tmp_path / f"{number}.png")
        rows.append([f"{number}.png", f"Caption {number}", split, "patient 7"])
    files.table(tmp_path / "pairs.csv", ["image", "caption", "split", "group"], rows)
    found = recognise(tmp_path)
    assert [(item.split, item.group) for item in found.variants["as published"]] == [
        ("train", "patient 7"), ("test", "patient 7"), ("test", "patient 7"),
    ]  # fmt: skip
    assert found.skipped == [("3.png", "its row says caption Caption 3, split holdout")]


def test_a_table_with_labels_is_one_of_classes_whatever_captions_it_has(tmp_path: Path) -> None:
    for number in range(2):
        save(tissue(number, number), tmp_path / f"{number}.png")
    files.table(tmp_path / "labels.csv", ["image", "label", "caption"], [["0.png", "a", "A"], ["1.png", "b", "B"]])
    assert recognise(tmp_path).layout == "table"


def test_a_broken_picture_of_a_pair_is_skipped_by_name(tmp_path: Path) -> None:
    files.captions(tmp_path, each=3)
    path = tmp_path / "images" / "2.jpg"
    path.write_bytes(path.read_bytes()[:200])
    found = verify(tmp_path, recognise(tmp_path))
    assert [name for name, _ in found.skipped] == ["images/2.jpg"]
    assert len(found.variants["as published"]) == 2


def test_captions_are_plain_unicode_whatever_the_json_holds(tmp_path: Path) -> None:
    files.arch(tmp_path, each=1)
    table = tmp_path / "pubmed_set" / "captions.json"
    table.write_text(table.read_text().replace("Drawn pubmed_set of", "Half \\ud83d of"))
    texts = {item.caption for item in recognise(tmp_path).variants["pubmed_set"]}
    assert texts == {"Half ? of the density 0", "Half ? of the density 1"}


@pytest.mark.parametrize(
    ("held", "said"), [("[1, 2]", "lists no objects"), ('"text"', "lists no objects"), ("{", "is no JSON")]
)
def test_captions_that_are_no_list_of_objects_are_refused(tmp_path: Path, held: str, said: str) -> None:
    files.arch(tmp_path, each=1)
    (tmp_path / "books_set" / "captions.json").write_text(held)
    with pytest.raises(NotRecognised, match=said):
        recognise(tmp_path)
