"""A whole folder as one tar, made while it is sent: any byte range of it can be asked for again.

Every header is fixed, so the archive's bytes follow from the files' names, sizes and contents alone.
"""

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

CHUNK = 256 * 1024
BLOCK = tarfile.BLOCKSIZE
USTAR_LIMIT = 8**11  # bytes of a file; the weights of the largest models are more


@dataclass(frozen=True)
class Segment:
    """Bytes of the archive from `start`: given ones, or those of a file."""

    start: int
    size: int
    data: bytes = b""
    file: Path | None = None


class Archive:
    """The tar of `folder` under the name `name`, holding `files` (path → size) and those `made` just now."""

    def __init__(
        self,
        folder: Path,
        name: str,
        files: Mapping[str, Mapping[str, Any]],
        made: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self.segments: list[Segment] = []
        self.size = 0
        for path in sorted([*files, *made]):
            size = len(made[path]) if path in made else int(files[path]["size"])
            self._add(Segment(self.size, BLOCK, data=_header(f"{name}/{path}", size)))
            self._add(Segment(self.size, size, made.get(path, b""), None if path in made else folder / path))
            self._add(Segment(self.size, -size % BLOCK, data=bytes(-size % BLOCK)))
        self._add(Segment(self.size, 2 * BLOCK, data=bytes(2 * BLOCK)))

    def _add(self, segment: Segment) -> None:
        self.segments.append(segment)
        self.size += segment.size

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces."""
        for segment in self.segments:
            first, last = max(start, segment.start), min(stop, segment.start + segment.size)
            if first < last:
                yield from _read(segment, first - segment.start, last - segment.start)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o444, 0
    return info.tobuf(tarfile.USTAR_FORMAT if size < USTAR_LIMIT else tarfile.GNU_FORMAT)


def _read(segment: Segment, first: int, last: int) -> Iterator[bytes]:
    if segment.file is None:
        yield segment.data[first:last]
        return
    with segment.file.open("rb") as file:
        file.seek(first)
        while first < last:
            piece = file.read(min(CHUNK, last - first))
            if not piece:
                raise OSError(f"{segment.file.name} is shorter than it was")
            first += len(piece)
            yield piece


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """One range of RFC 9110 (`bytes=0-99`, `bytes=100-`, `bytes=-50`) as [start, stop).

    None for a header that is none of these (the whole is sent then). Raises ValueError when no byte of it exists.
    """
    unit, _, wanted = header.partition("=")
    first, dash, last = wanted.strip().partition("-")
    if unit.strip() != "bytes" or not dash or "," in wanted or not (first + last).isdecimal():
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    if start >= stop:
        raise ValueError("no byte of this range exists")
    return start, stop
