"""BRACS regions of interest: <split>/<class>/BRACS_<case>_<class>_<n>.png."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

CLASSES = ("0_N", "1_PB", "2_UDH", "3_FEA", "4_ADH", "5_DCIS", "6_IC")
# The groups of MUSK's benchmark (lilab-stanford/MUSK), the three also those of BRACS's authors.
SIX = {"0_N": "N_PB", "1_PB": "N_PB"}
THREE = dict(zip(CLASSES, ("benign",) * 3 + ("atypical",) * 2 + ("malignant",) * 2, strict=True))
PLACE = re.compile(rf"(?:^|/)(train|val|test)/({'|'.join(CLASSES)})/([^/]+)$")
CASE = re.compile(r"^BRACS_\d+")


def looks_like(folder: Folder) -> bool:
    return len(set(CLASSES) & folder.folders) > 1


def read(folder: Folder) -> Found:
    items = [
        Item(name, match[2], match[1], _case(match[3]))
        for name, match in folder.matching(PLACE, ("train", "val", "test", *CLASSES))
    ]
    return Found({"as published": items, "six classes": _grouped(items, SIX), "three classes": _grouped(items, THREE)})


def _grouped(items: Sequence[Item], groups: Mapping[str, str]) -> list[Item]:
    return [replace(item, label=groups.get(item.label, item.label)) for item in items]


def _case(file: str) -> str:
    match = CASE.match(file)
    return match[0] if match else file


READER = Reader(("train", "val", "test", *CLASSES), looks_like, read)
