"""What a release holds and by what it was made: manifest.json, and SHA256SUMS for `sha256sum -c`."""

import json
from dataclasses import asdict
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from app.publish import FileEntry, Folder
from app.snapshots.formats.info import SnapshotInfo
from app.snapshots.member import FIELDS

MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
FORMAT = 1


def versions() -> dict[str, str]:
    """What the bytes of a release depend on; Parquet files name the version that wrote them."""
    return {
        "ipath-curator": version("ipath-curator"),
        "python": python_version(),
        "pyarrow": version("pyarrow"),
    }


def write_manifest(folder: Folder, info: SnapshotInfo) -> None:
    """Lists every file written so far, without itself and SHA256SUMS."""
    with folder.file(MANIFEST) as file:
        file.write(json.dumps(_manifest(folder, info), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def write_checksums(folder: Folder) -> None:
    """In the form of GNU coreutils, sorted bytewise, without itself."""
    lines = [f"{entry.sha256}  {entry.path}\n" for entry in _sorted(folder.entries)]
    with folder.file(CHECKSUMS) as file:
        file.write("".join(lines).encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """A release's manifest. Raises OSError or ValueError."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    return manifest


def _manifest(folder: Folder, info: SnapshotInfo) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": info.name,
        "number": info.number,
        "frozen_at": info.frozen_at.astimezone(UTC).isoformat(),
        "note": info.note,
        "seed": info.seed,
        "pairs": info.released,
        "counts": dict(info.counts),
        "shards": dict(info.shards),
        "tables": dict(info.tables),
        "splits": dict(info.split_report),
        "reserve": list(info.reserve),
        "versions": dict(info.versions),
        "fields": [asdict(field) for field in FIELDS],
        "files": [asdict(entry) for entry in _sorted(folder.entries)],
    }


def _sorted(entries: list[FileEntry]) -> list[FileEntry]:
    return sorted(entries, key=lambda entry: entry.path.encode())
