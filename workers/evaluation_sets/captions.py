"""Any set of pairs as a CSV or TSV with the columns image and caption, and split and group where known."""

from workers.evaluation_sets import labels, table
from workers.evaluation_sets.folders import SPLITS
from workers.evaluation_sets.reading import Folder, Found, Reader

COLUMNS = (("image", "caption"), ("images", "captions"))  # PLIP's tables, such as PathPedia's, have the plural


def looks_like(folder: Folder) -> bool:
    """With a table of labels too, it is a set of classes."""
    has_labels = any(table.fits(folder, name, table.NEEDED) for name in table.tables_of(folder))
    return bool(_tables(folder)) and not has_labels


def read(folder: Folder) -> Found:
    tables = _tables(folder)
    listed = labels.Listed(folder)
    for name, (image, caption) in tables.items():
        for row in labels.rows(folder, name, (image, caption)):
            said = row.get("split", "")
            split = SPLITS.get(said.casefold()) if said else table.split_by_name(name)
            wrong = f"caption {row[caption][:40]}, split {said}"
            file, group = folder.named(row[image]), row.get("group", "")
            listed.add(row[image], file, None, split, wrong, group, row[caption])
    return Found({"as published": listed.found(*tables)}, missing=listed.missing)


def _tables(folder: Folder) -> dict[str, tuple[str, str]]:
    """The tables at the top that have captions and no labels, with their columns."""
    some = [name for name in table.tables_of(folder) if not table.fits(folder, name, table.NEEDED)]
    return {name: columns for name in some for columns in COLUMNS if table.fits(folder, name, columns)}


READER = Reader(("a CSV with the columns image and caption",), looks_like, read)
