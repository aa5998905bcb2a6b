"""Which reader takes a set of files, by what they hold; and what is said where none does."""

from pathlib import Path
from typing import Any

import pytest

from app.intake.formats import FormatUnknown, NotUnicode, detect
from app.intake.reasons import Reason, advice_for, sentence_for
from app.intake.trees import FileList, FolderTree
from tests.intake.folders import CODE, Folder, graph, stamped
from tests.intake.hostile_archives import zipped


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("in_table", [False, True])
def test_every_reason_says_what_happened_and_what_to_do(reason: Reason, in_table: bool) -> None:
    assert sentence_for(reason, in_table)
    assert advice_for(reason, in_table).endswith(".")


def test_an_empty_caption_is_a_missing_text_file_or_an_empty_cell() -> None:
    assert ".txt" in advice_for(Reason.NO_CAPTION)
    assert advice_for(Reason.NO_CAPTION, in_table=True) == "Fill the caption cell and import again."


def test_a_table_in_windows_western_encoding_is_read_once_that_is_confirmed(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_bytes("image,caption\na.jpg,Prüfung\n".encode("cp1252"))
    tree = FileList(tmp_path / "posts.csv", None)
    with pytest.raises(NotUnicode, match=r"posts\.csv is not written in UTF-8.*Save it as “CSV UTF-8”"):
        detect(tree)
    assert detect(tree, western=True).name == "CSV or TSV with pictures"


def test_a_folder_of_zips_is_told_to_import_each(tmp_path: Path) -> None:
    zipped(tmp_path / "one.zip", ("a.txt", b"words"))
    with pytest.raises(FormatUnknown, match="Import each by itself"):
        detect(FolderTree(tmp_path))


@pytest.mark.parametrize(
    ("file", "node"),
    [("posts.json", {"id": 17}), ("a.jpg.json", graph(post_shortcode=CODE)), ("tasks.json", {"data": 1})],
)
def test_json_of_other_programs_is_not_taken_for_instaloader_s(tmp_path: Path, file: str, node: dict[str, Any]) -> None:
    Folder(tmp_path).meta(node, file)
    with pytest.raises(FormatUnknown):
        detect(FolderTree(tmp_path))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", b"Rar!\x1a\x07\x01\x00", "RAR archive"),
        ("posts.zip", b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
        ("posts", b"\x1f\x8b\x08", "gzip archive"),
        ("posts.xlsx", b"\xd0\xcf\x11\xe0", "old Excel"),
        ("xl/workbook.xml", b"<x/>", "an Excel workbook"),
        ("your_instagram_activity/content/posts_1.html", b"<html>", "export in HTML"),
        ("evil\x00.csv".replace("\x00", "\n"), b"x\x00,y\x00\n", "has: x\ufffd, y\ufffd"),
    ],
)
def test_what_can_t_be_imported_is_called_by_its_name(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    Folder(tmp_path).file(name, data)
    with pytest.raises(FormatUnknown, match=says):
        detect(FolderTree(tmp_path))


def test_the_format_is_known_by_content(tmp_path: Path) -> None:
    Folder(tmp_path).meta(stamped(graph()), "anything.json").file("anything.jpg")
    assert detect(FolderTree(tmp_path)).name == "Instaloader folder"


def test_what_no_reader_knows_is_said_with_what_can_be_imported(tmp_path: Path) -> None:
    Folder(tmp_path).file("notes.docx").file("x.json", b'{"a": 1}')
    with pytest.raises(FormatUnknown, match=r"No posts were found in 2 files.*Instaloader folder"):
        detect(FolderTree(tmp_path))


def test_a_zip_cut_short_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "posts.zip").write_bytes(zipped(tmp_path / "x", ("a.txt", b"words")).read_bytes()[:40])
    with pytest.raises(FormatUnknown, match="cut short"):
        detect(FileList(tmp_path / "posts.zip", None))
