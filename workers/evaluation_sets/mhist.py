"""MHIST: images/ beside annotations.csv, whose label is the majority of seven pathologists."""

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, Reader

LABELS = "annotations.csv"
COLUMNS = ("Image Name", "Majority Vote Label", "Number of Annotators who Selected SSA (Out of 7)", "Partition")
SPLITS = {"train": "train", "test": "test"}


def looks_like(folder: Folder) -> bool:
    return bool(folder.called(LABELS)) and any("mhist_" in name.casefold() for name in folder.files)


def read(folder: Folder) -> Found:
    table = folder.called(LABELS)[0]
    listed = labels.Listed(folder)
    for row in labels.rows(folder, table, COLUMNS):
        named, cell = row["image name"], row["majority vote label"]
        label = cell if cell in ("HP", "SSA") else None
        split = SPLITS.get(row["partition"].casefold())
        file = folder.named(f"images/{named}") or folder.named(named)
        listed.add(named, file, label, split, f"{cell}, {row['partition']}")
    return Found({"as published": listed.found(table)}, missing=listed.missing)


READER = Reader((LABELS, "images"), looks_like, read)
