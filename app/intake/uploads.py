"""Reads the import form as it streams in: files go straight to disk and never through memory."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import Depends, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from app.db import get_session
from app.errors import Invalid, TooLarge
from app.intake import locations
from app.intake.locations import UPLOAD_FILES, UPLOAD_LIMIT
from app.tables import Role
from app.web.deps import Allow

FIELD_LIMIT = 64 * 1024
FIELDS_LIMIT = 50


@dataclass(frozen=True)
class Received:
    """A sent form: its fields, and its files as (temporary path, original name)."""

    fields: FormData
    files: list[tuple[Path, str]]

    def keep(self) -> list[tuple[str, str]]:
        """Publishes the files under generated names. Returns (generated name, original name) of each."""
        return [(locations.publish(path), name) for path, name in self.files]

    def discard(self) -> None:
        """Deletes the files that were not published."""
        for path, _ in self.files:
            path.unlink(missing_ok=True)


@dataclass
class Part:
    """One part of the form while it arrives."""

    name: str
    file_name: str
    file: IO[bytes] | None = None
    path: Path | None = None
    value: bytearray = field(default_factory=bytearray)


class FormWriter:
    """The parser's callbacks: short fields in memory, files on disk under temporary names."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: list[tuple[str, str | UploadFile]] = []
        self.files: list[tuple[Path, str]] = []
        self.received = 0
        self._header: list[bytearray] = [bytearray(), bytearray()]
        self._disposition = b""
        self._part: Part | None = None
        names = (
            "part_begin",
            "part_data",
            "part_end",
            "header_field",
            "header_value",
            "header_end",
            "headers_finished",
        )
        callbacks: dict[str, Callable[..., Any]] = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes of the body. Raises TooLarge, Invalid."""
        self.received += len(chunk)
        if self.received > UPLOAD_LIMIT:
            raise TooLarge(
                "This is more than 2 GB, the limit of an upload. Nothing was kept.",
                "Put it into the inbox folder on the server, or use the command “ipath import”.",
            )
        self._parser.write(chunk)

    def finish(self) -> Received:
        self._parser.finalize()
        return Received(FormData(self.fields), self.files)

    def discard(self) -> None:
        """Deletes what was written so far."""
        if self._part and self._part.file and self._part.path:
            self._part.file.close()
            self.files.append((self._part.path, ""))
        for path, _ in self.files:
            path.unlink(missing_ok=True)

    def _part_begin(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        self._header = [bytearray(), bytearray()]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        self._part = Part(name, options.get(b"filename", b"").decode(errors="replace"))
        if self._part.file_name:
            if len(self.files) == UPLOAD_FILES:
                raise Invalid("Choose one file, or a table and one zip of pictures.")
            self._part.path = locations.receiving()
            self._part.file = self._part.path.open("xb")
        elif len(self.fields) == FIELDS_LIMIT:
            raise Invalid("This form has too many fields.")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part is None:
            return
        if part.file:
            part.file.write(data[start:end])
        elif len(part.value) + end - start > FIELD_LIMIT:
            raise Invalid("A field of this form is too long.")
        else:
            part.value += data[start:end]

    def _part_end(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if part.file and part.path:
            part.file.close()
            self.files.append((part.path, part.file_name))
        else:
            self.fields.append((part.name, part.value.decode(errors="replace")))


def admit(request: Request, *roles: Role) -> None:
    """Lets only people of these roles send a body, in a short transaction of its own.

    An upload may take minutes; a session open meanwhile would hold rows of whoever sends it.
    """
    provide = request.app.dependency_overrides.get(get_session, get_session)
    with contextlib.contextmanager(provide)() as session:
        opened: Session = session
        Allow(*roles)(request, opened)


async def read_upload(request: Request) -> Received:
    """The sent form with its files on disk. Raises NotSignedIn, Forbidden, TooLarge, Invalid."""
    await run_in_threadpool(admit, request, Role.ADMIN)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        return Received(await request.form(max_files=0, max_fields=FIELDS_LIMIT), [])
    writer = FormWriter(options[b"boundary"])
    try:
        async for chunk in request.stream():
            if chunk:
                await run_in_threadpool(writer.write, chunk)
        return writer.finish()
    except BaseException as error:
        await run_in_threadpool(writer.discard)
        if isinstance(error, FormParserError):
            raise Invalid("The upload arrived damaged. Nothing was kept.", "Send it again.") from error
        raise


UploadDep = Annotated[Received, Depends(read_upload)]
