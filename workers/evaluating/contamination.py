"""Pictures of an evaluation set that a model has learned from: the same file, a copy, or the same view.

The same rules as for duplicates among candidates: a copy is within 31 bits of PDQ in some orientation, and pictures
whose vectors are near are compared themselves (`workers.ml.shared_view`), for tissue looks like tissue.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.prefilter import pdq
from app.prefilter.grouping import Match
from workers.ml.perceptual import Hash
from workers.ml.shared_view import Sight, shared_view
from workers.ml.vectors import Vectors, l2_normalised

RADIUS = 31  # bits
LIKELY = 8  # training pictures that one is compared with
LIKELY_FROM = 0.6  # cosine
ROWS = 512  # pictures of the set at once, to bound the memory
SIGHTS = 512  # training pictures that stay decoded, a quarter of a megabyte each

Kind = Literal["exact", "perceptual", "semantic", "group", "post"]
Read = Callable[[str], bytes]  # a picture's bytes by its id; raises OSError


@dataclass
class Prints:
    """What pictures are recognised by, row by row: ids, SHA-256 of their files, PDQ hashes, vectors [n, d].

    `sha256` may hold several a picture: of the file as it came and as it was cleaned. Vectors are of one encoder.
    """

    ids: Sequence[str]
    sha256: Sequence[Collection[str]]
    hashes: Sequence[Hash | None]  # None where a picture has none
    vectors: Vectors


@dataclass(frozen=True)
class Copy:
    """A picture of the set, the training picture that it is a copy of, and how that was seen.

    `value` is bits that differ for a hash, the share of structure alike for a view, else 1.
    """

    item: str
    training: str
    kind: Kind
    value: float


def copies(
    items: Prints,
    training: Prints,
    read_item: Read,
    read_training: Read,
    *,
    likely_from: float = LIKELY_FROM,
    progress: Callable[[int, int], None] | None = None,
) -> list[Copy]:
    """For each picture of the set that has one, its surest copy among the training pictures, in the set's order.

    Pictures whose cosine is at least `likely_from` are looked at, the nearest eight; one that can't be read by then
    is passed over. `progress` gets (done, of), and what it raises ends the work.
    """
    found = _exact(items, training)
    for near in _perceptual(items, training):
        found.setdefault(near.item, near)
    left = [place for place, id_ in enumerate(items.ids) if id_ not in found]
    sight = lru_cache(SIGHTS)(lambda id_: _sight(read_training, id_))
    for done, (place, likely) in enumerate(_likely(items, training, left, likely_from)):
        copy = _semantic(items.ids[place], [training.ids[other] for other in likely], read_item, sight)
        if copy:
            found[copy.item] = copy
        if progress:
            progress(len(items.ids) - len(left) + done + 1, len(items.ids))
    return [found[id_] for id_ in items.ids if id_ in found]


def clean(ids: Sequence[str], found: Sequence[Copy]) -> NDArray[np.bool_]:
    """Which of the items [n] have no copy among what the model learned from."""
    touched = {copy.item for copy in found}
    return np.array([id_ not in touched for id_ in ids], dtype=np.bool_)


def _exact(items: Prints, training: Prints) -> dict[str, Copy]:
    owner = {sha: id_ for id_, some in zip(training.ids, training.sha256, strict=True) for sha in some}
    hits = {id_: next((sha for sha in some if sha in owner), None) for id_, some in _files(items)}
    return {id_: Copy(id_, owner[sha], "exact", 1.0) for id_, sha in hits.items() if sha}


def _files(prints: Prints) -> Iterator[tuple[str, Collection[str]]]:
    return zip(prints.ids, prints.sha256, strict=True)


# --- hashes -------------------------------------------------------------------------------------


def _perceptual(items: Prints, training: Prints) -> Iterator[Copy]:
    """The nearest training hash of each item that is near enough.

    As rows of +1 and −1, the bits in which two hashes differ are (256 − their product) / 2: exact in float32, and a
    matrix product compares all pairs.
    """
    mine, its = _telling(items), _telling(training)
    if not mine or not its:
        return
    known = np.stack([_signs(_number(training, place)) for place in its])
    for at in range(0, len(mine), ROWS):
        some = mine[at : at + ROWS]
        nearest = np.full((len(some), len(its)), -pdq.BITS, dtype=np.float32)
        for views in zip(*(pdq.views(_number(items, place)) for place in some), strict=True):
            np.maximum(nearest, np.stack([_signs(view) for view in views]) @ known.T, out=nearest)
        best = nearest.argmax(axis=1)
        apart = (pdq.BITS - nearest[np.arange(len(some)), best]) / 2
        for place, other, bits in zip(some, best, apart, strict=True):
            if bits <= RADIUS:
                yield Copy(items.ids[place], training.ids[its[other]], "perceptual", float(bits))


def _telling(prints: Prints) -> list[int]:
    """Blank and nearly blank pictures have hashes that say nothing."""
    return [place for place, hash_ in enumerate(prints.hashes) if hash_ and hash_.quality >= pdq.TELLING]


def _number(prints: Prints, place: int) -> int:
    hash_ = prints.hashes[place]
    return int.from_bytes(hash_.pdq) if hash_ else 0


def _signs(hash_: int) -> NDArray[np.float32]:
    bits = np.unpackbits(np.frombuffer(hash_.to_bytes(pdq.BITS // 8), dtype=np.uint8))
    return np.asarray(bits, dtype=np.float32) * 2 - 1


# --- views --------------------------------------------------------------------------------------


def _likely(
    items: Prints, training: Prints, places: Sequence[int], likely_from: float
) -> Iterator[tuple[int, list[int]]]:
    """Of each item the training pictures with the nearest vectors, the nearest first."""
    known, count = l2_normalised(training.vectors), min(LIKELY, len(training.ids))
    for at in range(0, len(places), ROWS):
        some = places[at : at + ROWS]
        cosines = l2_normalised(items.vectors[some]) @ known.T
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count] if count else np.empty((len(some), 0), int)
        for row, place in enumerate(some):
            near = nearest[row][np.argsort(-cosines[row, nearest[row]], kind="stable")]
            yield place, [int(other) for other in near if cosines[row, other] >= likely_from]


def _semantic(item: str, likely: Sequence[str], read: Read, sight: Callable[[str], Sight | None]) -> Copy | None:
    mine = _sight(read, item) if likely else None
    if mine is None:
        return None
    for other in likely:
        its = sight(other)
        view = shared_view(mine, its) if its else None
        if view and Match((0, 1), 0.0, view.agrees, view.covers).is_copy:
            return Copy(item, other, "semantic", view.agrees)
    return None


def _sight(read: Read, id_: str) -> Sight | None:
    try:
        return Sight(read(id_))
    except OSError:
        return None
