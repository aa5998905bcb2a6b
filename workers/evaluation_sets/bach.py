"""BACH (ICIAR 2018): 400 labelled breast pictures in Photos/<class>/."""

import re
from collections.abc import Sequence
from dataclasses import replace

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

CLASSES = ("Normal", "Benign", "InSitu", "Invasive")
PLACE = re.compile(rf"(?:^|/)Photos/({'|'.join(CLASSES)})/[^/]+$")
PUBLISHED = 400
# eva's patient-aware split (kaiko-ai/eva, bach.py): rows that test, among all names sorted by class and name.
TESTED = ((41, 59), (60, 90), (139, 169), (240, 258), (260, 273), (345, 368))


def looks_like(folder: Folder) -> bool:
    return "Photos" in folder.folders and bool(set(CLASSES) & folder.folders)


def read(folder: Folder) -> Found:
    items = [Item(name, match[1], "all", name) for name, match in folder.matching(PLACE, CLASSES)]
    variants = {"as published": items}
    if len(items) == PUBLISHED:
        variants["leak-safe"] = by_patient(items)
    return Found(variants)


def by_patient(items: Sequence[Item]) -> list[Item]:
    order = sorted(items, key=lambda item: (item.label, item.id.rpartition("/")[2]))
    tested = {row for start, end in TESTED for row in range(start, end)}
    return [replace(item, split="test" if row in tested else "train") for row, item in enumerate(order)]


READER = Reader(("Photos", *CLASSES), looks_like, read)
