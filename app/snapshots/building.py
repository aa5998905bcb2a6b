"""Writing a frozen snapshot's files, now or again: from its members and the blobs, and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy.orm import Session

from app.config import settings
from app.db import sessions
from app.errors import Conflict
from app.publish import sha256_of
from app.snapshots import queries
from app.snapshots.formats.build import build
from app.snapshots.formats.info import SnapshotInfo
from app.snapshots.formats.manifest import CHECKSUMS, MANIFEST
from app.snapshots.member import Member
from app.storage import blobs
from app.tables import Snapshot


def folder_of(number: int) -> Path:
    return settings().snapshots_path / f"v{number:04d}"


def info_of(session: Session, snapshot: Snapshot) -> SnapshotInfo:
    """What the release says of itself, from what was frozen."""
    report = snapshot.report
    split_report = {
        name: report[name]
        for name in ("wanted", "components", "held_out_components", "largest", "left_train", "shortfalls")
    }
    return SnapshotInfo(
        number=snapshot.number,
        seed=snapshot.seed,
        frozen_at=snapshot.frozen_at,
        counts=report["counts"],
        shards=snapshot.setting["shards"],
        tables=snapshot.setting["tables"],
        versions=snapshot.setting["versions"],
        reserve=queries.reserve_keys(session, snapshot),
        note=snapshot.note,
        split_report=split_report,
        funnel=report["funnel"],
        rejections=report["rejections"],
        reviewing=report["reviewing"],
    )


def write(snapshot: Snapshot, info: SnapshotInfo, folder: Path, progress: Callable[[int], None]) -> None:
    """Writes the whole release into `folder`, which must not be there.

    Raises FileNotFoundError for a picture that is gone, ValueError for a pair whose caption was blanked.
    """

    def members(split: str) -> Iterator[Member]:
        with sessions()() as session:
            yield from queries.members(session, snapshot, split)

    build(folder, members, blobs().get, info, progress)


def export(session: Session, number: int, folder: Path, progress: Callable[[int], None] = lambda _done: None) -> None:
    """Rebuilds a snapshot's files elsewhere. Raises NotFound, or Conflict when `folder` is there already."""
    snapshot = queries.numbered(session, number)
    if folder.exists():
        raise Conflict(f"{folder} is there already.", "Name a folder that does not exist.")
    write(snapshot, info_of(session, snapshot), folder, progress)


def all_files(folder: Path, listed: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Path → size and SHA-256 of every file of a release, with the two that the manifest can't list."""
    found = {path: {"size": entry["size"], "sha256": entry["sha256"]} for path, entry in listed.items()}
    for name in (MANIFEST, CHECKSUMS):
        with (folder / name).open("rb") as file:
            found[name] = {"size": (folder / name).stat().st_size, "sha256": sha256_of(file)}
    return dict(sorted(found.items()))
