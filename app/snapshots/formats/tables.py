"""Captions as text tables: one for spreadsheets, and exact ones that open_clip's trainer reads.

open_clip opens each `filepath` from the current directory. The pictures are not written a second time for
it: the tables name `images/KEY.jpg`, which `tar` unpacks from the shards.
"""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import BinaryIO

from app.publish import Folder
from app.snapshots.formats.shards import flat_record
from app.snapshots.member import FIELDS, Member
from app.spreadsheets import neutral

CAPTIONS = "captions.csv"
OPEN_CLIP = "open_clip"
IMAGES = "images"


def write_captions(folder: Folder, members: Iterable[Member]) -> None:
    """Every column but the picture, for spreadsheets: UTF-8 with BOM for Excel, no cell a formula."""
    with folder.file(CAPTIONS) as file, _text(file, "utf-8-sig") as text:
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(field.name for field in FIELDS)
        for member in members:
            writer.writerow(neutral(cell) for cell in flat_record(member).values())


def write_open_clip(folder: Folder, split: str, members: Iterable[Member]) -> None:
    """A split as open_clip's csv data set: tab-separated `filepath` and `title`, captions exact.

    All cells are quoted, so that tabs, quotes and line breaks in captions survive.
    """
    with folder.file(f"{OPEN_CLIP}/{split}.tsv") as file, _text(file, "utf-8") as text:
        writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(("filepath", "title"))
        for member in members:
            writer.writerow((f"{IMAGES}/{member.key}.jpg", member.caption))


@contextmanager
def _text(file: BinaryIO, encoding: str) -> Iterator[TextIOWrapper]:
    """The file for writing text; it stays open."""
    text = TextIOWrapper(file, encoding=encoding, newline="")
    yield text
    text.detach()
