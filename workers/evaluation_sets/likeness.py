"""Groups of pictures that are turned, mirrored or enlarged copies of one original, for sets that do not name it.

What turning and mirroring leave as it is (colours and edges in rings around the middle) tells which pictures may be
copies; a view that two of them share proves it.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.evaluation_sets.reading import Item, Progress, Unreadable, decode, inside
from workers.ml.shared_view import ALIKE, Sight, shared_view

SIDE = 240  # px of the copies that are compared
RINGS = 4
QUANTILES = np.linspace(0.05, 0.95, 7)
CANDIDATES = 40  # of one picture, by likeness; twice the copies that LC25000 made of an original
FAILED = 4  # candidates in a row that share no view: what is less alike than they is not looked at

Signatures = NDArray[np.float32]


class Groups:
    """Disjoint sets of row numbers."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def find(self, row: int) -> int:
        while self.parent[row] != row:
            self.parent[row] = self.parent[self.parent[row]]
            row = self.parent[row]
        return row

    def join(self, one: int, other: int) -> None:
        first, last = sorted((self.find(one), self.find(other)))
        self.parent[last] = first


def grouped(root: Path, items: Sequence[Item], tell: Progress) -> list[Item]:
    """The items with their copies' first id as group; copies are looked for within a class, the same way every time.

    `tell` is called once a picture. Those that can't be decoded stay by themselves.
    """
    made: dict[str, Item] = {}
    for label in sorted({item.label for item in items}):
        own = sorted((item for item in items if item.label == label), key=lambda item: item.id)
        for row, item in enumerate(_rooted(root, own, tell, len(made), len(items))):
            made[own[row].id] = item
    return [made[item.id] for item in items]


def _rooted(root: Path, items: list[Item], tell: Progress, before: int, total: int) -> Iterator[Item]:
    looks = [_look(root, item.id) for item in items]
    seen = [row for row, look in enumerate(looks) if look]
    sights = {row: look[0] for row in seen if (look := looks[row])}
    signatures = np.stack([look[1] for row in seen if (look := looks[row])]) if seen else np.empty((0, 1), np.float32)
    groups = Groups(len(items))
    for place, row in enumerate(seen):
        _join_copies(row, [seen[other] for other in _likest(signatures, place)], sights, groups)
        tell(before + row + 1, total)
    for row, item in enumerate(items):
        yield replace(item, group=items[groups.find(row)].id)


def _join_copies(row: int, candidates: list[int], sights: dict[int, Sight], groups: Groups) -> None:
    failed = 0
    for other in candidates:
        if groups.find(row) == groups.find(other):
            continue
        view = shared_view(sights[row], sights[other])
        if view and view.agrees >= ALIKE:
            groups.join(row, other)
            failed = 0
        elif (failed := failed + 1) == FAILED:
            return


def _likest(signatures: Signatures, row: int) -> list[int]:
    far = np.abs(signatures - signatures[row]).sum(axis=1)
    nearest = np.argsort(far, kind="stable")[: CANDIDATES + 1]
    return [int(other) for other in nearest if other != row]


def _look(root: Path, item_id: str) -> tuple[Sight, Signatures] | None:
    try:
        picture = decode(inside(root, item_id), at_least=SIDE).resize((SIDE, SIDE))
    except Unreadable:
        return None
    small = io.BytesIO()
    picture.convert("L").save(small, "JPEG", quality=95)
    return Sight(small.getvalue()), signature(np.asarray(picture, dtype=np.float32))


def signature(pixels: NDArray[np.float32]) -> Signatures:
    """Float32 [112]: quantiles of R, G, B and of the edges in rings of equal area; [240, 240, 3] of 0 to 255."""
    grey = pixels.mean(axis=2)
    edges = np.hypot(*np.gradient(grey))
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    ring = ((rows**2 + columns**2) / (SIDE / 2) ** 2 * RINGS).astype(int)
    planes = np.concatenate([pixels, 4 * edges[..., None]], axis=2)
    parts = [np.quantile(planes[ring == number], QUANTILES, axis=0).ravel() for number in range(RINGS)]
    return np.concatenate(parts).astype(np.float32)
