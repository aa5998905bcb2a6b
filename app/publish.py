"""Files and folders that are whole under their name or are not there at all, also after a power cut."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@dataclass(frozen=True)
class FileEntry:
    """A published file: its path inside the folder with `/`, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass
class Draft:
    """A file being written; `size` and `sha256` are known once it is published."""

    file: BinaryIO
    size: int = 0
    sha256: str = ""


@contextmanager
def publish_file(path: Path) -> Iterator[Draft]:
    """A file to write that takes its name, replacing another, when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            draft = Draft(file)
            yield draft
            file.flush()
            os.fsync(file.fileno())
        with temporary.open("rb") as written:
            draft.size, draft.sha256 = temporary.stat().st_size, sha256_of(written)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@dataclass
class Folder:
    """A folder being filled, and what it holds so far."""

    root: Path
    entries: list[FileEntry] = field(default_factory=list)

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        """A file to write, published and listed when the block ends without an error."""
        with publish_file(self.root / name) as draft:
            yield draft.file
        self.entries.append(FileEntry(name, draft.size, draft.sha256))


@contextmanager
def publish_folder(path: Path) -> Iterator[Folder]:
    """A folder to fill under `NAME.partial` that takes its name when the block ends without an error.

    What an interrupted build left under that name is removed. Raises FileExistsError if `path` is there.
    """
    if path.exists():
        raise FileExistsError(f"{path} is already there; a published folder never changes.")
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield Folder(partial)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_folder(path.parent)


def sha256_of(file: BufferedReader) -> str:
    """SHA-256, in hex, of the rest of an open file."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Makes names in a folder durable: fsync of a file alone does not."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
