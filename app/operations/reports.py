"""The log as CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

from app.operations.sentences import Entry, sentence
from app.spreadsheets import neutral

COLUMNS = ("log", "time (UTC)", "who", "what", "before and after", "act", "subject", "id", "job", "details")
IN_MEMORY = 4 * 1024 * 1024


def as_csv(entries: Iterable[Entry]) -> IO[bytes]:
    """The log as a file at its beginning: RFC 4180, UTF-8 with the BOM that Excel needs, no formulas."""
    file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # the response closes it
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([neutral(cell) for cell in cells(entry)])
    text.detach()
    file.seek(0)
    return file


def cells(entry: Entry) -> tuple[object, ...]:
    said = sentence(entry)
    details = json.dumps(dict(entry.details), ensure_ascii=False, sort_keys=True)
    at = entry.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    about = (entry.act, entry.subject_kind, entry.subject_id, entry.job_id, details)
    return (entry.id, at, entry.who, str(said), said.change, *about)


def chunks(file: IO[bytes], size: int = 64 * 1024) -> Iterator[bytes]:
    """The file's bytes; it is closed at the end."""
    with file:
        while chunk := file.read(size):
            yield chunk
