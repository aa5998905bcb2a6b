"""RenalCell (Zenodo 6528599): kidney in six folders."""

import re

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

CLASSES = ("blood", "cancer", "empty", "normal", "other", "stroma")
PLACE = re.compile(rf"(?:^|/)({'|'.join(CLASSES)})/[^/]+$")
SPLIT = re.compile(r"(?:^|/)(train|val|test)/")


def looks_like(folder: Folder) -> bool:
    return len(set(CLASSES) & folder.folders) > 3


def read(folder: Folder) -> Found:
    items = []
    for name, match in folder.matching(PLACE, CLASSES):
        split = SPLIT.search(name)
        items.append(Item(name, match[1], split[1] if split else "all", name))
    return Found({"as published": items, "five classes": [item for item in items if item.label != "empty"]})


READER = Reader(CLASSES, looks_like, read)
