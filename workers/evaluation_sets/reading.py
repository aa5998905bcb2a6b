"""A folder of an evaluation set as readers see it: names and bytes are hostile, and nothing outside it is touched."""

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath
from re import Match, Pattern
from typing import IO, NamedTuple

from PIL import Image

MOST_PIXELS = 100_000_000
REASON = 300  # letters of why something is skipped; it may quote a file
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"BM", b"GIF8")
SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


class NotRecognised(ValueError):
    """A folder that is not in the layout asked for, or in none; the message says what is there and what is needed."""


class Unreadable(OSError):
    """A picture that can't be given; the message says why."""


class Version(NamedTuple):
    """A file as it is now, for what is kept of it in memory: when it last changed, which nobody can set back."""

    path: Path
    changed: int

    @classmethod
    def of(cls, path: Path) -> "Version":
        return cls(path, path.stat().st_ctime_ns)


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Item:
    """One labelled picture, or one with a caption. `id` is the same on every machine: its path inside the folder with
    "/", and what is in it.

    `split` is train, val, test or all; `group` is the independent unit (patient, slide, original) as far as it is
    known, else the id.
    """

    id: str
    label: str
    split: str
    group: str
    caption: str = ""  # of a set of pairs, whose items have no label


@dataclass
class Found:
    """What a reader made of a folder. `variants` are its splits by name, the first one the default."""

    variants: dict[str, list[Item]]
    classes: list[str] = field(default_factory=list)  # only of sets that the catalogue does not know
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    templates: list[str] = field(default_factory=list)  # the set's own wording, with {} for the class


@dataclass
class Folder:
    """The regular files below `root`, sorted by name; links and names that are no Unicode are in `skipped`.

    `unread` are those of `skipped` that stand where the set has an item. Readers that take long `tell` (done, total)
    on the way.
    """

    root: Path
    tell: Progress
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)

    @cached_property
    def files(self) -> list[str]:
        return sorted(self._walk())

    @cached_property
    def folders(self) -> set[str]:
        """The names, without their paths, of the folders that files lie in."""
        parents = {name.rpartition("/")[0] for name in self.files}
        return {part for parent in parents for part in parent.split("/") if part}

    @cached_property
    def _by_last(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.files:
            found.setdefault(name.rpartition("/")[2].casefold(), []).append(name)
        return found

    def called(self, last: str) -> list[str]:
        """The files of that name, whatever folder they are in, in any case."""
        return self._by_last.get(last.casefold(), [])

    def named(self, name: str) -> str | None:
        """The file that a label file means by `name`; None for none or several.

        A label file may name the end of a file's path, or a longer path whose end the file's is: never a mere
        namesake in another folder. The one that has most of the name is meant.
        """
        wanted = PurePosixPath(name.replace("\\", "/").strip()).parts
        if not wanted:
            return None
        paths = {other: PurePosixPath(other).parts for other in self.called(wanted[-1])}
        ends = [(_common_end(wanted, parts), other) for other, parts in paths.items()]
        ends = [(end, other) for end, other in ends if end == min(len(wanted), len(paths[other]))]
        best = max((end for end, _ in ends), default=0)
        fits = [other for end, other in ends if end == best]
        return fits[0] if len(fits) == 1 else None

    def skip(self, name: str, why: str, *, is_item: bool = False) -> None:
        self.skipped.append((name, printable(why)[:REASON]))
        if is_item:
            self.unread.append(self.skipped[-1])

    def path(self, name: str) -> Path:
        """Of one of `files`, which are below the root by the way they were found."""
        return self.root / name

    def is_picture(self, name: str) -> bool:
        """Whether a file begins as a picture does, whatever its name says."""
        return self._no_picture(name) == ""

    def pictures(self, names: Iterable[str]) -> Iterator[str]:
        """Those that begin as a picture does; the others are skipped."""
        for name in names:
            if why := self._no_picture(name):
                self.skip(name, why, is_item=True)
            else:
                yield name

    def matching(self, pattern: Pattern[str], expected: Sequence[str] = ()) -> Iterator[tuple[str, Match[str]]]:
        """Pictures whose path matches, with the match; every other file is skipped.

        Of a file in a folder that is spelt almost as one of `expected`, the reason says so.
        """
        spelling: dict[str, str] = {}
        for name in self.files:
            if match := pattern.search(name):
                for picture in self.pictures([name]):
                    yield picture, match
            else:
                parent = name.rpartition("/")[0]
                if parent not in spelling:
                    spelling[parent] = nearest(parent.split("/"), expected)
                self.skip(name, f"it is not part of the layout.{spelling[parent]}")

    def rest(self, used: Iterable[str]) -> None:
        """Skips every file that is not in use."""
        known = set(used)
        for name in self.files:
            if name not in known:
                self.skip(name, "no label names it")

    def _walk(self) -> Iterator[str]:
        waiting = [""]
        while waiting:
            below = waiting.pop()
            try:
                entries = list(os.scandir(self.root / below))
            except OSError as error:
                self.skip(f"{below}/", f"the folder can't be read ({error.strerror})")
                continue
            for entry in entries:
                name = f"{below}/{entry.name}".removeprefix("/")
                if why := _no_file(entry, name):
                    self.skip(printable(name), why)
                elif entry.is_dir():
                    waiting.append(name)
                else:
                    yield name

    def _no_picture(self, name: str) -> str:
        """Why a file can't be a picture, from its first bytes; empty where it can."""
        try:
            with open(f"{self.root}/{name}", "rb", buffering=0) as file:  # noqa: PTH123, three times as fast
                head = file.read(12)
        except OSError as error:
            return f"it can't be read ({error.strerror or error})"
        picture = head.startswith(MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")
        return "" if picture else "it is no picture (JPEG, PNG, TIFF, BMP, WebP or GIF)"


def _no_file(entry: os.DirEntry[str], name: str) -> str:
    """Why a name is neither a folder nor a file of the set; empty where it is one."""
    if entry.is_symlink():
        return "it is a link; links are not followed"
    if printable(name) != name:
        return "its name is no plain Unicode"
    if entry.is_dir():
        return ""
    if entry.name in SYSTEM or entry.name.startswith("._"):
        return "it is a file of the operating system"
    return "" if entry.is_file() else "it is no regular file"


OpenItem = Callable[[Path, str], Image.Image]
ByLikeness = Callable[[Path, list[Item], Progress], dict[str, list[Item]]]


@dataclass(frozen=True)
class Reader:
    """How a layout is told, read and opened.

    `expected` are the folders and files that tell it, for messages. `open_item` is of layouts whose items are not
    files by themselves; `by_likeness` makes splits that need the pictures.
    """

    expected: tuple[str, ...]
    looks_like: Callable[[Folder], bool]
    read: Callable[[Folder], Found]
    open_item: OpenItem | None = None
    by_likeness: ByLikeness | None = None


def printable(name: str) -> str:
    """A file's name with what is no Unicode or a control character written as a code."""
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def inside(root: Path, name: str) -> Path:
    """The path of a file below `root`. Raises Unreadable when it leads out of it, or through a link."""
    parts = name.split("/")
    if not name or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise Unreadable(f"{printable(name)} is no path inside the folder.")
    real = root.resolve()
    path = real.joinpath(*parts)
    if path.resolve() != path:
        raise Unreadable(f"{printable(name)} is a link; links are not followed.")
    return path


def decode(source: Path | bytes, at_least: int | None = None) -> Image.Image:
    """An RGB picture; a JPEG at reduced size while both sides stay >= `at_least` px. Raises Unreadable."""
    try:
        file: Path | IO[bytes] = BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise Unreadable(f"it has {width} × {height} pixels; at most {MOST_PIXELS:,} are read")
            if at_least:
                image.draft("RGB", (at_least, at_least))
            return image.convert("RGB")
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on hostile bytes
        raise Unreadable(f"it can't be decoded ({type(error).__name__}: {error})") from error


def nearest(names: Iterable[str], expected: Sequence[str]) -> str:
    """Says which folders are spelt almost as one of `expected`; nothing where none is."""
    lower = {wanted.casefold(): wanted for wanted in expected}
    close = (
        (name, difflib.get_close_matches(name.casefold(), lower, n=1, cutoff=0.75))
        for name in sorted(set(names) - set(expected))
    )
    said = [f" “{name}” is spelt almost as “{lower[fits[0]]}”: rename it." for name, fits in close if fits]
    return "".join(said[:5])


def none_of(folder: Folder, expected: Sequence[str], of: str) -> NotRecognised:
    """The error for a folder in which nothing of a layout was found."""
    there = ", ".join(sorted(folder.folders)[:8]) or "no folders"
    needed = " or ".join(expected)
    return NotRecognised(f"This is no {of}: {needed} is needed; here are {there}.{nearest(folder.folders, expected)}")


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a.casefold() != b.casefold():
            break
        count += 1
    return count
