"""Chaoyang: colon, with train.json and test.json as lists of {name, label}."""

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, NotRecognised, Reader

SPLITS = ("train", "test")
CLASSES = ("0", "1", "2", "3")


def looks_like(folder: Folder) -> bool:
    return all(folder.called(f"{split}.json") for split in SPLITS) and set(SPLITS) <= folder.folders


def read(folder: Folder) -> Found:
    tables = {split: folder.called(f"{split}.json")[0] for split in SPLITS}
    listed = labels.Listed(folder)
    for split, table in tables.items():
        for named, label in _rows(folder, table):
            listed.add(named, folder.named(named), label if label in CLASSES else None, split, f"label {label}")
    return Found({"as published": listed.found(*tables.values())}, missing=listed.missing)


def _rows(folder: Folder, name: str) -> list[tuple[str, str]]:
    rows = labels.document(folder, name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"name", "label"} <= row.keys() for row in rows):
        raise NotRecognised(f"{name} is no list of objects with name and label.")
    return [(str(row["name"]), str(row["label"])) for row in rows]


READER = Reader(("train.json", "test.json"), looks_like, read)
