"""DigestPath 2019 colonoscopy: large pictures with tumour masks, cut into patches by PLIP's rule."""

import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.evaluation_sets import splits
from workers.evaluation_sets.reading import Folder, Found, Item, Reader, Unreadable, Version, decode, inside

POSITIVE, NEGATIVE = "tissue-train-pos-v1", "tissue-train-neg"
MASK = "_mask.jpg"
CROP, STEP = 224, 224 * 0.9  # px; patches overlap by a tenth
REDUCED = (2, 4, 8, 16, 32)
WHITE = 200  # a pixel with all of R, G and B from here on is no tissue
LEAST_TISSUE = 0.5
TUMOUR = 10  # the masks are JPEGs: grey above this is tumour
THRESHOLDS = {"": 0.30, ", 0.50": 0.50}
one_at_a_time = threading.Lock()  # threads that want patches of one picture wait for it instead of decoding it each
PATCH = re.compile(r"^(.+)#d(\d+),x(\d+),y(\d+)$")

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Patch(NamedTuple):
    """Where a patch lies in the reduced picture, and which share of it is tumour."""

    reduced: int
    x: int
    y: int
    tumour: float


def looks_like(folder: Folder) -> bool:
    return bool({POSITIVE, NEGATIVE} & folder.folders)


def read(folder: Folder) -> Found:
    found = Found({})
    sources = [name for name in folder.files if name.split("/")[-2:-1] in ([POSITIVE], [NEGATIVE])]
    folder.rest(sources)
    sources = sorted(name for name in sources if not name.casefold().endswith(MASK))
    patches: dict[str, list[Patch]] = {}
    for done, name in enumerate(sources, start=1):
        patches[name] = _of_picture(folder, name, found)
        folder.tell(done, len(sources))
    for words, threshold in THRESHOLDS.items():
        rows = _plip_rows(patches, threshold)
        found.variants[f"as published{words}"] = sorted(splits.drawn(rows), key=lambda item: _place(item.id))
        found.variants[f"leak-safe{words}"] = splits.by_group(sorted(rows, key=lambda item: _place(item.id)))
    between = sum(0 < patch.tumour < min(THRESHOLDS.values()) for some in patches.values() for patch in some)
    found.warnings.append(f"{between:,} patches with a little tumour are neither by the rule and are left out.")
    return found


def _of_picture(folder: Folder, name: str, found: Found) -> list[Patch]:
    """The patches of one picture that are tissue; none, and the reason kept, where it or its mask is unreadable."""
    mask = name[: -len(".jpg")] + MASK if f"/{POSITIVE}/" in f"/{name}" else None
    if mask and mask not in folder.files:
        found.missing.append(mask)
        folder.skip(name, "its mask is missing")
        return []
    try:
        picture = decode(folder.path(name))
        grey = decode(folder.path(mask)).convert("L") if mask else None
    except Unreadable as error:
        folder.skip(name, f"it or its mask: {error}", is_item=True)
        return []
    return list(patches(picture, grey))


def patches(picture: Image.Image, mask: Image.Image | None) -> Iterator[Patch]:
    """PLIP's patches of a picture, at each reduction in rows from the top; those with half tissue or more."""
    for reduced in REDUCED:
        pixels = _reduced(picture, reduced)
        if pixels is None:
            return
        tissue: Mask = ~np.all(pixels >= WHITE, axis=2)
        tumour: Mask | None = None
        if mask is not None:
            size = (pixels.shape[1], pixels.shape[0])
            tumour = np.asarray(mask.resize(size, Image.Resampling.NEAREST)) > TUMOUR
        for y in _starts(pixels.shape[0]):
            for x in _starts(pixels.shape[1]):
                part = slice(y, y + CROP), slice(x, x + CROP)
                if float(np.mean(tissue[part])) >= LEAST_TISSUE:
                    yield Patch(reduced, x, y, 0.0 if tumour is None else float(tumour[part].mean()))


def _starts(length: int) -> list[int]:
    """PLIP leaves out a patch that ends with the picture's last pixel."""
    return [start for start in np.arange(0, length, STEP).astype(int).tolist() if start + CROP < length]


def _reduced(picture: Image.Image, times: int) -> Pixels | None:
    size = round(picture.width / times), round(picture.height / times)
    return None if min(size) < CROP else np.asarray(picture.resize(size))


def _plip_rows(patches: dict[str, list[Patch]], threshold: float) -> list[Item]:
    """Labelled patches in PLIP's order: negative pictures, positive ones' patches without tumour, then tumour."""

    def rows(folder: str, label: str) -> list[Item]:
        return [
            Item(f"{name}#d{patch.reduced},x{patch.x},y{patch.y}", label, "all", name)
            for name, some in patches.items()
            if f"/{folder}/" in f"/{name}"
            for patch in some
            if (patch.tumour >= threshold if label == "malignant" else patch.tumour == 0)
        ]

    return [*rows(NEGATIVE, "benign"), *rows(POSITIVE, "benign"), *rows(POSITIVE, "malignant")]


def _place(item_id: str) -> tuple[str, int, int, int]:
    """Patches of one picture and reduction are neighbours, so that it is decoded once."""
    match = PATCH.match(item_id)
    if match is None:
        raise Unreadable(f"{item_id} names no patch.")
    return match[1], int(match[2]), int(match[4]), int(match[3])


def open_item(root: Path, item_id: str) -> Image.Image:
    name, reduced, y, x = _place(item_id)
    path = inside(root, name)
    with one_at_a_time:
        pixels = _kept(Version.of(path), reduced) if reduced in REDUCED else None
    if pixels is None or y + CROP > pixels.shape[0] or x + CROP > pixels.shape[1]:
        raise Unreadable("its patch lies outside the picture")
    return Image.fromarray(pixels[y : y + CROP, x : x + CROP])


@lru_cache(maxsize=2)
def _kept(file: Version, reduced: int) -> Pixels | None:
    return _reduced(_whole(file), reduced)


@lru_cache(maxsize=1)
def _whole(file: Version) -> Image.Image:
    return decode(file.path)


READER = Reader((POSITIVE, NEGATIVE), looks_like, read, open_item)
