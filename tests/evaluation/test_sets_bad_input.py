"""What is wrong with a folder is said, with what to do; nothing outside it is read, and nothing in it runs."""

import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.evaluation.fixtures import arrays, files
from tests.evaluation.fixtures.pictures import save, tissue
from tests.intake.hostile_pictures import png_that_claims
from workers.evaluation_sets import NotRecognised, Unreadable, open_picture, recognise, verify


def refused(root: Path, layout: str | None = None) -> str:
    with pytest.raises(NotRecognised) as raised:
        recognise(root, layout)
    return str(raised.value)


# Folders


def test_no_folder_an_empty_one_and_an_unknown_layout_say_what_to_do(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone") == "There is no such folder."
    assert refused(tmp_path) == "The folder is empty. Unpack the set into it."
    (tmp_path / "notes.txt").write_text("hello")
    assert "Bring the pictures into <split>/<class>/" in refused(tmp_path)
    assert refused(tmp_path, "imagenet").startswith("No layout is called imagenet. There are kather,")


def test_a_folder_in_another_layout_than_asked_says_what_is_needed_and_what_is_there(tmp_path: Path) -> None:
    files.folders(tmp_path, each=1)
    said = refused(tmp_path, "digestpath")
    assert said.endswith("tissue-train-pos-v1 or tissue-train-neg is needed; here are cat, dog, test, train.")


def test_a_published_set_in_a_misspelt_folder_is_read_as_any_folders_and_says_so(tmp_path: Path) -> None:
    files.kather(tmp_path, each=1, places=("NCT-CRC-HE_100k",))
    found = recognise(tmp_path)
    assert found.layout == "folders"
    said = "Read as folders of any set. “NCT-CRC-HE_100k” is spelt almost as “NCT-CRC-HE-100K”: rename it."
    assert said in found.warnings


def test_a_misspelt_split_says_how_it_is_spelt(tmp_path: Path) -> None:
    save(tissue(0, 1), tmp_path / "1.trainng" / "1.trainng" / "7-1-2-[1, 0, 0].png")
    assert "“1.trainng” is spelt almost as “1.training”: rename it." in refused(tmp_path, "wsss4luad")


def test_a_misspelt_class_is_skipped_with_its_nearest_name_and_missed_in_the_counts(tmp_path: Path) -> None:
    files.kather(tmp_path, each=1)
    for place in ("NCT-CRC-HE-100K", "CRC-VAL-HE-7K"):
        (tmp_path / place / "TUM").rename(tmp_path / place / "TUMO")
    found = recognise(tmp_path)
    assert "No picture is of class TUM." in found.differences
    reasons = {why for name, why in found.skipped if "/TUMO/" in name}
    assert reasons == {"it is not part of the layout. “TUMO” is spelt almost as “TUM”: rename it."}


def test_counts_that_are_not_the_published_ones_are_differences_and_equal_ones_are_none(tmp_path: Path) -> None:
    files.bach(tmp_path / "few", each=2)
    found = recognise(tmp_path / "few")
    assert "as published: 8 pictures, 400 in the published set." in found.differences
    assert (
        "as published: 2 pictures of class Benign, 100 in the published set." in recognise(tmp_path / "few").differences
    )
    files.bach(tmp_path / "all", each=100, size=(4, 4))
    assert recognise(tmp_path / "all").differences == []


def test_one_class_only_is_a_difference(tmp_path: Path) -> None:
    save(tissue(0, 1), tmp_path / "test" / "tumour" / "1.png")
    assert recognise(tmp_path).differences == ["All pictures are of one class, tumour: nothing can be told apart."]


def test_a_file_that_is_no_picture_is_skipped_whatever_it_is_called_and_a_picture_is_taken_likewise(
    tmp_path: Path,
) -> None:
    files.folders(tmp_path, each=1)
    (tmp_path / "test" / "cat" / "fake.png").write_text("<html>not found</html>")
    (tmp_path / "test" / "cat" / "empty.jpg").touch()
    (tmp_path / "test" / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "test" / "cat" / "0.png").rename(tmp_path / "test" / "cat" / "0.dat")
    found = recognise(tmp_path)
    assert "test/cat/0.dat" in {item.id for item in found.variants["as published"]}
    assert dict(found.skipped) == {
        "test/cat/Thumbs.db": "it is a file of the operating system",
        "test/cat/empty.jpg": "it is no picture (JPEG, PNG, TIFF, BMP, WebP or GIF)",
        "test/cat/fake.png": "it is no picture (JPEG, PNG, TIFF, BMP, WebP or GIF)",
    }


def test_links_pipes_and_names_that_are_no_unicode_are_skipped_and_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    save(tissue(0, 3), secret)
    root = tmp_path / "set"
    files.folders(root, each=1)
    (root / "test" / "cat" / "link.png").symlink_to(secret)
    (root / "test" / "bird").symlink_to(tmp_path)
    os.mkfifo(root / "test" / "cat" / "pipe.png")
    (root / "test" / "cat" / os.fsdecode(b"caf\xe9.png")).write_bytes(secret.read_bytes())
    (root / "test" / "cat" / "two\nlines.png").write_bytes(secret.read_bytes())
    found = recognise(root)
    assert {item.id for item in found.variants["as published"]} == {
        f"{split}/{label}/0.png" for split in ("train", "test") for label in ("cat", "dog")
    }
    assert dict(found.skipped) == {
        "test/bird": "it is a link; links are not followed",
        "test/cat/link.png": "it is a link; links are not followed",
        "test/cat/pipe.png": "it is no regular file",
        "test/cat/caf\\udce9.png": "its name is no plain Unicode",
        "test/cat/two\\nlines.png": "its name is no plain Unicode",
    }


def test_thousands_of_names_are_recognised_without_a_look_into_the_files(tmp_path: Path) -> None:
    for label in files.KATHER:
        folder = tmp_path / "NCT-CRC-HE-100K" / label
        folder.mkdir(parents=True)
        for number in range(500):
            (folder / f"{label}-{number:05}.tif").write_bytes(b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00")
    found = recognise(tmp_path)
    assert len(found.variants["as published"]) == 4500


# Pictures


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "/etc/passwd", "test/../../secret.png", "test\\cat\\0.png", "", ".", "test//cat/0.png", "a\0b"],
)
def test_a_path_that_leads_out_of_the_folder_is_never_opened(name: str, tmp_path: Path) -> None:
    save(tissue(0, 3), tmp_path / "secret.png")
    root = tmp_path / "set"
    files.folders(root, each=1)
    for layout in ("folders", "clip_benchmark", "pannuke", "pcam", "digestpath"):
        for suffix in ("", "#0", ".tar#x.png", "#d2,x0,y0"):
            with pytest.raises(Unreadable):
                open_picture(root, layout, name + suffix)


def test_a_link_set_in_place_of_a_picture_later_is_not_followed(tmp_path: Path) -> None:
    save(tissue(0, 3), tmp_path / "secret.png")
    root = tmp_path / "set"
    files.folders(root, each=1)
    (root / "test" / "cat" / "0.png").unlink()
    (root / "test" / "cat" / "0.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(Unreadable, match="is a link"):
        open_picture(root, "folders", "test/cat/0.png")


def test_verifying_moves_what_can_t_be_decoded_to_skipped_by_name(tmp_path: Path) -> None:
    files.folders(tmp_path, each=3)
    cut = tmp_path / "test" / "dog" / "1.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (tmp_path / "test" / "dog" / "2.png").write_bytes(png_that_claims(40_000, 40_000))
    found = verify(tmp_path, recognise(tmp_path))
    assert [name for name, _ in found.skipped] == ["test/dog/1.png", "test/dog/2.png"]
    assert all(why for _, why in found.skipped)
    assert len(found.variants["as published"]) == 10


def test_a_picture_of_more_than_100_megapixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "test" / "a").mkdir(parents=True)
    for name, side, why in (("large", 10_001, "pixels"), ("small", 100, "truncated")):
        (tmp_path / "test" / "a" / f"{name}.png").write_bytes(png_that_claims(side, side))
        with pytest.raises(Unreadable, match=why):  # neither has any data: the large one's was not asked for
            open_picture(tmp_path, "folders", f"test/a/{name}.png")


def test_every_mode_of_a_picture_is_given_as_rgb(tmp_path: Path) -> None:
    for mode in ("L", "LA", "P", "RGBA", "CMYK", "1", "I;16"):
        path = tmp_path / "test" / "a" / f"{mode.replace(';', '')}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = Image.new("L", (8, 8), 200)
        (plain if mode == "I;16" else plain.convert(mode)).convert(mode).save(path)
        assert open_picture(tmp_path, "folders", f"test/a/{path.name}").mode == "RGB"


def test_a_jpeg_is_decoded_at_reduced_size_where_that_is_enough(tmp_path: Path) -> None:
    save(tissue(0, 1, (1600, 1200)), tmp_path / "test" / "a" / "0.jpg")
    assert open_picture(tmp_path, "folders", "test/a/0.jpg", at_least=224).size == (400, 300)
    assert open_picture(tmp_path, "folders", "test/a/0.jpg").size == (1600, 1200)


# Label files


def test_a_label_file_with_other_columns_says_which_are_there_and_which_are_needed(tmp_path: Path) -> None:
    files.mhist(tmp_path / "mhist", each=1)
    table = tmp_path / "mhist" / "annotations.csv"
    table.write_text(table.read_text().replace("Majority Vote Label", "Label"))
    said = refused(tmp_path / "mhist")
    assert said.startswith("annotations.csv lacks the column Majority Vote Label. Needed are Image Name, ")
    assert "there are Image Name, Label, " in said
    save(tissue(0, 1), tmp_path / "own" / "pictures" / "1.png")
    files.table(tmp_path / "own" / "labels.csv", ["filename", "class"], [["pictures/1.png", "a"]])
    assert refused(tmp_path / "own") == (
        "labels.csv lacks the column image, label. Needed are image, label; there are filename, class."
    )


def test_label_files_that_are_broken_are_named(tmp_path: Path) -> None:
    files.chaoyang(tmp_path / "json", each=1)
    (tmp_path / "json" / "test.json").write_text('[{"name": "a"}')
    assert refused(tmp_path / "json").startswith("test.json is no JSON")
    (tmp_path / "json" / "test.json").write_text('{"name": "a"}')
    assert refused(tmp_path / "json") == "test.json is no list of objects with name and label."
    (tmp_path / "json" / "test.json").write_text("[" * 100_000)
    assert refused(tmp_path / "json").startswith("test.json is no JSON")
    files.sicapv2(tmp_path / "xlsx", each=1)
    book = tmp_path / "xlsx" / "partition" / "Test" / "Test.xlsx"
    book.write_bytes(book.read_bytes()[:900])
    assert "Test.xlsx can't be read as an Excel workbook" in refused(tmp_path / "xlsx")
    book.unlink()
    assert refused(tmp_path / "xlsx") == "partition/Test/Test.xlsx is not there. The labels of SICAPv2 stand in it."


def test_a_workbook_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    files.sicapv2(tmp_path, each=1)
    book = tmp_path / "partition" / "Test" / "Test.xlsx"
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("xl/workbook.xml", "w") as member:
        for _ in range(260):
            member.write(bytes(1_000_000))
    assert "unpacks to more than 200,000,000 bytes" in refused(tmp_path)


def test_a_label_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    files.table_of_pictures(tmp_path, each=1)
    table = tmp_path / "labels.csv"
    table.write_bytes(table.read_text().replace("benign", "gutartig für alle").encode("cp1252"))
    assert refused(tmp_path, "table") == "labels.csv is not written in UTF-8. Save it so."


# Arrays, HDF5 and tars


class Trap:
    """What runs where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("trapped",))


def test_an_array_of_python_objects_is_refused_and_nothing_in_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arrays.pannuke(tmp_path / "set", each=1)
    types = next((tmp_path / "set").rglob("types.npy"))
    np.save(types, np.array([Trap()], dtype=object), allow_pickle=True)
    assert "Python objects are refused" in refused(tmp_path / "set")
    types.write_bytes(pickle.dumps(Trap()))
    assert "can't be read" in refused(tmp_path / "set")
    assert not (tmp_path / "trapped").exists()


def test_arrays_that_do_not_fit_together_or_are_cut_short_are_named(tmp_path: Path) -> None:
    arrays.pannuke(tmp_path / "shapes", each=1)
    np.save(tmp_path / "shapes/fold_2/Fold 2/images/fold2/types.npy", np.array(["Breast"]))
    assert "do not fit together" in refused(tmp_path / "shapes")
    arrays.pannuke(tmp_path / "cut", each=1)
    images = tmp_path / "cut/fold_1/Fold 1/images/fold1/images.npy"
    images.write_bytes(images.read_bytes()[:100_000])
    assert "images.npy can't be read" in refused(tmp_path / "cut")


def test_an_item_that_names_no_row_is_unreadable(tmp_path: Path) -> None:
    arrays.pannuke(tmp_path, each=1)
    name = "fold_1/Fold 1/images/fold1/images.npy"
    for row in ("#99999", "#-1", "#x", "", "#1e3"):
        with pytest.raises(Unreadable):
            open_picture(tmp_path, "pannuke", name + row)


def test_hdf5_that_links_into_another_file_is_refused(tmp_path: Path) -> None:
    arrays.pcam(tmp_path / "set", each=1)
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["x"] = np.zeros((2, 96, 96, 3), np.uint8)
    inside = tmp_path / "set" / "camelyonpatch_level_2_split_test_x.h5"
    with h5py.File(inside, "w") as file:
        file["x"] = h5py.ExternalLink(str(outside), "x")
    assert "only a link to where it lies" in refused(tmp_path / "set")
    (tmp_path / "raw.bin").write_bytes(bytes(2 * 96 * 96 * 3))
    with h5py.File(inside, "w") as file:
        file.create_dataset("x", (2, 96, 96, 3), np.uint8, external=[(str(tmp_path / "raw.bin"), 0, 2 * 96 * 96 * 3)])
    assert "only a link to where it lies" in refused(tmp_path / "set")


def test_packed_hdf5_says_how_to_unpack_it(tmp_path: Path) -> None:
    for key in "xy":
        (tmp_path / f"camelyonpatch_level_2_split_test_{key}.h5.gz").write_bytes(b"\x1f\x8b")
    assert "Unpack the .h5.gz files with gunzip." in refused(tmp_path)


def test_members_of_a_tar_are_read_in_place_whatever_paths_they_claim(tmp_path: Path) -> None:
    arrays.clip_benchmark(tmp_path / "set", each=1)
    picture = tissue(0, 1)
    save(picture, tmp_path / "secret.png")
    with tarfile.open(tmp_path / "set" / "test" / "1.tar", "w") as tar:
        arrays.add(tar, "../../secret.png", (tmp_path / "secret.png").read_bytes())
        arrays.add(tar, "../../secret.cls", b"0")
        link = tarfile.TarInfo("linked.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../secret.png"
        tar.addfile(link)
        arrays.add(tar, "linked.cls", b"1")
    found = recognise(tmp_path / "set")
    assert ("test/1.tar#linked", "it holds no picture") in found.skipped
    (tmp_path / "secret.png").unlink()
    assert "test/1.tar#../../secret.png" in {item.id for item in found.variants["as published"]}
    opened = open_picture(tmp_path / "set", "clip_benchmark", "test/1.tar#../../secret.png")
    assert np.array_equal(np.asarray(opened), np.asarray(picture))
    assert not (tmp_path / "secret.png").exists()


def test_tars_of_captions_say_that_they_are_not_read_and_what_is(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    save(tissue(0, 1), tmp_path / "0.png")
    with tarfile.open(tmp_path / "test" / "0.tar", "w") as tar:
        arrays.add(tar, "s0.png", (tmp_path / "0.png").read_bytes())
        arrays.add(tar, "s0.txt", b"Normal colon.\nColon, normal.")
    said = refused(tmp_path)
    assert said.startswith("The tars hold captions (.txt) and no labels (.cls)")
    assert said.endswith("beside a CSV with the columns image and caption.")


def test_a_packed_or_broken_tar_is_named(tmp_path: Path) -> None:
    arrays.clip_benchmark(tmp_path, each=1)
    with tarfile.open(tmp_path / "test" / "1.tar", "w:gz") as tar:
        arrays.add(tar, "a.cls", b"0")
    (tmp_path / "test" / "nshards.txt").write_text("2\n")
    found = recognise(tmp_path)
    assert [name for name, _ in found.skipped] == ["test/1.tar"]
    assert "it is no tar, or a packed one" in found.skipped[0][1]
    (tmp_path / "test" / "nshards.txt").write_text("many\n")
    assert refused(tmp_path) == "test/nshards.txt holds no number of shards."
