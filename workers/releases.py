"""Pairs of an unpacked snapshot, read from its Parquet files: what retrieval needs where there is no database."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from app.errors import Invalid
from app.evaluation.pools import Pair
from app.storage import blobs

HELD_OUT = ("test", "val")


def pairs(root: Path, belongs: Mapping[str, Sequence[Any]]) -> Iterator[Pair]:
    """The held-out pairs by key; `belongs` says each one's author, post and group. Pictures go into the blob store.

    Raises Invalid for a folder that holds no snapshot.
    """
    files = sorted(path for split in HELD_OUT for path in (root / "data").glob(f"{split}-*.parquet"))
    if not files:
        raise Invalid(
            "The folder holds no snapshot with held-out pairs.", "Unpack the whole download and name its folder."
        )
    found = [pair for path in files for pair in _of_file(path, belongs)]
    yield from sorted(found, key=lambda pair: pair.key)


def _of_file(path: Path, belongs: Mapping[str, Sequence[Any]]) -> Iterator[Pair]:
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=100, columns=["key", "caption", "image"]):
            for row in batch.to_pylist():
                if row["key"] in belongs:
                    author, post, group = belongs[row["key"]]
                    sha256 = blobs().put(row["image"]["bytes"])
                    yield Pair(row["key"], int(row["key"]), sha256, row["caption"], author, post, group)
