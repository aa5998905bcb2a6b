"""The practice set: drawn pairs in shards as a snapshot has them, written before the first run that asks for them."""

import fcntl
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from app.publish import Folder, publish_folder
from app.snapshots.formats.shards import add_file, shard_name
from app.training.settings import PRACTICE_SHARDS, PRACTICE_TRAIN_PAIRS, PRACTICE_VAL_PAIRS
from workers.ml import drawn

SEED = 20430
SIDE = 96  # px


def ensure(folder: Path) -> None:
    """Writes the set to `folder` (2 to 5 s), whole, unless it is there already."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers may ask at once
        if not folder.exists():
            _write(folder)


def _write(folder: Path) -> None:
    pairs = enumerate(drawn.pairs(PRACTICE_TRAIN_PAIRS + PRACTICE_VAL_PAIRS, SEED, SIDE))
    each = PRACTICE_TRAIN_PAIRS // PRACTICE_SHARDS
    with publish_folder(folder) as made:
        sizes = {}
        for number in range(PRACTICE_SHARDS):
            name = shard_name("train", number)
            sizes[name] = _write_shard(made, name, islice(pairs, each))
        name = shard_name("val", 0)
        sizes[name] = _write_shard(made, name, pairs)
        with made.file("sizes.json") as file:
            file.write(json.dumps(sizes, indent=1).encode())


def _write_shard(folder: Folder, name: str, pairs: Iterable[tuple[int, drawn.Pair]]) -> int:
    count = 0
    with folder.file(name) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, pair in pairs:
            key = f"{number:012d}"
            add_file(tar, f"{key}.jpg", pair.jpeg)
            add_file(tar, f"{key}.json", json.dumps(asdict(pair.truth)).encode())
            add_file(tar, f"{key}.txt", pair.caption.encode())
            count += 1
    return count
