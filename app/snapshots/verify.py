"""Whether a release is what it was when published: every byte, every file and every count."""

import csv
import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from app.publish import sha256_of
from app.snapshots.formats.manifest import CHECKSUMS, MANIFEST, read_manifest
from app.snapshots.formats.parquet import FOLDER as DATA
from app.snapshots.formats.shards import FOLDER as SHARDS
from app.snapshots.formats.tables import CAPTIONS, OPEN_CLIP
from app.snapshots.member import RELEASED

LINE = re.compile(r"([0-9a-f]{64})  ([0-9A-Za-z_.-]+(?:/[0-9A-Za-z_.-]+)*)\n")
ENTRIES_A_PAIR = 3
MALFORMED = (OSError, ValueError, LookupError, TypeError, AttributeError, tarfile.TarError, csv.Error)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one file. Kind: missing, extra, changed, unreadable or count."""

    path: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


def verify(folder: Path, progress: Callable[[int], None] = lambda _: None) -> list[Problem]:
    """Every problem of the release in `folder`, none if it is whole; needs nothing but the folder.

    `progress` gets the number of bytes read so far. Counts are looked at only where all bytes are right.
    """
    try:
        sums = _read_checksums(folder)
    except (OSError, ValueError) as error:
        return [Problem(CHECKSUMS, "unreadable", f"The list of checksums cannot be read: {error}")]
    problems = [*_files(folder, sums), *_bytes(folder, sums, progress)]
    if problems:
        return problems
    try:
        manifest = read_manifest(folder)
        return [*_listed(manifest, sums), *_counts(folder, manifest)]
    except MALFORMED as error:
        return [Problem(MANIFEST, "unreadable", f"The manifest does not describe these files: {error!r}")]


def _read_checksums(folder: Path) -> dict[str, str]:
    """Path → SHA-256. Raises ValueError for a line in another form, which may name a file elsewhere."""
    sums: dict[str, str] = {}
    text = (folder / CHECKSUMS).read_bytes().decode("ascii")
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        found = LINE.fullmatch(line)
        if found is None or ".." in PurePosixPath(found[2]).parts or found[2] in sums:
            raise ValueError(f"line {number} is not a checksum and a new name.")
        sums[found[2]] = found[1]
    return sums


def _files(folder: Path, sums: dict[str, str]) -> Iterator[Problem]:
    """Files that are there and not listed, or listed and not there."""
    for name in sorted(sums.keys() | {MANIFEST}):
        if not _is_file(folder / name):
            yield Problem(name, "missing", "The file is missing, or something else stands in its place.")
        elif name not in sums:
            yield Problem(name, "changed", "The file has no checksum.")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if _is_entry(path)}
    for name in sorted(present - sums.keys() - {CHECKSUMS, MANIFEST}):
        yield Problem(name, "extra", "The file is not part of the release.")


def _bytes(folder: Path, sums: dict[str, str], progress: Callable[[int], None]) -> Iterator[Problem]:
    read = 0
    for name, expected in sums.items():
        path = folder / name
        if not _is_file(path):
            continue
        with path.open("rb") as file:
            if sha256_of(file) != expected:
                yield Problem(name, "changed", "Its bytes are not those that were published.")
            read += file.tell()
        progress(read)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_entry(path: Path) -> bool:
    """Anything but a true folder."""
    return path.is_symlink() or not path.is_dir()


def _listed(manifest: dict[str, Any], sums: dict[str, str]) -> Iterator[Problem]:
    """The manifest and the list of checksums must name the same files."""
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]} | {MANIFEST: sums[MANIFEST]}
    for name in sorted(sums.keys() | listed.keys()):
        if sums.get(name) != listed.get(name):
            yield Problem(name, "changed", f"{MANIFEST} and {CHECKSUMS} differ about it.")


def _counts(folder: Path, manifest: dict[str, Any]) -> Iterator[Problem]:
    """Sizes, and the number of pairs in every kind of file, against the manifest."""
    for entry in manifest["files"]:
        yield from _compare(entry["path"], (folder / entry["path"]).stat().st_size, entry["size"], "bytes")
    sizes = json.loads((folder / SHARDS / "sizes.json").read_bytes())
    for name, pairs in sizes.items():
        yield from _compare(f"{SHARDS}/{name}", _pairs_in_shard(folder / SHARDS / name), pairs, "pairs")
    captions = Counter(row["split"] for row in _csv_rows(folder / CAPTIONS, ","))
    for split in RELEASED:
        expected = manifest["counts"].get(split, 0)
        in_shards = sum(pairs for name, pairs in sizes.items() if name.startswith(f"{split}-"))
        yield from _compare(f"{SHARDS}/sizes.json", in_shards, expected, f"pairs in {split}")
        yield from _compare(CAPTIONS, captions[split], expected, f"pairs in {split}")
        yield from _compare(f"{DATA}/{split}", _parquet_rows(folder / DATA, split), expected, "pairs")
        if expected:
            table = f"{OPEN_CLIP}/{split}.tsv"
            yield from _compare(table, _count(_csv_rows(folder / table, "\t")), expected, "pairs")


def _compare(path: str, found: int, expected: int, unit: str) -> Iterator[Problem]:
    if found != expected:
        yield Problem(path, "count", f"It holds {found:,} {unit} where {expected:,} were published.")


def _pairs_in_shard(path: Path) -> int:
    """Pairs by the tar's headers, streamed; a shard that is not whole triples has -1."""
    with tarfile.open(path, mode="r:") as tar:
        pairs, rest = divmod(_count(tar), ENTRIES_A_PAIR)
    return -1 if rest else pairs


def _parquet_rows(folder: Path, split: str) -> int:
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.glob(f"{split}-*.parquet"))


def _csv_rows(path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def _count(items: Iterable[object]) -> int:
    return sum(1 for _ in items)
