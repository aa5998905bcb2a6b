"""WSSS4LUAD: lung patches whose names end in [tumour, stroma, normal]; PLIP's rule makes two classes of them."""

import re

from workers.evaluation_sets import splits
from workers.evaluation_sets.reading import Folder, Found, Item, Reader

TRAIN = "1.training"
PLACE = re.compile(r"(?:^|/)1\.training/(?:.*/)?([^/]*?)-? ?\[([01]), ?([01]), ?([01])\]\.[^/.]+$")
SLIDE = re.compile(r"^([^-/]+)-")


def looks_like(folder: Folder) -> bool:
    return TRAIN in folder.folders and any(PLACE.search(name) for name in folder.files)


def read(folder: Folder) -> Found:
    found = sorted(folder.matching(PLACE, (TRAIN,)), key=lambda pair: pair[0].rpartition("/")[2])
    items = [Item(name, "tumor" if match[2] == "1" else "normal", "all", _slide(match[1])) for name, match in found]
    return Found({"as published": splits.drawn(items), "leak-safe": splits.by_group(items)})


def _slide(stem: str) -> str:
    match = SLIDE.match(stem)
    return match[1] if match else stem


READER = Reader((TRAIN,), looks_like, read)
