"""PanNuke: arrays of three folds, read as they lie on the disk; PLIP's rule makes them malignant or benign."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.evaluation_sets import splits
from workers.evaluation_sets.reading import (
    Folder,
    Found,
    Item,
    NotRecognised,
    Reader,
    Unreadable,
    Version,
    inside,
)

FOLD = re.compile(r"fold_?\s?([123])(?=/|$)", re.IGNORECASE)
CHANNELS = 6
NEOPLASTIC = 0
CELLS = slice(0, 5)  # the last channel is background
FEWEST, SHARE = 10, 0.3  # neoplastic nuclei of a malignant patch, and their least share of all
WRAP = 256
CHUNK = 256
NEITHER = "by the rule it is neither malignant nor benign"
COMMON_ID = 65_536  # ids below are counted by a table, others by sorting

Array = NDArray[Any]
Counts = NDArray[np.int64]
Labelled = tuple[Item, str]  # with its tissue


def looks_like(folder: Folder) -> bool:
    return bool(folder.called("images.npy") and folder.called("types.npy") and folder.called("masks.npy"))


def read(folder: Folder) -> Found:
    folds = _folds(folder)
    total = sum(len(_array(folder.path(fold["images.npy"]))) for fold in folds.values())
    wrapped: list[Labelled] = []
    exact: list[Labelled] = []
    for done, (item_id, tissue, mask) in enumerate(_patches(folder, folds), start=1):
        if done % CHUNK == 0:
            folder.tell(done, total)
        if (counts := nuclei(mask)) is None:
            folder.skip(item_id, "its mask holds numbers that are no ids", is_item=True)
            continue
        labels = [_label(count) if has_cells else None for count, has_cells in counts]
        for kept, label in zip((wrapped, exact), labels, strict=True):
            if label:
                kept.append((Item(item_id, label, "all", item_id), tissue))
        if not any(labels):
            folder.skip(item_id, NEITHER if counts[1][1] else "it has no nuclei")
    folder.rest(name for fold in folds.values() for name in fold.values())
    by_fold = [replace(item, split="test" if _fold(item.id) == "3" else "train") for item, _ in exact]
    return Found({"as published": _plip_split(wrapped), "exact count": _plip_split(exact), "by fold": by_fold})


def _patches(folder: Folder, folds: dict[str, dict[str, str]]) -> Iterator[tuple[str, str, Array]]:
    """(Id, tissue, mask) of each patch, in the order of the folds."""
    for _, fold in sorted(folds.items()):
        images, masks, types = (_array(folder.path(fold[name])) for name in ("images.npy", "masks.npy", "types.npy"))
        _check(fold, images, masks, types)
        for row in range(len(images)):
            yield f"{fold['images.npy']}#{row}", str(types[row]), masks[row]


def nuclei(mask: Array) -> tuple[tuple[Counts, bool], tuple[Counts, bool]] | None:
    """PLIP's count of nuclei a channel (int64 [6]) and whether there are any, with ids cast to 8 bit and exact.

    Its count is the number of distinct values less one, of the background channel too. `mask` is [256, 256, 6] of
    instance ids. None for a mask that holds anything else than whole numbers from 0 on.
    """
    ids = mask.reshape(-1, CHANNELS)
    if not np.isfinite(ids).all() or (ids < 0).any() or ids.max() > np.iinfo(np.int32).max:
        return None
    whole = ids.astype(np.int64)
    distinct = [_distinct(whole[:, channel]) for channel in range(CHANNELS)]
    made = []
    for values in ([np.unique(some % WRAP) for some in distinct], distinct):
        counts = np.array([len(some) - 1 for some in values], dtype=np.int64)
        made.append((counts, any(some.any() for some in values[CELLS])))
    return made[0], made[1]


def _distinct(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    highest = int(ids.max())
    if highest >= COMMON_ID:
        return np.unique(ids)
    return np.flatnonzero(np.bincount(ids, minlength=highest + 1)).astype(np.int64)


def _label(counts: Counts) -> str | None:
    """PLIP's rule: many neoplastic nuclei of all, or none; what is between is left out."""
    if counts[NEOPLASTIC] == 0:
        return "benign"
    enough = counts[NEOPLASTIC] >= FEWEST and counts[NEOPLASTIC] / counts.sum() > SHARE
    return "malignant" if enough else None


def _plip_split(labelled: list[Labelled]) -> list[Item]:
    """70/30 per tissue and class, drawn as PLIP does: all rows shuffled, then those of each tissue and class again.

    PLIP's rows are the malignant ones and then the benign ones.
    """
    rows = sorted(labelled, key=lambda pair: pair[0].label == "benign")
    order = [rows[row] for row in splits.shuffled(len(rows))]
    parts: dict[tuple[str, str], list[Item]] = {}
    for item, tissue in order:
        parts.setdefault((tissue.casefold().replace("_", " "), item.label), []).append(item)
    split: dict[str, str] = {}
    for part in parts.values():
        again = [part[row] for row in splits.shuffled(len(part))]
        split |= {item.id: "train" if at < int(len(part) * splits.TRAIN) else "test" for at, item in enumerate(again)}
    return [replace(item, split=split[item.id]) for item, _ in labelled]


def _folds(folder: Folder) -> dict[str, dict[str, str]]:
    """Fold number → file name → path, of the folds that have all three arrays."""
    found: dict[str, dict[str, str]] = {}
    for last in ("images.npy", "masks.npy", "types.npy"):
        for name in folder.called(last):
            found.setdefault(_fold(name), {})[last] = name
    whole = {number: fold for number, fold in found.items() if number and len(fold) == 3}
    if not whole:
        raise NotRecognised(
            "No fold has images.npy, masks.npy and types.npy, in folders called fold_1, fold_2, fold_3."
        )
    return whole


def _fold(name: str) -> str:
    numbers = FOLD.findall(name.partition("#")[0].rpartition("/")[0])
    return str(numbers[-1]) if numbers else ""


def _check(fold: dict[str, str], images: Array, masks: Array, types: Array) -> None:
    fits = (
        images.ndim == masks.ndim == 4
        and images.shape[3] == 3
        and masks.shape[3] == CHANNELS
        and images.shape[:3] == masks.shape[:3]
        and types.shape == images.shape[:1]
    )
    if not fits:
        raise NotRecognised(
            f"The arrays of {fold['images.npy']} do not fit together: images are {images.shape}, masks {masks.shape}, "
            f"types {types.shape}; needed are [n, 256, 256, 3], [n, 256, 256, 6] and [n]."
        )


def _array(path: Path) -> Array:
    try:
        return _mapped(Version.of(path))
    except (ValueError, OSError, EOFError) as error:
        raise NotRecognised(
            f"{path.name} can't be read ({error}). Arrays of Python objects are refused: save types.npy as text."
        ) from error


@lru_cache(maxsize=9)
def _mapped(file: Version) -> Array:
    """The array on the disk, nothing of it read; without Python objects, which could run code."""
    array: Array = np.load(file.path, mmap_mode="r", allow_pickle=False)
    return array


def open_item(root: Path, item_id: str) -> Image.Image:
    name, _, row = item_id.rpartition("#")
    if not row.isdecimal():
        raise Unreadable(f"{item_id} names no row.")
    try:
        pixels = np.asarray(_array(inside(root, name))[int(row)], dtype=np.float64)
    except NotRecognised as error:
        raise Unreadable(str(error)) from error
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not np.isfinite(pixels).all():
        raise Unreadable("its row holds no RGB picture")
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


READER = Reader(("fold_1", "fold_2", "fold_3"), looks_like, read, open_item)
