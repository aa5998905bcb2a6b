"""The pairs of a run, read before it starts: only those frozen for training, with captions, in pictures that open."""

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from sqlalchemy import select

from app.config import settings
from app.db import transaction
from app.errors import Conflict, Invalid
from app.jobs import RunningJob
from app.snapshots import queries as snapshots
from app.snapshots.building import folder_of
from app.snapshots.formats.shards import FOLDER, shard_name
from app.tables import Run, Snapshot
from app.training.checks import Facts
from app.training.command import Data, snapshot_data
from app.training.leaks import leaking, train_keys

SMALL = (64, 64)  # JPEG decodes at an eighth of its size in an eighth of the time; a broken one fails all the same


@dataclass
class Contents:
    """What shards hold: keys, and those of them that no trainer should meet."""

    keys: set[str] = field(default_factory=set)
    empty: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)


def practice_data() -> tuple[Data, Facts]:
    """The drawn set, written now if it is not there."""
    from workers.practice import ensure

    made = ensure(settings().runs_path / "practice")
    data = Data(made.train, made.val, made.train_pairs, made.val_pairs, made.shards)
    return data, Facts(data.train_pairs, data.val_pairs, data.shards, name="The practice set")


def data_of(job: RunningJob, snapshot: Snapshot) -> tuple[Data, Facts]:
    """A snapshot's shards, and what speaks against them. Raises Conflict, Invalid where they are not what was frozen.

    Pictures are decoded once for each snapshot that a run succeeded with before.
    """
    data = snapshot_data(snapshot)
    folder = folder_of(snapshot.number) / FOLDER
    shards = [folder / shard_name("train", number) for number in range(data.shards)]
    name = snapshots.name(snapshot)
    if not all(path.is_file() for path in shards):
        raise Conflict(f"{name} has lost its shards.", f"Write them again: ipath snapshot export {snapshot.number}.")
    with transaction() as session:
        withdrawn = snapshots.withdrawn_since(session, snapshot)
        leaks = leaking(session, snapshot)
        frozen = train_keys(session, snapshot)
        known = Run.snapshot_id == snapshot.id, Run.report["data"]["decoded"].as_boolean()
        decoded = session.scalar(select(Run.id).where(*known).limit(1)) is not None
    contents = read(job, shards, decode=not decoded)
    _refuse_strangers(name, contents.keys, frozen)
    facts = Facts(
        train_pairs=data.train_pairs,
        val_pairs=data.val_pairs,
        shards=data.shards,
        name=name,
        withdrawn=withdrawn,
        leaking=len(leaks),
        empty_captions=tuple(contents.empty),
        undecodable=tuple(contents.undecodable),
    )
    return data, facts


def _refuse_strangers(name: str, found: set[str], frozen: set[str]) -> None:
    if strangers := sorted(found - frozen):
        said = f"{len(strangers):,} pairs of {name}'s training shards were not frozen for training: {strangers[0]}"
        raise Invalid(f"{said}{' and others' if len(strangers) > 1 else ''}.", "Freeze a new snapshot.")
    if missing := frozen - found:
        raise Invalid(f"{name}'s training shards lack {len(missing):,} of its pairs.", "Freeze a new snapshot.")


def read(job: RunningJob, shards: list[Path], *, decode: bool) -> Contents:
    """Raises Invalid when a shard is no tar file, Cancelled when the job was asked to stop."""
    found = Contents()
    for at, path in enumerate(shards):
        job.check()
        job.message = f"Reading shard {at + 1} of {len(shards)}"
        try:
            with tarfile.open(path, "r:") as tar:
                for entry in tar:
                    _look(found, tar, entry, decode)
        except tarfile.TarError as error:
            raise Invalid(f"{path.name} is broken: {error}.", "Freeze a new snapshot.") from error
    return found


def _look(found: Contents, tar: tarfile.TarFile, entry: tarfile.TarInfo, decode: bool) -> None:
    """Files are read in memory, and only those that are looked at; nothing is written anywhere."""
    key, _, kind = entry.name.partition(".")
    found.keys.add(key)
    if kind == "txt" and not _bytes(tar, entry).strip():
        found.empty.append(key)
    if kind == "jpg" and decode and not _opens(_bytes(tar, entry)):
        found.undecodable.append(key)


def _bytes(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    return file.read() if file else b""


def _opens(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", SMALL)
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True
