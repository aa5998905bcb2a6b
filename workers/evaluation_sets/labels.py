"""Label files: tables with a header, as CSV or as an Excel workbook."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import openpyxl

from workers.evaluation_sets.reading import Folder, Item, NotRecognised

MOST_BYTES = 200_000_000  # of a label file, unpacked
MOST_ROWS = 2_000_000
MOST_COLUMNS = 1_000
NAMED = 20  # columns in a message

Row = dict[str, str]


@dataclass
class Listed:
    """The items of a folder that label files name, each file once; what can't be one is skipped or missing."""

    folder: Folder
    items: dict[str, Item] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def add(
        self,
        named: str,
        file: str | None,
        label: str | None,
        split: str | None,
        said: str,
        group: str = "",
        caption: str = "",
    ) -> None:
        """A row that names `file` (None: it is not there) as `named`; `said` is what it says where that is no item.

        A row of a set of pairs has a `caption` in place of a label.
        """
        if file is None:
            self.missing.append(named)
        elif not (label or caption) or not split:
            self.folder.skip(file, f"its row says {said or 'nothing'}")
        elif file in self.items:
            self.folder.skip(file, "it is listed again")
        elif any(self.folder.pictures([file])):
            self.items[file] = Item(file, label or "", split, group or file, caption)

    def found(self, *tables: str) -> list[Item]:
        """All of them; the folder's files that are neither they nor tables are skipped."""
        self.folder.rest({*self.items, *tables, *(name for name, _ in self.folder.skipped)})
        return list(self.items.values())


def rows(folder: Folder, name: str, needed: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV, TSV or XLSX by column, all as text. Raises NotRecognised where a needed column is missing.

    Columns are found whatever their case and the blanks around them.
    """
    table = _bounded(name, _workbook(folder, name) if _head(folder, name) == b"PK" else _text_table(folder, name))
    header = [cell.strip() for cell in next(table, [])]
    lower = [cell.casefold() for cell in header]
    missing = [column for column in needed if column.casefold() not in lower]
    if missing:
        there = ", ".join([cell[:60] for cell in header if cell][:NAMED]) or "none"
        raise NotRecognised(
            f"{name} lacks the column {', '.join(missing)}. Needed are {', '.join(needed)}; there are {there}."
        )
    for row in table:
        if any(cell.strip() for cell in row):
            yield dict.fromkeys(lower, "") | dict(zip(lower, (cell.strip() for cell in row), strict=False))


def document(folder: Folder, name: str) -> Any:
    """What a JSON file holds. Raises NotRecognised."""
    try:
        return json.loads(_read(folder, name))
    except (ValueError, RecursionError) as error:
        raise NotRecognised(f"{name} is no JSON ({error}).") from error


def entries(folder: Folder, name: str) -> list[Row]:
    """The objects that a JSON file lists, or holds by their keys, all values as plain text. Raises NotRecognised."""
    held = document(folder, name)
    some = list(held.values()) if isinstance(held, dict) else held
    if not isinstance(some, list) or not all(isinstance(one, dict) for one in some):
        raise NotRecognised(f"{name} lists no objects.")
    return [{key: _plain(value) for key, value in one.items()} for one in some]


def _plain(value: Any) -> str:
    """JSON may hold halves of letters, which nothing can write."""
    return "" if value is None else str(value).strip().encode("utf-8", "replace").decode()


def lines(folder: Folder, name: str) -> list[str]:
    return _decoded(folder, name).splitlines()


def _bounded(name: str, table: Iterator[list[str]]) -> Iterator[list[str]]:
    """A few bytes of a workbook or a CSV can claim more rows and columns than any memory holds."""
    for number, row in enumerate(table, 1):
        if number > MOST_ROWS or len(row) > MOST_COLUMNS:
            raise NotRecognised(f"{name} has more than {MOST_ROWS:,} rows or {MOST_COLUMNS:,} columns.")
        yield row


def _text_table(folder: Folder, name: str) -> Iterator[list[str]]:
    text = _decoded(folder, name)
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    except csv.Error as error:
        raise NotRecognised(f"{name} is no table ({error}).") from error


def _workbook(folder: Folder, name: str) -> Iterator[list[str]]:
    try:
        with zipfile.ZipFile(folder.path(name)) as packed:
            if sum(part.file_size for part in packed.infolist()) > MOST_BYTES:
                raise NotRecognised(f"{name} unpacks to more than {MOST_BYTES:,} bytes.")
        book = openpyxl.load_workbook(folder.path(name), read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # what it says of its size may be anything
            for row in sheet.iter_rows(values_only=True):
                yield ["" if cell is None else str(cell) for cell in row]
        finally:
            book.close()
    except NotRecognised:
        raise
    except Exception as error:  # a broken workbook raises anything
        raise NotRecognised(f"{name} can't be read as an Excel workbook ({type(error).__name__}: {error}).") from error


def _decoded(folder: Folder, name: str) -> str:
    data = _read(folder, name)
    if b"\0" not in data:  # UTF-16 is full of them, and may be UTF-8 all the same
        with suppress(UnicodeDecodeError):
            return data.decode("utf-8-sig")
    raise NotRecognised(f"{name} is not written in UTF-8. Save it so.")


def _read(folder: Folder, name: str) -> bytes:
    path = folder.path(name)
    if path.stat().st_size > MOST_BYTES:
        raise NotRecognised(f"{name} is larger than {MOST_BYTES:,} bytes, which no label file is.")
    return path.read_bytes()


def _head(folder: Folder, name: str) -> bytes:
    with folder.path(name).open("rb") as file:
        return file.read(2)
