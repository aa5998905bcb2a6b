"""CSV and TSV tables of posts, with their pictures in the folder or zip beside them.

Every column is text: a library that guesses types turns the caption "NA" into nothing and the shortcode
"1E5" into a number.
"""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.intake.formats import times
from app.intake.formats.files import PICTURES, SYSTEM, TABLES, VIDEOS, is_video, split, unsafe_files
from app.intake.formats.header import Table, tables
from app.intake.formats.shortcode import SHORTCODE, from_pk, to_pk
from app.intake.reasons import Kind, Reason
from app.intake.records import LONE, MAX_CAPTION, Ignored, Item, Picture, Record, Refused, plain_text
from app.intake.trees import FileTree

if TYPE_CHECKING:
    from _csv import Reader

NAME = "CSV or TSV with pictures"
KEY_LENGTH = 255
NAME_LENGTH = 100
MOST_PICTURES = 1000  # of one post
MANGLED = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)
INSTAGRAM = re.compile(
    r"(?:https?://)?(?:www\.|m\.)?instagram\.com/(?:[^/?#]+/)?(?:p|reel|reels|tv)/([A-Za-z0-9_-]{5,64})", re.IGNORECASE
)
Cells = Mapping[str, str]

csv.field_size_limit(1_000_000)  # a longer caption is refused as such, not as a broken row


class Pictures:
    """The files of a tree, found by the name that a row gives a picture.

    Tables often hold paths of the machine they were made on, so the part that fits at the end counts, if it
    fits one file better than any other.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = set(names)
        self.by_last: dict[str, list[str]] = {}
        for name in self.names:
            self.by_last.setdefault(PurePosixPath(name).name, []).append(name)

    def find(self, named: str) -> str | None:
        """The file, or None for a name that fits none, or several equally well."""
        name = unicodedata.normalize("NFC", named.replace("\\", "/")).removeprefix("./")
        if name in self.names:
            return name
        fits = sorted((_common_end(name, other), other) for other in self.by_last.get(PurePosixPath(name).name, []))
        unique = len(fits) == 1 or (len(fits) > 1 and fits[-1][0] > fits[-2][0])
        return fits[-1][1] if unique else None


def _common_end(one: str, other: str) -> int:
    """How many parts of two paths are the same, from the end."""
    pairs = zip(reversed(PurePosixPath(one).parts), reversed(PurePosixPath(other).parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass
class Earlier:
    """What the rows before have said, in all tables of a tree: one picture may stand in several."""

    used: set[str] = field(default_factory=set)
    rows: dict[tuple[str, str, bytes], str] = field(default_factory=dict)
    ordinals: dict[tuple[str, str], int] = field(default_factory=dict)
    places: dict[tuple[str, int], str] = field(default_factory=dict)
    positions: dict[tuple[str, str], int] = field(default_factory=dict)
    from_zero: dict[str, bool] = field(default_factory=dict)

    def same_row(self, post: str, file: str, caption: str, row: str) -> str | None:
        """The earlier row with this picture and caption of the post. Notes this one."""
        key = (post, file, hashlib.sha256(caption.encode()).digest())
        earlier = self.rows.setdefault(key, row)
        return None if earlier == row else earlier

    def ordinal(self, post: str, file: str) -> int:
        """How many captions of the picture there are with this one."""
        self.ordinals[post, file] = self.ordinals.get((post, file), 0) + 1
        return self.ordinals[post, file]

    def position(self, post: str, file: str, stated: int | None) -> int | None:
        """The picture's place in its post: as stated, else the next free one; None if another picture holds it."""
        position = stated or self.positions.get((post, file)) or 1
        while stated is None and self.places.get((post, position), file) != file:
            position += 1
        if self.places.setdefault((post, position), file) != file:
            return None
        self.positions.setdefault((post, file), position)
        return position

    def stated(self, table: str, cell: str) -> int | None:
        """A stated position, counted from 1. A table whose first one is 0 counts from 0."""
        if not (cell.isascii() and cell.isdecimal()) or len(cell) > len(str(MOST_PICTURES)):
            return None
        position = int(cell) + self.from_zero.setdefault(table, int(cell) == 0)
        return position if 1 <= position <= MOST_PICTURES else None


def read(tree: FileTree) -> Iterator[Item]:
    """Rows in their order, then the files that no row named."""
    found = tables(tree)
    names = {table.name for table in found}
    earlier = Earlier()
    pictures = Pictures(entry.name for entry in tree.entries if entry.name not in names)
    for table in found:
        yield from _read_table(tree, table, pictures, earlier)
    for entry in tree.entries:
        if entry.name not in earlier.used and entry.name not in names:
            yield _left_over(tree, entry.name)
    yield from unsafe_files(tree)


def _left_over(tree: FileTree, name: str) -> Item:
    """A file that no row names."""
    if SYSTEM.search(name):
        return Ignored(name, Kind.SYSTEM_FILE)
    if is_video(tree, name):
        return Refused(Reason.VIDEO, name, files=(name,), entry=False)
    reasons = dict.fromkeys(PICTURES + VIDEOS, Reason.NO_METADATA) | dict.fromkeys(TABLES, Reason.COLUMNS_UNKNOWN)
    return Refused(reasons.get(split(name)[1], Reason.UNKNOWN_FORMAT), name, files=(name,), entry=False)


def _read_table(tree: FileTree, table: Table, pictures: Pictures, earlier: Earlier) -> Iterator[Item]:
    """A table's rows. The table itself counts as used by its first good row; without one it is refused as a row was."""
    own: tuple[str, ...] = (table.name,)
    reason = Reason.NO_CAPTION
    with _rows(tree, table) as rows:
        for number, row in rows:
            item = _read_row(tree, table, number, row, pictures, earlier)
            files = tuple(file for file in item.files if file not in earlier.used)
            earlier.used.update(files)
            if isinstance(item, Record):
                files, own = own + files, ()
            else:
                reason = item.reason
            yield replace(item, files=files)
    if own:
        yield Refused(reason, table.name, "no row of it is taken", own, entry=False)


@contextmanager
def _rows(tree: FileTree, table: Table) -> Iterator[Iterator[tuple[int, list[str] | str]]]:
    """(row number as a spreadsheet shows it, its fields or what is wrong with it) after the header."""
    with tree.open(table.name) as file:
        text = io.TextIOWrapper(file, table.encoding, LONE, newline="")
        yield _numbered(csv.reader(text, delimiter=table.delimiter, strict=True))


def _numbered(rows: "Reader") -> Iterator[tuple[int, list[str] | str]]:
    """Strictly: a quote left open would else swallow the rows behind it into one caption."""
    next(rows, None)
    number = 1
    while True:
        number, first = number + 1, rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"its quotes don't fit ({error}), lines {first} to {rows.line_num}"
            continue
        if row:
            yield number, row


def _read_row(
    tree: FileTree, table: Table, number: int, row: list[str] | str, pictures: Pictures, earlier: Earlier
) -> Record | Refused:
    """A row as a post of one picture. Rows of one post and one picture differ by their captions' ordinals."""
    if isinstance(row, str) or len(row) != len(table.header):
        detail = row if isinstance(row, str) else f"{len(row)} fields, the header has {len(table.header)}"
        return Refused(Reason.WRONG_FIELDS, table.name, detail, row=number)
    cell = {meaning: row[index] for meaning, index in table.columns.items()}
    name = plain_text(cell["image"].strip())
    shown = name[-KEY_LENGTH:] or table.name
    file = pictures.find(name)
    files = (file,) if file else ()
    if problem := _row_problem(tree, cell, name, file):
        return Refused(problem[0], shown, problem[1], files, number)
    assert file
    caption = plain_text(cell["caption"])
    post, shortcode = _post(table, cell, name)
    if same := earlier.same_row(post, file, caption, f"{table.name}, row {number}"):
        return Refused(Reason.AMBIGUOUS_KEY, shown, f"as in {same}", files, number)
    position = earlier.position(post, file, earlier.stated(table.name, cell.get("position", "").strip()))
    if position is None:
        return Refused(Reason.AMBIGUOUS_KEY, shown, "an earlier row has another picture at its place", files, number)
    picture = Picture(position, file, caption_ordinal=earlier.ordinal(post, file), row=number)
    return _record(cell, post, shortcode, caption, picture)


def _row_problem(tree: FileTree, cell: Cells, name: str, file: str | None) -> tuple[Reason, str] | None:
    post = cell.get("post", "").strip()
    if MANGLED.fullmatch(post):
        return Reason.MANGLED_ID, post[:40]
    if len(post) > KEY_LENGTH:
        return Reason.METADATA_UNREADABLE, f"the id has {len(post):,} characters"
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        return Reason.UNSAFE_PATH, "a name that leads out of the folder"
    if file is None:
        return Reason.NO_IMAGE_FILE, "the row names no picture" if not name else ""
    if is_video(tree, file):
        return Reason.VIDEO, ""
    if not cell["caption"].strip():
        return Reason.NO_CAPTION, ""
    if len(cell["caption"]) > MAX_CAPTION:
        return Reason.CAPTION_TOO_LONG, f"{len(cell['caption']):,} characters"
    return None


def _post(table: Table, cell: Cells, name: str) -> tuple[str, str | None]:
    """(key of the post, its shortcode). A row that names no post is one by the name of its picture."""
    post = plain_text(cell.get("post", "").strip())
    address = INSTAGRAM.match(cell.get("url", "").strip())
    if address:
        return address[1], address[1]
    if table.shortcodes and SHORTCODE.fullmatch(post):
        code = from_pk(post) or post
        return code, code
    return post or name[-KEY_LENGTH:], None


def _record(cell: Cells, post: str, shortcode: str | None, caption: str, picture: Picture) -> Record:
    url = cell.get("url", "").strip()
    author = plain_text(cell.get("author", "").strip().lstrip("@"))[:NAME_LENGTH]
    return Record(
        platform="instagram" if shortcode else "table",
        natural_key=post,
        pictures=(picture,),
        caption_raw=caption,
        caption_from="column",
        files=(picture.file,),
        account_name=author or None,
        shortcode=shortcode,
        media_pk=to_pk(shortcode) if shortcode else None,
        taken_at=times.from_text(cell.get("taken_at", "").strip()),
        permalink=url if _is_web(url) else None,
    )


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and len(url) < 2000 and url.isprintable()
