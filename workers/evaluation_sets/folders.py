"""Any set as folders: <split>/<class>/pictures, or <class>/pictures."""

import os

from workers.evaluation_sets.reading import Folder, Found, Item, Reader

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def looks_like(folder: Folder) -> bool:
    return any(folder.is_picture(name) for name in _places(folder))


def read(folder: Folder) -> Found:
    places = _places(folder)
    pictures = list(folder.pictures(places))
    items = [Item(name, label, split, name) for name in pictures for split, label in [places[name]]]
    for name in folder.files:
        if name not in places:
            folder.skip(name, "it lies in no folder of a class")
    return Found({"as published": items}, classes=sorted({item.label for item in items}))


def classes(folder: Folder) -> set[str]:
    """The names of the folders that may be classes."""
    return {label for _, label in _places(folder).values()}


def _places(folder: Folder) -> dict[str, tuple[str, str]]:
    """File → (split, class): the class is the folder in that of a split, or the first that not all files share."""
    parents = {name: name.rpartition("/")[0] for name in folder.files if "/" in name}
    common = os.path.commonpath(parents.values()) if parents else ""
    shared = len(common.split("/")) if common else 0
    found = {}
    for name, parent in parents.items():
        parts = parent.split("/")
        split = next((at for at, part in enumerate(parts) if part.casefold() in SPLITS), None)
        below = parts[min(shared, len(parts) - 1) :] if split is None else parts[split + 1 :]
        if below:
            found[name] = ("all" if split is None else SPLITS[parts[split].casefold()], below[0])
    return found


READER = Reader(("<split>/<class>",), looks_like, read)
