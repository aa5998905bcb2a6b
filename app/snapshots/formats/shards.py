"""WebDataset shards: tar files in which `KEY.jpg`, `KEY.json` and `KEY.txt` follow each other.

Written by the standard library, for importing webdataset brings torch. Readers infer types from the first
samples, so every JSON member is flat, has every key and never a null: a field that may be unknown is text
there, empty when unknown. The Parquet files hold the typed values.
"""

import json
import tarfile
from collections.abc import Callable, Iterable
from io import BytesIO

from app.publish import Folder
from app.snapshots.formats.parts import parts
from app.snapshots.member import FIELDS, Field, Member, Value

FOLDER = "shards"
PAIRS = 800  # an even share of at most this many: chance then keeps each shard below 1,000
BYTES = 800_000_000
FOR_WORKERS = 16  # a trainer wants at least one shard for each of its loading processes


def shard_count(pairs: int, size: int) -> int:
    """How many shards `pairs` pairs with pictures of `size` bytes in all are cut into.

    16 or more, if each then holds 25 pairs: so none is empty by chance.
    """
    return max(1, -(-pairs // PAIRS), -(-size // BYTES), min(FOR_WORKERS, pairs // 25))


def shard_name(split: str, number: int) -> str:
    return f"{split}-{number:06d}.tar"


def write_shards(
    folder: Folder,
    split: str,
    members: Iterable[Member],
    picture: Callable[[Member], bytes],
    seed: int,
    count: int,
) -> dict[str, int]:
    """Writes a split's shards. Returns pairs by file name, as open_clip's sizes.json holds them."""
    sizes = {}
    for number, part in parts(members, seed, count):
        name = shard_name(split, number)
        with (
            folder.file(f"{FOLDER}/{name}") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            sizes[name] = sum(_add_pair(tar, member, picture(member)) for member in part)
    return sizes


def write_sizes(folder: Folder, sizes: dict[str, int]) -> None:
    with folder.file(f"{FOLDER}/sizes.json") as file:
        file.write(json.dumps(sizes, indent=1, sort_keys=True).encode() + b"\n")


def flat_record(member: Member) -> dict[str, str | int | float | bool]:
    """A member's columns without nulls: nullable ones as text."""
    record = member.record()
    return {field.name: _flat(field, record[field.name]) for field in FIELDS}


def _flat(field: Field, value: Value) -> str | int | float | bool:
    if value is None:
        return ""
    exact = float(value) if field.type == "float64" else value
    return str(exact) if field.nullable else exact


def _add_pair(tar: tarfile.TarFile, member: Member, picture: bytes) -> int:
    """Adds the pair's three files; returns 1, the pair."""
    record = json.dumps(flat_record(member), ensure_ascii=False)
    add_file(tar, f"{member.key}.jpg", picture)
    add_file(tar, f"{member.key}.json", record.encode())
    add_file(tar, f"{member.key}.txt", member.caption.encode())
    return 1


def add_file(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """With the same owner, mode and time in every release, or the same pairs would differ in bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o444
    tar.addfile(entry, BytesIO(data))
