"""A folder or a zip as a set of named files. Names are data: none of them ever becomes a path outside."""

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader, BytesIO, RawIOBase
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Protocol

MAX_FILES = 200_000  # some 50,000 posts with all their side files; larger collections come in parts
MAX_DIRECTORY = 50_000_000  # bytes of a zip's table of contents: 250 for each of so many files
MAX_UNPACKED = 20_000_000_000  # ten times the largest upload; pictures hardly shrink when packed
MAX_FILE = 100_000_000  # no picture or table of metadata is larger; a larger one is read no further
MAX_NAME = 1_000
MAX_RATIO = 200  # JSON and text compress to 1:100 at most; beyond that and 10 MB it is a bomb
RATIO_FROM = 10_000_000
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit on memory
LOCAL_HEADER = 30  # bytes before each member's name and data
DIRECTORY_SIZE = 5  # where zipfile keeps the size of the table of contents in what it read of a zip's end
DRIVE = re.compile(r"[A-Za-z]:")
CLASH = "the same name as another, or one that differs only in case"


class ArchiveRefused(Exception):
    """The archive or folder as a whole can't be taken; the message says why and what to do."""


class FileTooLarge(Exception):
    """A file holds more bytes than a reader may take."""


def distinct(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """The names, numbered where one is like another or one of `others`: an import's account has a line for each."""
    taken, last, found = set(others), Counter[str](), []
    for name in names:
        own = name
        while own in taken:
            last[name] += 1
            own = f"{name} ({last[name] + 1})"
        taken.add(own)
        found.append(own)
    return found


@dataclass(frozen=True)
class Entry:
    """A file by its name (`/` between parts, NFC) and its size in bytes as stated."""

    name: str
    size: int


class FileTree(Protocol):
    """Files by name. `unsafe` are names that were found but can't be opened, with what is wrong.

    All names of a tree differ; of several files of one name, the later ones are numbered.
    """

    label: str

    @property
    def entries(self) -> Sequence[Entry]: ...

    @property
    def unsafe(self) -> Sequence[tuple[str, str]]: ...

    def read(self, name: str, limit: int = MAX_FILE) -> bytes:
        """A file's bytes. Raises FileTooLarge beyond `limit`, OSError for one that can't be read."""
        ...

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to stream."""
        ...


class FolderTree:
    """The regular files below a folder; links are never followed."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.label = root.name
        self._paths: dict[str, Path] = {}
        unsafe: list[tuple[str, str]] = []
        entries = []
        for path in sorted(self._walk()):
            name = unicodedata.normalize("NFC", path.relative_to(self.root).as_posix())
            size = _size_of(path)
            if size is None:
                unsafe.append((_storable(name), "a link, a special file, or a folder that can't be read"))
            elif not _encodable(name):
                unsafe.append((_storable(name), "a name that is no text"))
            elif name in self._paths:
                unsafe.append((name, CLASH))
            else:
                self._paths[name] = path
                entries.append(Entry(name, size))
        self.entries: Sequence[Entry] = entries
        self.unsafe = _numbered(unsafe, self._paths)

    def _walk(self) -> Iterator[Path]:
        """What is no folder, and folders that can't be read."""
        count, folders = 0, [self.root]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as found:
                    inside = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in found]
            except OSError:
                if folder == self.root:
                    raise ArchiveRefused(f"The folder {self.label} can't be read. Check its permissions.") from None
                inside = [(folder, False)]
            folders += [path for path, is_folder in inside if is_folder]
            files = [path for path, is_folder in inside if not is_folder]
            count += len(files)
            if count > MAX_FILES:
                raise ArchiveRefused(f"The folder has more than {MAX_FILES:,} files. Import its parts one by one.")
            yield from files

    def read(self, name: str, limit: int = MAX_FILE) -> bytes:
        with self.open(name) as file:
            return _limited(file, limit, name)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with self._paths[name].open("rb") as file:
            yield file


class ZipTree:
    """The members of a zip. Hostile structure refuses the archive; an ordinary bad member only itself.

    A member never gives more bytes than it states, so the limit on the stated total holds while reading too.
    """

    def __init__(self, path: Path) -> None:
        self.label = path.name
        self._zip = _opened(path)
        members = [info for info in self._zip.infolist() if not info.is_dir()]
        self._check_structure(members, path.stat().st_size)
        self._members: dict[str, zipfile.ZipInfo] = {}
        unsafe: list[tuple[str, str]] = []
        folded = Counter(_name(info).casefold() for info in members)
        entries = []
        for info in members:
            name = _name(info)
            if problem := _problem(info, name, folded):
                unsafe.append((name[:MAX_NAME], problem))
            else:
                self._members[name] = info
                entries.append(Entry(name, info.file_size))
        self.entries: Sequence[Entry] = sorted(entries, key=lambda entry: entry.name)
        self.unsafe = _numbered(unsafe, self._members)

    def _check_structure(self, members: list[zipfile.ZipInfo], size: int) -> None:
        """Raises ArchiveRefused for what only a hostile or a broken packer makes."""
        if len(members) > MAX_FILES:
            raise ArchiveRefused(f"The zip has more than {MAX_FILES:,} files. Import its parts one by one.")
        unpacked = sum(info.file_size for info in members)
        if unpacked > MAX_UNPACKED:
            limit = f"{MAX_UNPACKED / 1e9:.0f} GB is the limit"
            raise ArchiveRefused(f"Unpacked it would take {unpacked / 1e9:.1f} GB; {limit}.")
        if unpacked > RATIO_FROM and unpacked > MAX_RATIO * max(size, 1):
            raise ArchiveRefused(
                "It would unpack to far more than pictures do. Nothing was read; pack the files again."
            )
        if _overlap(members, self._zip.start_dir):
            raise ArchiveRefused("Its files overlap each other. Nothing was read; pack the files again.")
        if any(info.flag_bits & 1 for info in members):
            raise ArchiveRefused("It is locked with a password. Pack it without one.")
        if any(info.compress_type not in PACKINGS for info in members):
            raise ArchiveRefused("It is packed in an unusual way. Pack it as an ordinary zip (deflate).")

    def read(self, name: str, limit: int = MAX_FILE) -> bytes:
        with self.open(name) as file:
            return _limited(file, limit, name)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        with _unpacking(name):
            member = self._zip.open(self._members[name])
        with BufferedReader(_Member(name, member)) as file:
            yield file


class _Member(RawIOBase):
    """A member's bytes. What goes wrong while they are unpacked is an OSError, and nothing else is."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name = name
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _unpacking(self._name):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _unpacking(name: str) -> Iterator[None]:
    """Turns all that zipfile and zlib raise on a bad member into OSError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise OSError(f"{name} can't be unpacked: {error}") from error


class FileList:
    """A table and, with it, a tree of its pictures, as one tree (an uploaded CSV beside a zip)."""

    def __init__(self, table: Path, pictures: FileTree | None) -> None:
        self.label = table.name
        self._table = table
        self._pictures = pictures
        others = list(pictures.entries) if pictures else []
        self.table = unicodedata.normalize("NFC", table.name)
        self.entries: Sequence[Entry] = [
            Entry(self.table, table.stat().st_size),
            *(entry for entry in others if entry.name != self.table),
        ]
        self.unsafe: Sequence[tuple[str, str]] = pictures.unsafe if pictures else []

    def read(self, name: str, limit: int = MAX_FILE) -> bytes:
        with self.open(name) as file:
            return _limited(file, limit, name)

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        if name == self.table:
            with self._table.open("rb") as file:
                yield file
        elif self._pictures is None:
            raise FileNotFoundError(name)
        else:
            with self._pictures.open(name) as member:
                yield member


def open_tree(path: Path) -> FileTree:
    """The tree of a folder, a zip (by its content, whatever its name), or a single table.

    Raises ArchiveRefused for an empty or hostile one.
    """
    tree: FileTree
    if path.is_dir():
        tree = FolderTree(path)
    elif zipfile.is_zipfile(path):
        tree = ZipTree(path)
    else:
        tree = FileList(path, FolderTree(path.parent) if path.parent.is_dir() else None)
    if not tree.entries and not tree.unsafe:
        raise ArchiveRefused(f"{tree.label} is empty. Choose the folder or archive that holds the posts.")
    return tree


def _opened(path: Path) -> zipfile.ZipFile:
    """The zip with its table of contents read. Raises ArchiveRefused, before reading one that is too long."""
    try:
        with path.open("rb") as file:
            end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what ZipFile itself will read
        if end and end[DIRECTORY_SIZE] > MAX_DIRECTORY:
            raise ArchiveRefused(f"The zip has more than {MAX_FILES:,} files. Import its parts one by one.")
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError) as error:
        raise ArchiveRefused(f"This is no readable zip ({error}). Pack or upload it again.") from error


def _overlap(members: list[zipfile.ZipInfo], directory: int) -> bool:
    """Whether members, or the last one and the table of contents, share bytes, as in zips that unpack to more."""
    spans = sorted((info.header_offset, LOCAL_HEADER + info.compress_size) for info in members)
    around = [(0, 0), *spans, (directory, 0)]
    return any(start + length > following for (start, length), (following, _) in pairwise(around))


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name. Without the UTF-8 flag, zipfile took it for cp437; most often it is UTF-8 all the same."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _problem(info: zipfile.ZipInfo, name: str, folded: Counter[str]) -> str:
    """What is wrong with a member; empty for nothing."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or DRIVE.match(name) or "\x00" in name:
        return "a name that leads out of the archive"
    if len(name.encode()) > MAX_NAME:
        return f"a name of more than {MAX_NAME:,} bytes"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or special file"
    return CLASH if folded[name.casefold()] > 1 else ""


def _numbered(unsafe: list[tuple[str, str]], safe: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names that can't be opened, none of them like another or like one that can."""
    names = distinct((name for name, _ in unsafe), safe)
    return [(name, problem) for name, (_, problem) in zip(names, unsafe, strict=True)]


def _size_of(path: Path) -> int | None:
    """A regular file's bytes; None for anything else, and for what can't be reached."""
    try:
        info = path.lstat()
    except OSError:
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None


def _storable(name: str) -> str:
    return name.encode(errors="replace").decode()


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _limited(file: BinaryIO, limit: int, name: str) -> bytes:
    """Counts while it reads, for stated sizes lie."""
    buffer = BytesIO()
    while piece := file.read(min(1 << 20, limit + 1 - buffer.tell())):
        buffer.write(piece)
        if buffer.tell() > limit:
            raise FileTooLarge(f"{name} holds more than {limit:,} bytes")
    return buffer.getvalue()
