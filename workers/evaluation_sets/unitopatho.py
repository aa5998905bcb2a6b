"""UniToPatho at 800 µm: 800/<class>/*.png beside train.csv and test.csv."""

import re

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, Reader

CLASSES = ("HP", "NORM", "TA.HG", "TA.LG", "TVA.HG", "TVA.LG")  # top_label counts in this order
SLIDE = re.compile(r"^(.+?)\.ndpi")


def looks_like(folder: Folder) -> bool:
    return len(set(CLASSES) & folder.folders) > 1 and bool(folder.called("train.csv") or folder.called("test.csv"))


def read(folder: Folder) -> Found:
    listed = labels.Listed(folder)
    tables = {split: name for split in ("train", "test") for name in _of_800(folder.called(f"{split}.csv"))}
    for split, table in tables.items():
        for row in labels.rows(folder, table, ("image_id", "top_label")):
            label, named = _label(row["top_label"]), row["image_id"]
            file = folder.named(f"{label}/{named}") or folder.named(named)
            agrees = file and label == file.split("/")[-2]
            said = f"{row['top_label']}, its folder another class"
            listed.add(named, file, label if agrees else None, split, said, _slide(named))
    return Found({"as published": listed.found(*tables.values())}, missing=listed.missing)


def _of_800(tables: list[str]) -> list[str]:
    """The table of the larger pictures, where the folder also holds the set at 7000 µm."""
    return [name for name in tables if name.split("/")[-2:-1] == ["800"]][:1] or tables[:1]


def _label(cell: str) -> str | None:
    if cell in CLASSES:
        return cell
    return CLASSES[int(cell)] if cell.isascii() and cell.isdecimal() and int(cell) < len(CLASSES) else None


def _slide(image: str) -> str:
    match = SLIDE.match(image)
    return match[1] if match else image


READER = Reader(("800", *CLASSES), looks_like, read)
