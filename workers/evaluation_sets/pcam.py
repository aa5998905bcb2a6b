"""PatchCamelyon: HDF5 files camelyonpatch_level_2_split_<split>_{x,y}.h5, with the slides in <split>_meta.csv."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import (
    MOST_PIXELS,
    Folder,
    Found,
    Item,
    NotRecognised,
    Reader,
    Unreadable,
    Version,
    inside,
)

MOST_ROWS = 10_000_000

SPLITS = {"train": "train", "valid": "val", "test": "test"}
PREFIX = "camelyonpatch_level_2_split_"
FILE = re.compile(rf"(?:^|/){PREFIX}(train|valid|test)_([xy])\.h5$")
PACKED = re.compile(rf"(?:^|/){PREFIX}\w+\.h5\.gz$")


def looks_like(folder: Folder) -> bool:
    return any(FILE.search(name) or PACKED.search(name) for name in folder.files)


def read(folder: Folder) -> Found:
    parts: dict[str, dict[str, str]] = {}
    for name in folder.files:
        if match := FILE.search(name):
            parts.setdefault(match[1], {})[match[2]] = name
        elif PACKED.search(name):
            folder.skip(name, "it is packed: unpack it with gunzip")
    items = []
    found = Found({})
    for part, split in SPLITS.items():
        files = parts.get(part, {})
        if len(files) == 2:
            items += _items(folder, files["x"], files["y"], split)
        else:
            found.missing += [f"{PREFIX}{part}_{key}.h5" for key in "xy" if key not in files]
    if not items:
        raise NotRecognised(f"No split has both {PREFIX}…_x.h5 and _y.h5. Unpack the .h5.gz files with gunzip.")
    found.variants["as published"] = items
    return found


def _items(folder: Folder, pictures: str, labelled: str, split: str) -> list[Item]:
    try:
        x = _dataset(Version.of(folder.path(pictures)), "x")
        y = _dataset(Version.of(folder.path(labelled)), "y")
        fits = x.ndim == 4 and x.shape[3] == 3 and len(x) == y.size <= MOST_ROWS
        values = np.asarray(y[:]).reshape(-1) if fits and x.shape[1] * x.shape[2] <= MOST_PIXELS else None
    except (OSError, KeyError, Unreadable) as error:
        raise NotRecognised(f"{pictures} and {labelled} can't be read as HDF5 with x and y ({error}).") from error
    if values is None or not np.isin(values, (0, 1)).all():
        raise NotRecognised(f"{pictures} is {x.shape} and {labelled} has {y.size:,} labels; they do not fit.")
    slides = _slides(folder, pictures.replace("_x.h5", "_meta.csv"), len(values))
    ids = [f"{pictures}#{row}" for row in range(len(values))]
    groups = slides or ids
    return [Item(one, str(int(value)), split, group) for one, value, group in zip(ids, values, groups, strict=True)]


def _slides(folder: Folder, table: str, count: int) -> list[str]:
    """The slide of each row, where the table is there and fits."""
    if table not in folder.files:
        return []
    try:
        slides = [row["wsi"] for row in labels.rows(folder, table, ("wsi",))]
    except NotRecognised as error:
        folder.skip(table, str(error))
        return []
    return slides if len(slides) == count else []


@lru_cache(maxsize=6)
def _dataset(version: Version, key: str) -> Any:
    """A dataset that lies in this very file: HDF5 can link into others, which is refused."""
    file = h5py.File(version.path, "r")
    found = file[key] if isinstance(file.get(key, getlink=True), h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        file.close()
        raise Unreadable(f"{version.path.name} holds no {key}, or only a link to where it lies")
    return found


def open_item(root: Path, item_id: str) -> Image.Image:
    name, _, row = item_id.rpartition("#")
    path = inside(root, name)
    if not row.isdecimal():
        raise Unreadable(f"{item_id} names no row.")
    pixels = np.asarray(_dataset(Version.of(path), "x")[int(row)])
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise Unreadable("its row holds no RGB picture")
    return Image.fromarray(pixels)


READER = Reader((f"{PREFIX}test_x.h5", f"{PREFIX}test_y.h5"), looks_like, read, open_item)
