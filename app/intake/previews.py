"""A first look at an entry of the inbox: its format, its files, and its first entries as they would be read."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath

from app.errors import AppError
from app.intake import locations
from app.intake.formats import Format, FormatUnknown, detect, table
from app.intake.formats.files import PICTURES, TABLES, VIDEOS, holds_picture
from app.intake.reasons import Reason, sentence_for
from app.intake.records import Ignored, Record, Refused
from app.intake.trees import FileTree

FIRST_ENTRIES = 4
LOOK_INTO = 20_000  # files: beyond that a reader takes too long to come to its first post

KINDS = {
    "Pictures": PICTURES,
    "Metadata": (".json", ".xz"),
    "Texts": (".txt",),
    "Tables": TABLES,
    "Videos": VIDEOS,
}


@dataclass(frozen=True)
class Row:
    """An entry as read: its caption, or why it will be refused; `about` says whose or which it is."""

    text: str
    about: str
    refused: bool


@dataclass(frozen=True)
class Preview:
    """`problem` says why nothing could be read; then all else is empty. `aside` names what one imports by itself."""

    problem: str = ""
    format: str = ""
    files: int = 0
    kinds: list[tuple[str, int]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)


def preview(key: str) -> Preview | None:
    """What the inbox entry `key` looks like; None without a choice."""
    if not key:
        return None
    try:
        tree = locations.open_place(locations.in_inbox(key).place)
        found = detect(tree)
    except AppError as error:
        return Preview(problem=f"{error.message} {error.what_next}".strip())
    except FormatUnknown as error:
        return Preview(problem=str(error))
    rows = first_rows(tree, found) if len(tree.entries) <= LOOK_INTO else []
    return Preview("", found.name, len(tree.entries) + len(tree.unsafe), kinds_of(tree), rows, aside_of(tree, found))


def kinds_of(tree: FileTree) -> list[tuple[str, int]]:
    """How many files of which kind, by their names; the commonest first."""
    by_suffix = {suffix: kind for kind, suffixes in KINDS.items() for suffix in suffixes}
    counts = Counter(by_suffix.get(PurePosixPath(entry.name).suffix.lower(), "Other") for entry in tree.entries)
    return counts.most_common()


def aside_of(tree: FileTree, found: Format) -> list[str]:
    """Tables and archives that lie beside the posts of another format: one import reads one format."""
    others = (".zip",) if found.name == table.NAME else (".zip", *TABLES)
    return [entry.name for entry in tree.entries if entry.name.lower().endswith(others)]


def first_rows(tree: FileTree, found: Format) -> list[Row]:
    """The first entries. Files that belong to none are not among them, wherever the reader speaks of them."""
    in_table = found.name == table.NAME
    items = (item for item in found.read(tree) if not isinstance(item, Ignored))
    entries = (item for item in items if isinstance(item, Record) or item.entry)
    return [row_of(tree, item, in_table) for item in islice(entries, FIRST_ENTRIES)]


def row_of(tree: FileTree, item: Record | Refused, in_table: bool) -> Row:
    if isinstance(item, Refused):
        return refused(item.file, item.reason, in_table)
    if not any(holds_picture(tree, picture.file) for picture in item.pictures):
        return refused(item.pictures[0].file, Reason.NOT_AN_IMAGE, in_table)
    author = f"@{item.account_name}, " if item.account_name else ""
    pictures = len(item.pictures)
    about = f"{author}{pictures} image{'s' if pictures > 1 else ''}"
    return Row(item.pictures[0].caption or item.caption_raw, about, refused=False)


def refused(file: str, reason: Reason, in_table: bool) -> Row:
    return Row(file, f"Will be refused: {sentence_for(reason, in_table)}", refused=True)
