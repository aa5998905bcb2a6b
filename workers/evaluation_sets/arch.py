"""ARCH: pairs from books and from PubMed, <set>/captions.json beside <set>/images/<uuid>.png or .jpg."""

from workers.evaluation_sets import labels
from workers.evaluation_sets.reading import Folder, Found, Reader

CAPTIONS = "captions.json"
SETS = ("books_set", "pubmed_set")


def looks_like(folder: Folder) -> bool:
    return bool(folder.called(CAPTIONS)) and "images" in folder.folders


def read(folder: Folder) -> Found:
    listed = labels.Listed(folder)
    tables = folder.called(CAPTIONS)
    for table in tables:
        place = table.removesuffix(CAPTIONS)
        for row in labels.entries(folder, table):
            named, figure = f"{place}images/{row.get('uuid', '')}", row.get("figure_id", "")
            file = folder.named(f"{named}.png") or folder.named(f"{named}.jpg")
            group = f"{place}{figure}" if figure else ""
            listed.add(named, file, None, "all", "no caption", group, row.get("caption", ""))
    every = listed.found(*tables)
    parts = {name: [item for item in every if name in item.id.split("/")] for name in SETS}
    return Found({"as published": every} | {name: some for name, some in parts.items() if some}, missing=listed.missing)


READER = Reader((CAPTIONS, *SETS), looks_like, read)
