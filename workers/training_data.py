"""The pairs of a run, read before it starts: only those frozen for it, with captions, in pictures that open."""

import io
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import transaction
from app.errors import Conflict, Invalid
from app.jobs import RunningJob
from app.snapshots import queries as snapshots
from app.snapshots.building import folder_of
from app.snapshots.formats.shards import FOLDER, shard_name
from app.tables import Run, Snapshot, Split
from app.training.checks import Facts
from app.training.command import Data, practice_data, snapshot_data
from app.training.leaks import keys, leaking

READ = {Split.TRAIN: "training", Split.VAL: "validation"}
SMALL = (64, 64)  # JPEG decodes at an eighth of its size in an eighth of the time; a broken one fails all the same


@dataclass
class Contents:
    """What shards hold: keys, how many of them each shard, and those that no trainer should meet."""

    keys: set[str] = field(default_factory=set)
    sizes: list[int] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)


def drawn_data() -> tuple[Data, Facts]:
    """The practice set, written now if it is not there."""
    from workers.practice import ensure

    data = practice_data()
    ensure(Path(data.train).parent)
    return data, Facts(data.sizes, data.val_pairs, name="The practice set")


def data_of(job: RunningJob, snapshot: Snapshot) -> tuple[Data, Facts]:
    """A snapshot's shards, and what speaks against them. Raises Conflict, Invalid where they are not what was frozen.

    Pictures are decoded once for each snapshot: a run that got so far tells the later ones.
    """
    name = snapshots.name(snapshot)
    with transaction() as session:
        withdrawn = snapshots.withdrawn_since(session, snapshot)
        leaks = leaking(session, snapshot)
        known = Run.snapshot_id == snapshot.id, Run.report["data"]["decoded"].as_boolean()
        decoded = session.scalar(select(Run.id).where(*known).limit(1)) is not None
        frozen = {split: keys(session, snapshot, split) for split in READ}
    read = {split: _read_split(job, snapshot, split, decode=not decoded) for split in READ}
    for split, contents in read.items():
        _refuse_strangers(f"{name}'s {READ[split]} shards", contents.keys, frozen[split])
    data = replace(snapshot_data(snapshot), sizes=tuple(read[Split.TRAIN].sizes))
    facts = Facts(
        data.sizes,
        data.val_pairs,
        name=name,
        withdrawn=withdrawn,
        leaking=len(leaks),
        empty_captions=tuple(key for contents in read.values() for key in contents.empty),
        undecodable=tuple(key for contents in read.values() for key in contents.undecodable),
    )
    return data, facts


def refuse_withdrawn(session: Session, snapshot: Snapshot | None) -> None:
    """Raises Conflict when pairs that are trained on were withdrawn meanwhile."""
    if snapshot and (gone := snapshots.withdrawn_since(session, snapshot)):
        were = "pair was" if gone == 1 else "pairs were"
        said = f"{gone:,} {were} withdrawn while it trained."
        raise Conflict(said, "Freeze a new snapshot and train on that.")


def _refuse_strangers(shards: str, found: set[str], frozen: set[str]) -> None:
    if strangers := sorted(found - frozen):
        said = f"{len(strangers):,} pairs of {shards} were not frozen for that: {strangers[0]}"
        raise Invalid(f"{said}{' and others' if len(strangers) > 1 else ''}.", "Freeze a new snapshot.")
    if missing := frozen - found:
        raise Invalid(f"{shards} lack {len(missing):,} of its pairs.", "Freeze a new snapshot.")


def _read_split(job: RunningJob, snapshot: Snapshot, split: Split, *, decode: bool) -> Contents:
    folder, count = folder_of(snapshot.number) / FOLDER, snapshot.setting["shards"].get(split.value, 0)
    shards = [folder / shard_name(split.value, number) for number in range(count)]
    if not all(path.is_file() for path in shards):
        said = f"{snapshots.name(snapshot)} has lost its shards."
        raise Conflict(said, f"Write them again: ipath snapshot export {snapshot.number}.")
    return read(job, shards, READ[split], decode=decode)


def read(job: RunningJob, shards: list[Path], split: str, *, decode: bool) -> Contents:
    """Raises Invalid when a shard is no tar file, Cancelled when the job was asked to stop."""
    found = Contents()
    for at, path in enumerate(shards):
        with job.step():
            job.message = f"Reading {split} shard {at + 1} of {len(shards)}"
        before = len(found.keys)
        try:
            with tarfile.open(path, "r:") as tar:
                for entry in tar:
                    _look(found, tar, entry, decode)
        except tarfile.TarError as error:
            raise Invalid(f"{path.name} is broken: {error}.", "Freeze a new snapshot.") from error
        found.sizes.append(len(found.keys) - before)
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
