"""A release's files: their layout, their exact content, and the same bytes for the same pairs."""

import csv
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.publish import publish_file, publish_folder
from app.snapshots.formats.build import COPIES, build
from app.snapshots.formats.datasheet import cell
from app.snapshots.formats.manifest import read_manifest
from app.snapshots.formats.parts import parts
from app.snapshots.formats.shards import shard_count
from app.snapshots.formats.snippets import snippets
from app.snapshots.member import EXPORTED_FIELDS, FIELDS, Member, part_of
from app.spreadsheets import neutral
from tests.snapshots import made

PAIRS = 200


@pytest.fixture(scope="module")
def pairs() -> list[Member]:
    return made.members(PAIRS)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, pairs: list[Member]) -> Path:
    return made.release(tmp_path_factory.mktemp("one") / "v0007", pairs)


def all_bytes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def of_split(pairs: list[Member], split: str) -> list[Member]:
    return [pair for pair in pairs if pair.split == split]


def test_a_release_holds_each_format_and_no_reserve(released: Path) -> None:
    assert sorted(all_bytes(released)) == [
        "README.md",
        "SHA256SUMS",
        "captions.csv",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "data/val-00000-of-00001.parquet",
        "manifest.json",
        "open_clip/test.tsv",
        "open_clip/train.tsv",
        "open_clip/val.tsv",
        "shards/sizes.json",
        "shards/test-000000.tar",
        *(f"shards/train-{number:06d}.tar" for number in range(5)),
        "shards/val-000000.tar",
    ]


def test_the_same_pairs_give_the_same_bytes_in_another_folder_and_process(
    released: Path, tmp_path: Path, pairs: list[Member]
) -> None:
    expected = all_bytes(released)
    assert all_bytes(made.release(tmp_path / "again", pairs)) == expected
    other = tmp_path / "process" / "v0007"
    subprocess.run(
        [sys.executable, "-m", "tests.snapshots.made", str(other), str(PAIRS)],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        cwd=Path(__file__).parents[2],
    )
    assert all_bytes(other) == expected


def test_the_order_of_counts_changes_no_byte(released: Path, tmp_path: Path, pairs: list[Member]) -> None:
    info = made.info_for(pairs)
    turned = replace(
        info,
        counts=dict(sorted(info.counts.items())),
        shards=dict(sorted(info.shards.items())),
        funnel=dict(sorted(info.funnel.items())),
    )
    assert all_bytes(made.release(tmp_path / "v0007", pairs, turned)) == all_bytes(released)


def test_a_shard_holds_picture_record_and_caption_of_each_pair_side_by_side(
    released: Path, pairs: list[Member]
) -> None:
    train = of_split(pairs, "train")
    names = []
    for path in sorted((released / "shards").glob("train-*.tar")):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    assert names == [f"{pair.key}.{end}" for pair in train for end in ("jpg", "json", "txt")]


def test_shards_hold_pictures_and_captions_byte_for_byte(released: Path, pairs: list[Member]) -> None:
    files: dict[str, bytes] = {}
    for path in (released / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            for entry in tar:
                file = tar.extractfile(entry)
                assert file is not None
                files[entry.name] = file.read()
    for pair in (pair for pair in pairs if pair.split != "reserve"):
        assert files[f"{pair.key}.jpg"] == made.picture(int(pair.key))
        assert files[f"{pair.key}.txt"].decode() == pair.caption


def test_json_members_are_flat_with_one_shape_and_no_nulls(released: Path) -> None:
    shapes = set()
    for path in (released / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            for entry in tar:
                if entry.name.endswith(".json"):
                    record = json.load(tar.extractfile(entry))  # type: ignore[arg-type]
                    shapes.add(tuple((name, type(value)) for name, value in record.items()))
    (shape,) = shapes
    assert [name for name, _ in shape] == [field.name for field in FIELDS]
    assert {kind for _, kind in shape} <= {str, int, float, bool}


def test_a_shorter_release_keeps_every_other_pair_in_its_shard(
    released: Path, tmp_path: Path, pairs: list[Member]
) -> None:
    info = made.info_for(pairs)
    fewer = [pair for pair in pairs if int(pair.key) % 9]
    info = replace(info, counts=made.info_for(fewer).counts)
    shorter = made.release(tmp_path / "v0007", fewer, info)
    for number in range(info.shards["train"]):
        name = f"shards/train-{number:06d}.tar"
        with tarfile.open(released / name) as before, tarfile.open(shorter / name) as after:
            kept = [entry for entry in before.getnames() if int(entry.split(".")[0]) % 9]
            assert after.getnames() == kept


def test_parquet_holds_typed_values_in_row_groups_of_100(released: Path, pairs: list[Member]) -> None:
    file = pq.ParquetFile(released / "data" / "train-00000-of-00001.parquet")
    train = of_split(pairs, "train")
    assert file.metadata.num_rows == len(train)
    assert file.metadata.row_group(0).num_rows == 100
    row = file.read().to_pylist()[0]
    assert row["image"] == {"bytes": made.picture(int(train[0].key)), "path": f"{train[0].key}.jpg"}
    assert row["caption"] == train[0].caption
    assert row["alignment_score"] is None
    assert row["reviewed_at"].isoformat() == "2026-11-01T08:00:00.123456+00:00"


def test_captions_csv_holds_no_formula(released: Path) -> None:
    with (released / "captions.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [field.name for field in FIELDS]
    assert not [value for row in rows for value in row.values() if value.startswith(tuple("=+-@\t\r"))]
    captions = {row["key"]: row["caption"] for row in rows}
    assert captions["000000000001"] == "'" + made.TRAPS[1]
    assert captions["000000000002"] == made.TRAPS[2]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", " \n=1", "＝1"])
def test_a_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe(text: str) -> None:
    assert neutral(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=1", "", -1, -0.5])
def test_other_cells_stay_as_they_are(value: object) -> None:
    assert neutral(value) == value


def test_open_clip_tables_hold_exact_captions(released: Path, pairs: list[Member]) -> None:
    with (released / "open_clip" / "train.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    expected = [[f"images/{pair.key}.jpg", pair.caption] for pair in of_split(pairs, "train")]
    assert rows == [["filepath", "title"], *expected]


def test_the_manifest_names_counts_reserve_and_every_file(released: Path, pairs: list[Member]) -> None:
    manifest = read_manifest(released)
    assert manifest["counts"] == dict(made.info_for(pairs).counts)
    assert manifest["reserve"] == [pair.key for pair in of_split(pairs, "reserve")]
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    own = {"manifest.json", "SHA256SUMS"}
    assert listed == {name: sha for name, sha in all_bytes(released).items() if name not in own}


def test_coreutils_accepts_the_checksums(released: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=released, check=True)


def test_the_card_counts_what_is_in_the_release(released: Path, pairs: list[Member]) -> None:
    text = (released / "README.md").read_text()
    assert f"| Train | {len(of_split(pairs, 'train'))} |" in text
    assert "| Made \\| up, owner agreed | 175 |" in text
    assert "Made &lt;for&gt; tests" not in text
    assert "Made &lt;for> tests" in text
    assert "write to curators@example.org" in text


def test_text_of_others_makes_no_markup_in_the_card() -> None:
    assert cell("a|b\n<img> [x](y) # z") == "a\\|b &lt;img> \\[x\\](y) \\# z"


def test_an_empty_split_has_no_files(tmp_path: Path, pairs: list[Member]) -> None:
    folder = made.release(tmp_path / "v0007", of_split(pairs, "train"))
    assert not [name for name in all_bytes(folder) if "val" in name or "test" in name]
    card = (folder / "README.md").read_text()
    assert "val.tsv" not in card
    assert "validation" not in card.split("---")[1]


def test_snippets_name_shards_by_braces(pairs: list[Member]) -> None:
    code = snippets(made.info_for(pairs))
    assert '"v0007/shards/train-{000000..000004}.tar"' in code["webdataset"]


@pytest.mark.parametrize(
    ("pairs", "size", "shards"),
    [
        (10, 0, 1),
        (400, 0, 16),
        (1_600, 0, 16),
        (100_000, 0, 125),
        (1_600, 80_000_000_000, 100),
    ],
)
def test_shards_are_many_and_small_enough(pairs: int, size: int, shards: int) -> None:
    assert shard_count(pairs, size) == shards


def test_an_even_share_keeps_shards_below_a_thousand() -> None:
    pairs = 40_000
    count = shard_count(pairs, 0)
    sizes = [0] * count
    for number in range(pairs):
        sizes[part_of(made.SEED, f"{number:012d}", count)] += 1
    assert max(sizes) < 1_000


def test_a_part_without_members_is_an_empty_file(pairs: list[Member]) -> None:
    sizes = [len(list(part)) for _, part in parts(pairs[:2], made.SEED, 50)]
    assert len(sizes) == 50
    assert sum(sizes) == 2


def test_members_out_of_order_are_refused(pairs: list[Member]) -> None:
    with pytest.raises(ValueError, match="order"):
        [list(part) for _, part in parts(reversed(pairs), made.SEED, 4)]


def test_a_missing_pair_stops_the_build_and_leaves_nothing(tmp_path: Path, pairs: list[Member]) -> None:
    with pytest.raises(ValueError, match="were frozen"):
        made.release(tmp_path / "v0007", pairs[1:], made.info_for(pairs))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_picture_stops_the_build_and_leaves_nothing(tmp_path: Path, pairs: list[Member]) -> None:
    def of(split: str) -> Iterator[Member]:
        return iter(of_split(pairs, split))

    with pytest.raises(ValueError, match="damaged"):
        build(tmp_path / "v0007", of, lambda _: b"torn", made.info_for(pairs), lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_at_two_copies_of_each_picture(tmp_path: Path) -> None:
    pairs = made.members(20)
    seen: list[int] = []
    pictures = {pair.image_sha256: made.picture(int(pair.key)) for pair in pairs}
    info = made.info_for(pairs)
    build(tmp_path / "v", lambda split: iter(of_split(pairs, split)), pictures.__getitem__, info, seen.append)
    assert seen == list(range(1, COPIES * info.released + 1))


@pytest.mark.parametrize(
    "change",
    [{"caption": " \n"}, {"key": "12"}, {"row": {}}, {"row": {**made.row(1), "source": None}}],
)
def test_a_member_without_caption_field_or_proper_key_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(made.member(1), **change)


def test_exported_names_are_unlike() -> None:
    names = [field.name for field in FIELDS]
    assert len(names) == len(set(names))
    assert set(EXPORTED_FIELDS) < set(FIELDS)


def test_a_file_takes_its_name_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"before")
    with pytest.raises(TypeError), publish_file(target) as draft:
        draft.file.writelines([b"half", "no bytes"])  # type: ignore[list-item]
    assert target.read_bytes() == b"before"
    with publish_file(target) as draft:
        draft.file.write(b"whole")
    assert (target.read_bytes(), draft.size) == (b"whole", 5)
    assert draft.sha256 == hashlib.sha256(b"whole").hexdigest()
    assert list(tmp_path.iterdir()) == [target]


def test_a_published_folder_is_never_written_again(tmp_path: Path) -> None:
    (tmp_path / "v.partial").mkdir()
    (tmp_path / "v.partial" / "left over").touch()
    with publish_folder(tmp_path / "v") as folder, folder.file("a/b") as file:
        file.write(b"x")
    assert list(all_bytes(tmp_path)) == ["v/a/b"]
    with pytest.raises(FileExistsError), publish_folder(tmp_path / "v"):
        pass


def test_building_needs_neither_torch_nor_webdataset() -> None:
    code = (
        "import sys, app.snapshots.formats.build, app.snapshots.verify; "
        "assert not {'torch', 'webdataset', 'pyarrow', 'sqlalchemy', 'fastapi'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
