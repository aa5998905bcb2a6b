"""LC25000: five folders of lung and colon; all pictures are turned and mirrored copies of 1,250 originals."""

import re
from pathlib import Path

from workers.evaluation_sets import likeness, splits
from workers.evaluation_sets.reading import Folder, Found, Item, Progress, Reader

CLASSES = ("colon_aca", "colon_n", "lung_aca", "lung_n", "lung_scc")
PLACE = re.compile(rf"(?:^|/)({'|'.join(CLASSES)})/[^/]+$")


def looks_like(folder: Folder) -> bool:
    return bool(set(CLASSES) & folder.folders)


def read(folder: Folder) -> Found:
    expected = ("lung_colon_image_set", "lung_image_sets", "colon_image_sets", *CLASSES)
    items = [Item(name, match[1], "all", name) for name, match in folder.matching(PLACE, expected)]
    return Found(_organs(items))


def by_likeness(root: Path, items: list[Item], tell: Progress) -> dict[str, list[Item]]:
    """The variants with the groups of copies, which only the pictures themselves tell."""
    grouped = likeness.grouped(root, items, tell)
    return _organs(grouped) | {"leak-safe": splits.by_group(grouped)}


def _organs(items: list[Item]) -> dict[str, list[Item]]:
    """All, and the two organs, which QuiltNet takes as two sets."""
    organs = {organ: [item for item in items if item.label.startswith(organ)] for organ in ("lung", "colon")}
    return {"as published": items} | {organ: some for organ, some in organs.items() if some}


READER = Reader(("lung_colon_image_set", *CLASSES), looks_like, read, by_likeness=by_likeness)
