"""Features of a set's pictures under a model: made once, kept on disk, taken from there by every later task."""

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.publish import publish_file
from workers.ml.encoder import Encoder, NotFinite
from workers.ml.vectors import Vectors

CHUNK = 256  # pictures in a file of the cache: what a killed worker loses at most
VERSIONS = ("torch", "open_clip_torch", "timm", "pillow", "numpy", "scikit-learn")

Picture = tuple[str, Callable[[], bytes | Image.Image]]
Progress = Callable[[int, int], None]  # done, of how many; what it raises ends the work


class Changed(ValueError):
    """A picture is not the one that was asked for: nothing is measured on others. The message says what to do."""


@dataclass
class Features:
    """Rows [n, d], float32 and as the network gives them, of the readable pictures in their order; `ids` [n] name them.

    `skipped` are the others, with why. `kept` pictures were in the cache, `made` were not.
    """

    ids: list[str]
    vectors: Vectors
    skipped: list[tuple[str, str]]
    made: int
    kept: int


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes what the network sees, to be stored with every figure."""

    transform: str
    decode: str
    precision: str
    device: str


def _untold(_done: int, _of: int) -> None:
    return


def features(
    network: Encoder, pictures: Sequence[Picture], *, cache: Path | None, progress: Progress = _untold
) -> Features:
    """Features of (id, how to read it) pairs; ids are unique. Those that `cache`, a folder, holds are not read.

    The folder is of one `cache_name`. Finished chunks stay when the worker is killed. A chunk that is damaged is made
    again; so is a picture that couldn't be read. What was written stays when it raises: OSError when the disk is full,
    MemoryError, and Changed when a reader does.
    """
    ids = [id_ for id_, _ in pictures]
    known = _Rows(ids, network.width)
    for some, vectors in _stored(cache, network.width, known.places.keys()):
        known.put(some, vectors)
    found = known.count
    progress(found, len(ids))
    skipped: dict[str, str] = {}
    for chunk in _made(network, (picture for picture in pictures if not known.has(picture[0]))):
        if cache is not None and chunk.ids:
            _store(cache, chunk)
        known.put(chunk.ids, np.stack(chunk.rows) if chunk.rows else np.empty((0, network.width), np.float32))
        skipped |= chunk.skipped
        progress(known.count + len(skipped), len(ids))
    readable, vectors = known.taken()
    return Features(readable, vectors, list(skipped.items()), known.count - found, found)


def cache_name(network: Encoder, checksum: str, read_as: str) -> str:
    """The folder of one model, preprocessing and kind of ids: nothing that changes a row has the same name.

    `checksum` is that of the model's weights. Ids hold the hash of what they name, `read_as` how that becomes a
    picture. Random weights are told apart by the model's name. The name begins with the checksum, by which the
    features of a deleted model are found.
    """
    parts = [network.name, checksum, network.quick_gelu, read_as, asdict(preprocessing(network))]
    said = json.dumps([*parts, versions()], sort_keys=True)
    return f"{checksum or 'random'}-{sha256(said.encode()).hexdigest()[:32]}"


def preprocessing(network: Encoder) -> Preprocessing:
    transform = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", " ".join(str(network.transform).split()))
    decode = f"JPEG at reduced size while both sides stay >= {2 * network.image_size} px, then RGB"
    is_full = network.full_precision or network.device.type == "cpu"
    return Preprocessing(transform, decode, "fp32" if is_full else "bf16 where the GPU has it", network.device.type)


def versions() -> dict[str, str]:
    """Of the libraries that a prediction hangs on."""
    return {name: version(name) for name in VERSIONS}


# --- rows in memory -----------------------------------------------------------------------------


class _Rows:
    """One matrix for all ids, filled as rows come."""

    def __init__(self, ids: Sequence[str], width: int) -> None:
        self.ids = ids
        self.places = {id_: place for place, id_ in enumerate(ids)}
        if len(self.places) < len(ids):
            raise ValueError("Two pictures of a set have the same id.")
        self.vectors = np.empty((len(ids), width), np.float32)
        self.is_there = np.zeros(len(ids), dtype=np.bool_)

    @property
    def count(self) -> int:
        return int(self.is_there.sum())

    def has(self, id_: str) -> bool:
        return bool(self.is_there[self.places[id_]])

    def put(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Rows of other ids are passed over: a cache may hold those of an older choice of items."""
        for id_, vector in zip(ids, vectors, strict=True):
            place = self.places.get(id_)
            if place is not None:
                self.vectors[place] = vector
                self.is_there[place] = True

    def taken(self) -> tuple[list[str], Vectors]:
        if self.is_there.all():
            return list(self.ids), self.vectors
        places = np.flatnonzero(self.is_there).tolist()
        return [self.ids[place] for place in places], self.vectors[places]


# --- making and storing -------------------------------------------------------------------------


@dataclass
class _Chunk:
    ids: list[str] = field(default_factory=list)
    rows: list[Vectors] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def _made(network: Encoder, pictures: Iterable[Picture]) -> Iterator[_Chunk]:
    chunk = _Chunk()
    for id_, vector in network.embed_each(pictures, unit=False):
        if isinstance(vector, MemoryError | Changed):
            raise vector
        if isinstance(vector, Exception):
            chunk.skipped[id_] = _why(vector)
        else:
            chunk.ids.append(id_)
            chunk.rows.append(vector)
        if len(chunk.ids) + len(chunk.skipped) >= CHUNK:
            yield chunk
            chunk = _Chunk()
    if chunk.ids or chunk.skipped:
        yield chunk


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if isinstance(error, NotFinite):
        return str(error)
    return f"it can't be read: {str(error)[:160] or type(error).__name__}"


def _store(cache: Path, chunk: _Chunk) -> None:
    """Named by its ids: two workers on one set write the same file, or different ones."""
    name = sha256("\n".join(chunk.ids).encode()).hexdigest()[:24]
    with publish_file(cache / f"{name}.npz") as draft:
        np.savez(draft.file, ids=np.array(chunk.ids, dtype=np.str_), vectors=np.stack(chunk.rows))


def _stored(cache: Path | None, width: int, wanted: Set[str]) -> Iterator[tuple[list[str], Vectors]]:
    for path in sorted(cache.glob("*.npz")) if cache is not None else ():
        chunk = _read(path, width, wanted)
        if chunk is not None:
            yield chunk


def _read(path: Path, width: int, wanted: Set[str]) -> tuple[list[str], Vectors] | None:
    """None for a file that is cut short, damaged, not of this model or of other pictures. Nothing in it is run."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            ids = held["ids"]
            if wanted.isdisjoint(ids.tolist()):
                return None  # of another set: its vectors are not read
            vectors = held["vectors"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return None
    return (ids.tolist(), vectors) if _fits(ids, vectors, width) else None


def _fits(ids: Any, vectors: Any, width: int) -> bool:
    is_shaped = vectors.shape == (len(ids), width) and ids.dtype.kind == "U" and vectors.dtype == np.float32
    return bool(is_shaped and np.isfinite(vectors).all())
