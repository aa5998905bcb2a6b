"""Any set as a CSV with the columns image and label, and split and group where known, beside its pictures."""

from collections.abc import Sequence

from workers.evaluation_sets import folders, labels
from workers.evaluation_sets.folders import SPLITS
from workers.evaluation_sets.reading import Folder, Found, NotRecognised, Reader

NEEDED = ("image", "label")


def looks_like(folder: Folder) -> bool:
    """A table says it is one by its columns; one with others is named, unless folders of classes stand beside it."""
    tables = tables_of(folder)
    return any(fits(folder, name, NEEDED) for name in tables) or (bool(tables) and len(folders.classes(folder)) < 2)


def read(folder: Folder) -> Found:
    tables = tables_of(folder)
    readable = {name: rows for name in tables if (rows := _rows(folder, name)) is not None}
    if not readable:
        list(labels.rows(folder, tables[0], NEEDED))  # says which columns are there
    listed = labels.Listed(folder)
    for name, rows in readable.items():
        for row in rows:
            said = row.get("split", "")
            split = SPLITS.get(said.casefold()) if said else split_by_name(name)
            wrong = f"label {row['label']}, split {said}"
            listed.add(row["image"], folder.named(row["image"]), row["label"], split, wrong, row.get("group", ""))
    items = listed.found(*readable)
    return Found({"as published": items}, sorted({item.label for item in items}), listed.missing)


def split_by_name(table: str) -> str:
    """train.csv, val.csv and test.csv are splits by their names."""
    return SPLITS.get(table.rpartition("/")[2].rpartition(".")[0].casefold(), "all")


def tables_of(folder: Folder) -> list[str]:
    """The tables at the top of a folder."""
    return [name for name in folder.files if "/" not in name and name.casefold().endswith((".csv", ".tsv"))]


def fits(folder: Folder, name: str, needed: Sequence[str]) -> bool:
    """Whether a table has the columns."""
    try:
        next(labels.rows(folder, name, needed), None)
    except NotRecognised:
        return False
    return True


def _rows(folder: Folder, name: str) -> list[labels.Row] | None:
    try:
        return list(labels.rows(folder, name, NEEDED))
    except NotRecognised as error:
        folder.skip(name, str(error))
        return None


READER = Reader(("a CSV with the columns image and label",), looks_like, read)
