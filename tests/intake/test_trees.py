"""Folders and archives as sets of named files: names are data, and a lying archive is refused whole."""

import os
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from app.intake import trees
from app.intake.formats import FormatUnknown, detect
from app.intake.formats.files import unsafe_files
from app.intake.reasons import Reason
from app.intake.records import Item, Record, Refused
from app.intake.trees import ArchiveRefused, FileList, FileTooLarge, FileTree, FolderTree, ZipTree, open_tree
from tests.intake.accounting import assert_accounted
from tests.intake.hostile import archives
from tests.intake.hostile_archives import (
    ARCHIVES_REFUSED,
    ARCHIVES_WITH_BAD_NAMES,
    CENTRAL,
    GOOD,
    LOCAL,
    patched,
    zipped,
)


def names(tree: FileTree) -> list[str]:
    return [entry.name for entry in tree.entries]


def unsafe(tree: FileTree) -> list[str]:
    return [name for name, _ in tree.unsafe]


@pytest.fixture(params=["folder", "zip"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> FileTree:
    files = {"b/two.txt": b"two", "a.txt": b"one"}
    if request.param == "zip":
        return ZipTree(zipped(tmp_path / "x.zip", *files.items()))
    for name, data in files.items():
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(data)
    return FolderTree(tmp_path / "x")


def test_files_are_listed_in_order_and_read_by_name(tree: FileTree) -> None:
    assert names(tree) == ["a.txt", "b/two.txt"]
    assert tree.read("b/two.txt") == b"two"
    assert [entry.size for entry in tree.entries] == [3, 3]


def test_more_bytes_than_asked_for_are_not_read(tree: FileTree) -> None:
    with pytest.raises(FileTooLarge):
        tree.read("a.txt", limit=2)


def test_a_zip_is_known_by_its_content(tmp_path: Path) -> None:
    assert isinstance(open_tree(zipped(tmp_path / "posts.bin", ("a.txt", b"x"))), ZipTree)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: zipped(p)])
def test_an_empty_folder_or_archive_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    with pytest.raises(ArchiveRefused, match="is empty"):
        open_tree(tmp_path / "x")


def test_links_in_a_folder_are_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "link.txt").symlink_to(secret)
    (tmp_path / "x" / "folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "x" / "pipe")
    found = FolderTree(tmp_path / "x")
    assert names(found) == []
    assert sorted(unsafe(found)) == ["folder", "link.txt", "pipe"]


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_FILES", 2)
    for n in range(3):
        (tmp_path / f"{n}.txt").write_bytes(b"x")
    with pytest.raises(ArchiveRefused, match="more than 2 files"):
        FolderTree(tmp_path)


def test_a_folder_too_deep_to_be_read_is_set_aside(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=at)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    (tmp_path / "good.txt").write_bytes(b"x")
    found = FolderTree(tmp_path)
    assert names(found) == ["good.txt"]
    assert len(unsafe(found)) == 1


def test_a_name_that_is_no_text_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad \xff.jpg")).write_bytes(b"x")
    found = FolderTree(tmp_path)
    assert (names(found), unsafe(found)) == ([], ["bad ?.jpg"])


@pytest.mark.parametrize("name", ARCHIVES_WITH_BAD_NAMES)
def test_names_that_lead_astray_are_set_aside_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    bad = ARCHIVES_WITH_BAD_NAMES[name]
    found = ZipTree(zipped(tmp_path / "x.zip", *bad, GOOD))
    assert names(found) == ["good.txt"]
    assert len(unsafe(found)) == len(bad)
    assert found.read("good.txt") == b"good"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["x.zip"]


def test_of_every_hostile_archive_all_is_refused_or_all_but_the_good_post(tmp_path: Path) -> None:
    made = archives(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for archive in made:
        found = read_whole(archive.path)
        assert isinstance(found, str) == archive.refused_whole, (archive.name, found)
        if not isinstance(found, str):
            assert [item.shortcode for item in found if isinstance(item, Record)] == ["C4abcDEF123"], archive.name
    assert len({archive.name for archive in made}) == len(made) >= 14
    assert sorted(tmp_path.rglob("*")) == before


def read_whole(path: Path) -> list[Item] | str:
    """The items, all files accounted for; or why nothing is taken, as a sentence."""
    try:
        tree = open_tree(path)
        items = list(detect(tree).read(tree))
    except (ArchiveRefused, FormatUnknown) as error:
        return str(error)
    assert_accounted(items, tree)
    return items


@pytest.mark.parametrize("zipped_up", [True, False])
def test_two_names_for_one_file_are_a_clash_and_other_bad_names_are_unsafe(tmp_path: Path, zipped_up: bool) -> None:
    twins = [("Pru\u0308fung.txt", b"1"), ("Pr\u00fcfung.txt", b"2")]
    (tmp_path / "x").mkdir()
    for name, data in twins:
        (tmp_path / "x" / name).write_bytes(data)
    (tmp_path / "x" / "link.txt").symlink_to("nowhere")
    both = ZipTree(zipped(tmp_path / "x.zip", *twins, ("../link.txt", b"")))
    refused = list(unsafe_files(both if zipped_up else FolderTree(tmp_path / "x")))
    assert {type(item) for item in refused} == {Refused}
    reasons = {(PurePosixPath(item.file).name, item.reason) for item in refused}
    clashes = {"Pr\u00fcfung.txt", "Pr\u00fcfung.txt (2)"} if zipped_up else {"Pr\u00fcfung.txt (2)"}
    assert reasons == {*((name, Reason.NAME_CLASH) for name in clashes), ("link.txt", Reason.UNSAFE_PATH)}
    assert not [item for item in refused if item.entry]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_are_set_aside_each_under_a_name_of_its_own(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("a.jpg", b"2"), ("a.jpg (2)", b"3"), ("a.jpg", b"4"), GOOD]
    found = ZipTree(zipped(tmp_path / "x.zip", *members))
    assert names(found) == ["a.jpg (2)", "good.txt"]
    assert unsafe(found) == ["a.jpg", "a.jpg (3)", "a.jpg (4)"]


def test_a_hundred_thousand_members_of_one_name_are_numbered_at_once() -> None:
    made = trees.distinct(["a.jpg"] * 100_000, {"a.jpg", "a.jpg (7)"})
    assert (len(set(made)), made[0], made[-1]) == (100_000, "a.jpg (2)", "a.jpg (100002)")


@pytest.mark.parametrize("error", [ValueError, RuntimeError, EOFError])
def test_an_error_of_who_reads_a_member_stays_what_it_is(tmp_path: Path, error: type[Exception]) -> None:
    found = ZipTree(zipped(tmp_path / "x.zip", GOOD))

    def reads_and_fails() -> None:
        with found.open("good.txt") as file:
            assert file.read() == b"good"
            raise error("of mine")

    with pytest.raises(error, match="of mine"):
        reads_and_fails()


@pytest.mark.parametrize("name", [":feed/a.jpg", ":saved/a.jpg", "#dermpath/a.jpg", "-C4abcDEF123/a.jpg", "%1/a.jpg"])
def test_folders_as_instaloader_names_them_are_no_harm(tmp_path: Path, name: str) -> None:
    assert names(ZipTree(zipped(tmp_path / "x.zip", (name, b"x")))) == [name]


def test_names_are_compared_in_one_form_of_unicode(tmp_path: Path) -> None:
    decomposed = "Bilder/Pru\u0308fung.jpg"
    found = ZipTree(zipped(tmp_path / "x.zip", (decomposed, b"x")))
    assert names(found) == ["Bilder/Pr\u00fcfung.jpg"]
    assert found.read("Bilder/Pr\u00fcfung.jpg") == b"x"


def test_utf_8_names_without_the_flag_are_read_as_utf_8(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", ("Prüfung.jpg", b"x"))
    for signature, offset in ((LOCAL, 6), (CENTRAL, 8)):
        patched(path, signature, offset, "<H", 0)
    assert names(ZipTree(path)) == ["Prüfung.jpg"]


def test_names_of_old_packers_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", ("Pr_fung.jpg", b"x"))
    path.write_bytes(path.read_bytes().replace(b"Pr_fung", b"Pr\x81fung"))
    assert names(ZipTree(path)) == ["Prüfung.jpg"]


@pytest.mark.parametrize("name", ARCHIVES_REFUSED)
def test_an_archive_that_lies_about_itself_is_refused_whole(tmp_path: Path, name: str) -> None:
    make, says = ARCHIVES_REFUSED[name]
    with pytest.raises(ArchiveRefused, match=says):
        ZipTree(make(tmp_path / "x.zip"))


@pytest.mark.parametrize(("limit", "value", "says"), [("MAX_FILES", 2, "more than"), ("MAX_UNPACKED", 2, "Unpacked")])
def test_an_archive_beyond_the_limits_is_refused_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, says: str
) -> None:
    monkeypatch.setattr(trees, limit, value)
    with pytest.raises(ArchiveRefused, match=says):
        ZipTree(zipped(tmp_path / "x.zip", *((f"{n}.txt", b"x") for n in range(3))))


def test_a_stated_size_is_not_believed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", ("a.txt", b"x" * 5000))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 10)
    path.write_bytes(data)
    with pytest.raises((OSError, FileTooLarge)):
        ZipTree(path).read("a.txt", limit=100)


@pytest.mark.parametrize("content", [random.Random(1).randbytes(3000), b"the same words again " * 500])
def test_a_member_whose_bytes_are_damaged_fails_alone(tmp_path: Path, content: bytes) -> None:
    path = zipped(tmp_path / "x.zip", ("a.txt", content), ("b.txt", b"good"))
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.write_bytes(data)
    found = ZipTree(path)
    with pytest.raises(OSError, match=r"a\.txt can't be unpacked"):
        found.read("a.txt")
    assert found.read("b.txt") == b"good"


def test_whatever_is_damaged_in_an_archive_it_is_refused_or_its_members_fail_alone(tmp_path: Path) -> None:
    rolls = random.Random(7)
    path = zipped(tmp_path / "x.zip", ("a.txt", b"some words " * 90), ("b/c.txt", rolls.randbytes(300)), GOOD)
    whole = path.read_bytes()
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(rolls.randint(1, 4)):
            data[rolls.randrange(len(data))] = rolls.randrange(256)
        path.write_bytes(data)
        with suppress(ArchiveRefused):
            tree = ZipTree(path)
            for entry in tree.entries:
                with suppress(OSError, FileTooLarge):
                    assert len(tree.read(entry.name, 5_000)) <= 5_000


def test_a_table_and_a_zip_of_its_pictures_are_one_tree(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_bytes(b"image,caption")
    tree = FileList(tmp_path / "posts.csv", ZipTree(zipped(tmp_path / "x.zip", ("a.jpg", b"picture"))))
    assert names(tree) == ["posts.csv", "a.jpg"]
    assert (tree.read("posts.csv"), tree.read("a.jpg")) == (b"image,caption", b"picture")


def test_a_table_alone_has_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "posts.csv").write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        FileList(tmp_path / "posts.csv", None).read("a.jpg")
