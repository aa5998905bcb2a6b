"""Osteosarcoma (UT Southwestern): pictures in subfolders, labelled by ML_Features_1144.csv, whose names differ."""

import re

from workers.evaluation_sets import labels, splits
from workers.evaluation_sets.reading import Folder, Found, NotRecognised, Reader

LABELS = "ML_Features_1144.csv"
CLASSES = ("Non-Tumor", "Viable", "Non-Viable-Tumor", "viable: non-viable")
MIXED = CLASSES[-1]
CASE = re.compile(r"^case-?\d+")


def looks_like(folder: Folder) -> bool:
    return bool(folder.called(LABELS))


def read(folder: Folder) -> Found:
    table = folder.called(LABELS)[0]
    files = _by_name(folder, table)
    listed = labels.Listed(folder)
    for named, label in _rows(folder, table):
        file = files.get(alike(named))
        listed.add(named, file, _class(label), "all", f"class {label}", _case(named))
    every = listed.found(table)
    variants = {
        "as published": every,
        "three classes": [item for item in every if item.label != MIXED],
        "leak-safe": splits.by_group(every),
    }
    return Found(variants, missing=listed.missing)


def alike(name: str) -> str:
    """A picture's name as table and files both have it: lower case, no blanks, no extension, single dashes."""
    last = name.rpartition("/")[2].casefold()
    stem = re.sub(r"\.(?:jpe?g|png|tiff?)$", "", last)
    return re.sub(r"-+", "-", re.sub(r"\s+", "", stem))


def _rows(folder: Folder, table: str) -> list[tuple[str, str]]:
    """(Name, class); the name's column is called image.name, or image_name where R has not written it."""
    try:
        return _columns(folder, table, "image.name")
    except NotRecognised:
        return _columns(folder, table, "image_name")


def _columns(folder: Folder, table: str, name: str) -> list[tuple[str, str]]:
    return [(row[name], row["classification"]) for row in labels.rows(folder, table, (name, "classification"))]


def _by_name(folder: Folder, table: str) -> dict[str, str]:
    """Name made alike → file; a name that several files have is none's."""
    found: dict[str, str] = {}
    for name in folder.files:
        key = alike(name)
        if key in found:
            folder.skip(name, f"its name is that of {found[key]}")
        elif name != table:
            found[key] = name
    return found


def _class(cell: str) -> str | None:
    plain = re.sub(r"[\s-]+", "", cell).casefold()
    return next((known for known in CLASSES if re.sub(r"[\s-]+", "", known).casefold() == plain), None)


def _case(name: str) -> str:
    match = CASE.match(alike(name))
    return match[0] if match else name


READER = Reader((LABELS, "Training-Set-1"), looks_like, read)
