"""Tables as their first line tells: which file is one, in which writing, with which columns."""

import codecs
import csv
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from app.intake.formats.files import PICTURES, SYSTEM, split
from app.intake.records import LONE_BYTES, plain_text
from app.intake.trees import FileTree

HEADER_BYTES = 65_536
PIECE = 1 << 20
WESTERN = "cp1252"  # only a guess: any bytes can be read as it, so a person confirms it

ALIASES: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "image_path", "file_name", "filename", "filepath", "path", "img"),
    "caption": ("caption", "text", "title", "description", "corrected_text"),
    "post": ("post_id", "shortcode", "id", "tweet_id"),
    "author": ("author", "username", "owner", "user"),
    "url": ("url", "permalink", "weblink"),
    "taken_at": ("taken_at", "date", "timestamp", "post_date", "created_at"),
    "position": ("position", "image_index"),
}


@dataclass(frozen=True)
class Table:
    """A table's name, encoding, delimiter, header, and column → index; `shortcodes`: posts are named by these."""

    name: str
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    columns: Mapping[str, int]
    shortcodes: bool


class ColumnsUnknown(Exception):
    """The header names no picture or no caption, or a column twice; the message says which."""


def tables(tree: FileTree) -> list[Table]:
    """The tables in a tree, found by their header line and not by their name."""
    found = []
    for entry in tree.entries:
        if not SYSTEM.search(entry.name) and split(entry.name)[1] not in PICTURES:
            with suppress(ColumnsUnknown):
                if table := sniff(tree, entry.name):
                    found.append(table)
    return found


def sniff(tree: FileTree, name: str) -> Table | None:
    """What the first line says; None for what is no table. Raises ColumnsUnknown for a header that will not do."""
    try:
        with tree.open(name) as file:
            head = file.read(HEADER_BYTES)
        line = head.decode(_first_guess(head), "replace").lstrip("\ufeff").splitlines()[:1]
        if not line or not (delimiter := _delimiter(line[0])):
            return None
        try:
            header = tuple(next(csv.reader(line, delimiter=delimiter, strict=True)))
        except csv.Error as error:
            raise ColumnsUnknown(f"The quotes of the header don't fit ({error}).") from error
        columns = columns_of(header)
        shortcodes = "post" in columns and _plain(header[columns["post"]]) == "shortcode"
        with tree.open(name) as file:
            encoding = encoding_of(file)
    except OSError:
        return None
    return Table(name, encoding, delimiter, header, columns, shortcodes)


def _delimiter(line: str) -> str:
    """The most frequent of the three in use; empty where there is none."""
    delimiter = max(",;\t", key=line.count)
    return delimiter if delimiter in line else ""


def _first_guess(head: bytes) -> str:
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"


def encoding_of(file: BinaryIO) -> str:
    """By byte order mark; else UTF-8, unless more characters are wrong in it than right: then likely Windows' Western.

    The whole file is read for it, for the first such character may stand far down.
    """
    piece = file.read(PIECE)
    if _first_guess(piece) == "utf-16":
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    beyond = wrong = 0
    while piece:
        text = decoder.decode(LONE_BYTES.sub(b"", piece))
        beyond += len(text) - len(text.encode("ascii", "ignore"))
        wrong += text.count("\ufffd")
        piece = file.read(PIECE)
    return WESTERN if wrong > beyond - wrong else "utf-8-sig"


def columns_of(header: tuple[str, ...]) -> dict[str, int]:
    """Meaning → index of its column. Raises ColumnsUnknown."""
    plain = [_plain(name) for name in header]
    twice = sorted({name for name in plain if name and plain.count(name) > 1})
    if twice:
        raise ColumnsUnknown(f"The header names {_shown(twice)} twice.")
    columns = {}
    for meaning, aliases in ALIASES.items():
        found = next((alias for alias in aliases if alias in plain), None)
        if found:
            columns[meaning] = plain.index(found)
    missing = [meaning for meaning in ("image", "caption") if meaning not in columns]
    if missing:
        raise ColumnsUnknown(f"No column for the {' or the '.join(missing)}; the header has: {_shown(header)}.")
    return columns


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _shown(names: list[str] | tuple[str, ...]) -> str:
    """Some names of a header as one line that every page and log can hold."""
    return plain_text(", ".join(name.strip()[:40] for name in names[:12]))
