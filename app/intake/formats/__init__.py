"""The formats that can be imported: one module each, found by what the files hold, never by their names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.intake.formats import header, instaloader, table
from app.intake.records import Item, plain_text
from app.intake.trees import FileList, FileTree

SUPPORTED = f"{instaloader.NAME}, {table.NAME}"
ZIP = b"PK\x03\x04"
OTHERS: tuple[tuple[bytes, str], ...] = (
    (ZIP, "This zip is cut short or broken. Pack or upload it again."),
    (b"Rar!", "This is a RAR archive. Unpack it, and pack the files as a zip."),
    (b"7z\xbc\xaf\x27\x1c", "This is a 7-Zip archive. Unpack it, and pack the files as a zip."),
    (b"\x1f\x8b", "This is a gzip archive. Unpack it, and pack the files as a zip."),
    (b"\xd0\xcf\x11\xe0", "This is an old Excel or Word file. Save the table as CSV (UTF-8) and import that."),
    (b"%PDF", "This is a PDF. Import the pictures and captions that it was made from."),
)


class FormatUnknown(Exception):
    """No reader knows these files; the message says what was found and what can be imported."""


class NotUnicode(FormatUnknown):
    """A table that can only be read in an encoding that a person has to confirm."""


@dataclass(frozen=True)
class Format:
    """A format's name for people and its reader, which yields the same items in the same order every time."""

    name: str
    read: Callable[[FileTree], Iterator[Item]]


def detect(tree: FileTree, western: bool = False) -> Format:
    """The format of a tree. Raises FormatUnknown; NotUnicode for tables in Windows' Western unless `western` allows."""
    if instaloader.looks_like(tree):
        return Format(instaloader.NAME, instaloader.read)
    if found := header.tables(tree):
        guessed = [one.name for one in found if one.encoding == header.WESTERN]
        if guessed and not western:
            raise NotUnicode(
                f"{guessed[0]} is not written in UTF-8, but most likely in Windows’ Western encoding (cp1252). "
                "Save it as “CSV UTF-8” and import that, or confirm the encoding on the page of its import."
            )
        return Format(table.NAME, table.read)
    raise FormatUnknown(plain_text(_what_was_found(tree)))


def _what_was_found(tree: FileTree) -> str:
    """Says what stands in the way, as exactly as a first look can."""
    names = [entry.name for entry in tree.entries]
    for name in names:
        if name.endswith(("posts_1.html", "index.html")):
            return "This is an export in HTML. Ask Instagram for it in JSON format and import that."
        if name.endswith("xl/workbook.xml"):
            return "This is an Excel workbook. Save the table as CSV (UTF-8) and import that, with its pictures."
        if name.lower().endswith((".csv", ".tsv")):
            try:
                header.sniff(tree, name)
            except header.ColumnsUnknown as error:
                return f"{name}: {error} Name the columns image and caption."
    if names and not isinstance(tree, FileList) and all(_head(tree, name).startswith(ZIP) for name in names):
        return "There are only zips or Excel workbooks in it. Import each by itself, not the folder or zip around it."
    if len(names) == 1 and (other := _other(tree, names[0])):
        return other
    count = "1 file" if len(names) == 1 else f"{len(names):,} files"
    shown = ", ".join(name[-80:] for name in names[:3]) + (" …" if len(names) > 3 else "")
    return f"No posts were found in {count} ({shown}). What can be imported: {SUPPORTED}."


def _other(tree: FileTree, name: str) -> str | None:
    """What to do with a file that is known by its first bytes, but not read."""
    head = _head(tree, name)
    return next((advice for magic, advice in OTHERS if head.startswith(magic)), None)


def _head(tree: FileTree, name: str) -> bytes:
    """A file's first bytes; none for one that can't be read."""
    try:
        with tree.open(name) as file:
            return file.read(8)
    except OSError:
        return b""
