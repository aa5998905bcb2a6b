"""Label files of strangers: whatever they claim, hold or call their classes is refused or told in plain letters."""

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.evaluation.fixtures import arrays, files
from tests.evaluation.fixtures.pictures import save, tissue
from tests.evaluation.test_sets_bad_input import refused
from workers.evaluation_sets import labels, recognise, verify


def rewrite(book: Path, written: str, claimed: str) -> None:
    """Puts `claimed` in place of the first `written` of a workbook's sheet."""
    with zipfile.ZipFile(book) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    members[sheet] = members[sheet].replace(written.encode(), claimed.encode(), 1)
    with zipfile.ZipFile(book, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_a_label_file_in_utf_16_says_so_also_where_it_is_utf_8_by_chance(encoding: str, tmp_path: Path) -> None:
    files.table_of_pictures(tmp_path, each=1)
    table = tmp_path / "labels.csv"
    table.write_bytes(table.read_text().encode(encoding))
    assert refused(tmp_path, "table") == "labels.csv is not written in UTF-8. Save it so."


def test_a_table_with_a_million_columns_or_rows_that_only_claim_to_be_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MOST_ROWS", 100_000)
    too_large = "has more than 100,000 rows or 1,000 columns"
    files.table_of_pictures(tmp_path / "csv", each=1)
    (tmp_path / "csv" / "labels.csv").write_text("image,label" + ",x" * 1_000_000 + "\n" + "a,b\n" * 1_000)
    assert too_large in refused(tmp_path / "csv", "table")
    for written, claimed in (('r="F1"', 'r="XFD1"'), ('<row r="2"', '<row r="1000000000"')):
        files.sicapv2(tmp_path / "xlsx", each=1)
        rewrite(tmp_path / "xlsx" / "partition" / "Test" / "Test.xlsx", written, claimed)
        assert too_large in refused(tmp_path / "xlsx")


def test_columns_in_a_message_are_few_and_short(tmp_path: Path) -> None:
    save(tissue(0, 1), tmp_path / "pictures" / "1.png")
    files.table(tmp_path / "labels.csv", ["x" * 10_000] * 500, [])
    assert len(refused(tmp_path)) < 2_000


@pytest.mark.parametrize("label", ["a\x1b[31mred", "x" * 201])
def test_what_no_class_is_called_is_refused_with_where_to_look(label: str, tmp_path: Path) -> None:
    save(tissue(0, 1), tmp_path / "pictures" / "1.png")
    files.table(tmp_path / "labels.csv", ["image", "label"], [["pictures/1.png", label]])
    assert "is no name of a class: it has 1 to 200 printable letters." in refused(tmp_path)


def test_a_column_of_other_things_than_classes_is_noticed(tmp_path: Path) -> None:
    for number in range(1_001):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / f"{number}.gif").write_bytes(b"GIF89a")
    rows = [[f"pictures/{number}.gif", f"case {number}"] for number in range(1_001)]
    files.table(tmp_path / "labels.csv", ["image", "label"], rows)
    assert refused(tmp_path).startswith("There are 1,001 classes; at most 1,000 are measured.")


def test_what_label_files_name_is_told_in_printable_letters(tmp_path: Path) -> None:
    files.chaoyang(tmp_path, each=2)
    there = json.loads((tmp_path / "test.json").read_text())[0]["name"]
    named = [{"name": "gone\0\ud800.jpg", "label": 0}, {"name": there, "label": "x\0" * 500}]
    (tmp_path / "test.json").write_text(json.dumps(named))
    found = recognise(tmp_path)
    assert there in dict(found.skipped)
    assert found.missing[-1] == "gone\\x00\\ud800.jpg"
    assert all(text.isprintable() and len(text) <= 300 for pair in found.skipped for text in pair)


@pytest.mark.parametrize("header", [{"GNU.sparse.map": "0,x"}, {"size": "9" * 30}, {"size": "-1"}])
def test_a_tar_whose_headers_lie_is_skipped_by_name_and_the_others_are_read(
    header: dict[str, str], tmp_path: Path
) -> None:
    arrays.clip_benchmark(tmp_path, each=1)
    with tarfile.open(tmp_path / "test" / "9.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        lie = tarfile.TarInfo("lie.cls")
        lie.pax_headers = header
        tar.addfile(lie)
    found = verify(tmp_path, recognise(tmp_path))
    assert {item.id.partition("#")[0] for item in found.variants["as published"]} >= {"test/0.tar", "test/1.tar"}
    assert [name.partition("#")[0] for name, _ in found.skipped] == ["test/9.tar"]


def test_classes_of_the_same_name_are_never_counted_as_one(tmp_path: Path) -> None:
    arrays.clip_benchmark(tmp_path, each=1)
    (tmp_path / "classnames.txt").write_text("crane\nheron\ncrane\n\n")
    assert refused(tmp_path).startswith("classnames.txt names “crane” twice: nothing would tell the two classes apart.")
