"""PathMMU's pairs: <part>/GPTCaption/*.json, which name pictures of <part>/images/ and give their captions."""

import re

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, Reader

PARTS = ("Book", "WebPathology", "Twitter")
PLACE = re.compile(rf"(?:^|/)({'|'.join(PARTS)})/GPTCaption/[^/]+\.json$")


def looks_like(folder: Folder) -> bool:
    return any(PLACE.search(name) for name in folder.files)


def read(folder: Folder) -> Found:
    listed = labels.Listed(folder)
    tables = {name: match[1] for name in folder.files if (match := PLACE.search(name))}
    for table, part in tables.items():
        for row in labels.entries(folder, table):
            named = f"{part}/images/{row.get('img_path', '')}"
            listed.add(named, folder.named(named), None, "all", "no caption", caption=row.get("caption", ""))
    every = listed.found(*tables)
    parts = {name: [item for item in every if f"{name}/images" in item.id] for name in PARTS}
    return Found({"as published": every} | {name: some for name, some in parts.items() if some}, missing=listed.missing)


READER = Reader(tuple(f"{part}/GPTCaption" for part in PARTS), looks_like, read)
