"""OSCC: oral mucosa, First Set at 100× and Second Set at 400×, normal or carcinoma by the file's name."""

import re

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

PLACE = re.compile(r"(?:^|/)(Normal|OSCC)_(100|400)x_[^/]+$", re.IGNORECASE)
SETS = ("First Set", "Second Set")


def looks_like(folder: Folder) -> bool:
    return any(PLACE.search(name) for name in folder.files)


def read(folder: Folder) -> Found:
    variants: dict[str, list[Item]] = {"as published": [], "100×": [], "400×": []}
    for name, match in folder.matching(PLACE, SETS):
        item = Item(name, "normal" if match[1].casefold() == "normal" else "OSCC", "all", name)
        variants["as published"].append(item)
        variants[f"{match[2]}×"].append(item)
    return Found({name: items for name, items in variants.items() if items})


READER = Reader(SETS, looks_like, read)
