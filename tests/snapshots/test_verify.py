"""verify: any changed byte, and any file too few or too many, is found."""

import json
import random
import shutil
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from app.snapshots.verify import Problem, verify
from tests.snapshots import made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.release(tmp_path_factory.mktemp("verify") / "v0007", made.members(60))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "v0007"))


def names(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.path, problem.kind) for problem in problems]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def sign(folder: Path) -> None:
    """Lists the files as they are now, as someone would who changed them on purpose."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for entry in manifest["files"]:
        data = (folder / entry["path"]).read_bytes()
        entry |= {"size": len(data), "sha256": sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lines = [
        f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in files(folder)
        if name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_a_whole_release_has_no_problem_and_every_byte_is_read(whole: Path) -> None:
    read: list[int] = []
    assert verify(whole, read.append) == []
    listed = sum((whole / name).stat().st_size for name in files(whole) if name != "SHA256SUMS")
    assert read[-1] == listed


def test_one_flipped_bit_in_any_file_is_found(copy: Path) -> None:
    chance = random.Random(3)
    for name in files(copy):
        before = (copy / name).read_bytes()
        for place in {0, len(before) - 1, *(chance.randrange(len(before)) for _ in range(3))}:
            changed = bytearray(before)
            changed[place] ^= 1 << chance.randrange(8)
            (copy / name).write_bytes(changed)
            found = verify(copy)
            assert found, (name, place)
            assert name == "SHA256SUMS" or names(found) == [(name, "changed")]
        (copy / name).write_bytes(before)
    assert verify(copy) == []


def test_any_missing_file_is_found(copy: Path) -> None:
    for name in files(copy):
        before = (copy / name).read_bytes()
        (copy / name).unlink()
        kind = "unreadable" if name == "SHA256SUMS" else "missing"
        assert names(verify(copy)) == [(name, kind)]
        (copy / name).write_bytes(before)


def test_an_extra_file_is_found(copy: Path) -> None:
    (copy / "data" / "train-00001-of-00002.parquet").write_bytes(b"more")
    assert names(verify(copy)) == [("data/train-00001-of-00002.parquet", "extra")]


def test_a_link_in_place_of_a_file_is_found(copy: Path) -> None:
    elsewhere = copy.parent / "captions.csv"
    (copy / "captions.csv").rename(elsewhere)
    (copy / "captions.csv").symlink_to(elsewhere)
    assert names(verify(copy)) == [("captions.csv", "missing")]


def test_a_cut_file_is_found(copy: Path) -> None:
    shard = copy / "shards" / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    assert names(verify(copy)) == [("shards/train-000000.tar", "changed")]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside", "a//b"])
def test_a_checksum_list_that_points_elsewhere_is_not_followed(copy: Path, name: str) -> None:
    with (copy / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    assert names(verify(copy)) == [("SHA256SUMS", "unreadable")]


def test_a_checksum_list_and_a_manifest_that_differ_are_found(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_bytes())
    dropped = manifest["files"].pop()["path"]
    data = json.dumps(manifest).encode()
    (copy / "manifest.json").write_bytes(data)
    lines = (copy / "SHA256SUMS").read_text().splitlines()
    lines = [f"{sha256(data).hexdigest()}  manifest.json" if "manifest" in line else line for line in lines]
    (copy / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    assert names(verify(copy)) == [(dropped, "changed")]


def lose_a_pair(folder: Path) -> None:
    path = folder / "shards" / "train-000000.tar"
    shorter = path.with_suffix(".new")
    with tarfile.open(path) as before, tarfile.open(shorter, "w") as after:
        for entry in before.getmembers()[3:]:
            after.addfile(entry, before.extractfile(entry))
    shorter.rename(path)


def lose_a_caption(folder: Path) -> None:
    path = folder / "shards" / "train-000000.tar"
    shorter = path.with_suffix(".new")
    with tarfile.open(path) as before, tarfile.open(shorter, "w") as after:
        for entry in before.getmembers()[:-1]:
            after.addfile(entry, before.extractfile(entry))
    shorter.rename(path)


def miscount_sizes(folder: Path) -> None:
    path = folder / "shards" / "sizes.json"
    sizes = json.loads(path.read_bytes())
    sizes["val-000000.tar"] += 1
    path.write_text(json.dumps(sizes))


def lose_a_row(folder: Path) -> None:
    path = folder / "open_clip" / "train.tsv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def swap_a_table(folder: Path) -> None:
    shutil.copy(folder / "data" / "val-00000-of-00001.parquet", folder / "data" / "train-00000-of-00001.parquet")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lose_a_pair, [("shards/train-000000.tar", "count")]),
        (lose_a_caption, [("shards/train-000000.tar", "count")]),
        (miscount_sizes, [("shards/val-000000.tar", "count"), ("shards/sizes.json", "count")]),
        (lose_a_row, [("open_clip/train.tsv", "count")]),
        (swap_a_table, [("data/train", "count")]),
    ],
)
def test_counts_are_found_wrong_even_where_checksums_were_made_anew(
    copy: Path, change: Callable[[Path], None], found: list[tuple[str, str]]
) -> None:
    change(copy)
    sign(copy)
    assert names(verify(copy)) == found


def test_a_manifest_of_another_shape_is_a_problem_and_no_crash(copy: Path) -> None:
    for content in ("[]", "{}", '{"files": 3}', "not JSON"):
        data = content.encode()
        (copy / "manifest.json").write_bytes(data)
        lines = (copy / "SHA256SUMS").read_text().splitlines()
        lines = [f"{sha256(data).hexdigest()}  manifest.json" if "manif" in line else line for line in lines]
        (copy / "SHA256SUMS").write_text("\n".join(lines) + "\n")
        assert names(verify(copy)) == [("manifest.json", "unreadable")]


def test_a_folder_that_is_no_release_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    assert names(verify(tmp_path / "nothing")) == [("SHA256SUMS", "unreadable")]
