"""A whole release from its members: the same members and settings give the same bytes."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import chain
from pathlib import Path

from app.publish import FileEntry, publish_folder
from app.snapshots.formats.card import write_card
from app.snapshots.formats.info import SnapshotInfo
from app.snapshots.formats.manifest import write_checksums, write_manifest
from app.snapshots.formats.parquet import write_tables
from app.snapshots.formats.shards import write_shards, write_sizes
from app.snapshots.formats.tables import write_captions, write_open_clip
from app.snapshots.member import Member

COPIES = 2  # pictures are written into shards and into Parquet files


def build(
    path: Path,
    members: Callable[[str], Iterator[Member]],
    open_image: Callable[[str], bytes],
    info: SnapshotInfo,
    progress: Callable[[int], None],
) -> list[FileEntry]:
    """Writes release `path`, whole or not at all, and returns its files.

    `members(split)` gives that split's members anew, by `rank` of seed and key; `open_image(sha256)` its
    picture's bytes. `progress` gets the number of pictures written so far, of COPIES times
    `info.released`; what it raises stops the build and leaves nothing behind. Raises FileExistsError if
    the release is there, ValueError for members out of order or number, or a damaged picture.
    """
    picture = _Pictures(open_image, progress)
    with publish_folder(path) as folder:
        sizes: dict[str, int] = {}
        for split in info.splits:
            sizes |= write_shards(folder, split, members(split), picture, info.seed, info.shards[split])
            write_tables(folder, split, members(split), picture, info.seed, info.tables[split])
            write_open_clip(folder, split, members(split))
        _check_number(sum(sizes.values()), info)
        write_sizes(folder, sizes)
        write_captions(folder, chain.from_iterable(map(members, info.splits)))
        write_card(folder, info, chain.from_iterable(map(members, info.splits)))
        write_manifest(folder, info)
        write_checksums(folder)
    return folder.entries


class _Pictures:
    """A member's picture, checked against its hash and counted."""

    def __init__(self, open_image: Callable[[str], bytes], progress: Callable[[int], None]) -> None:
        self.open_image = open_image
        self.progress = progress
        self.done = 0

    def __call__(self, member: Member) -> bytes:
        data = self.open_image(member.image_sha256)
        if sha256(data).hexdigest() != member.image_sha256:
            raise ValueError(f"The stored picture of pair {member.key} is damaged.")
        self.done += 1
        self.progress(self.done)
        return data


def _check_number(written: int, info: SnapshotInfo) -> None:
    if written != info.released:
        raise ValueError(f"{written:,} pairs were written where {info.released:,} were frozen.")
