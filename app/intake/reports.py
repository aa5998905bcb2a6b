"""The account of an import: its entries and files as lines of a list, or as CSV for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from tempfile import SpooledTemporaryFile
from typing import IO

from app.intake.formats import table
from app.intake.reasons import advice_for, sentence_for
from app.spreadsheets import neutral
from app.tables import Import, ImportEntry, ImportFile

IN_MEMORY = 4 * 1024 * 1024


@dataclass(frozen=True)
class Line:
    """An entry or a file: what became of it, why, and what to do. The fields are the columns of the report."""

    what: str
    number: int | None = None
    row: int | None = None
    file: str = ""
    picture: int | None = None
    outcome: str = ""
    why: str = ""
    details: str = ""
    what_to_do: str = ""
    candidate: int | None = None
    caption: str = ""


COLUMNS = tuple(column.name.replace("_", " ") for column in fields(Line))


def of_table(run: Import) -> bool:
    """Whether an import read rows of a table: why one is refused is said in other words then."""
    return run.format == table.NAME


def entry_line(entry: ImportEntry, in_table: bool, caption: str = "") -> Line:
    return Line(
        what="entry",
        number=entry.ordinal,
        row=entry.row,
        file=entry.file_name,
        picture=entry.position,
        outcome=entry.outcome.value,
        why=sentence_for(entry.reason, in_table),
        details=entry.detail,
        what_to_do=advice_for(entry.reason, in_table),
        candidate=entry.candidate_id,
        caption=caption,
    )


def file_line(file: ImportFile, in_table: bool) -> Line:
    return Line(
        what="file",
        file=file.name,
        outcome=file.outcome.value,
        why=file.kind or sentence_for(file.reason, in_table),
        what_to_do=advice_for(file.reason, in_table),
    )


def lines(run: Import, entries: Iterable[tuple[ImportEntry, str]], files: Iterable[ImportFile]) -> Iterator[Line]:
    """Every entry with its caption, then every file."""
    in_table = of_table(run)
    for entry, caption in entries:
        yield entry_line(entry, in_table, caption)
    for file in files:
        yield file_line(file, in_table)


def as_csv(lines: Iterable[Line]) -> IO[bytes]:
    """The report as a file at its beginning (RFC 4180, UTF-8 with the BOM Excel wants); no cell a formula."""
    file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # the response closes it
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for line in lines:
        cells = asdict(line) | {"candidate": f"C-{line.candidate}" if line.candidate else ""}
        writer.writerow([neutral(cell) for cell in cells.values()])
    text.detach()
    file.seek(0)
    return file


def chunks(file: IO[bytes], size: int = 64 * 1024) -> Iterator[bytes]:
    """The file's bytes; it is closed at the end."""
    with file:
        while chunk := file.read(size):
            yield chunk
