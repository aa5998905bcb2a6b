"""Which pictures are one picture: hashes, views and people's words put into groups. Nothing here asks the database."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, product
from typing import Any

from app.prefilter import pdq

Pair = tuple[int, int]

# Chosen on views of two slides; `bench/near_duplicates.py` shows what they find on pictures of others.
AGREES = 0.85  # of a view's structure, alike in both
WHOLE = 0.9  # of the one picture is in the other
PART = 0.45  # of the other, at least: 30 % cut off the width and the height leave 0.49
MOST = 0.6


@dataclass(frozen=True)
class Picture:
    """An image as it is grouped. `pdq` is None where it has no hash, or one that says too little."""

    id: int
    sha256: str
    pdq: int | None


@dataclass(frozen=True)
class Match:
    """Two images, the lower id first, that show one view, and what was seen of it: see `ImageMatch`."""

    images: Pair
    cosine: float
    agrees: float
    covers: tuple[float, float]
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def is_copy(self) -> bool:
        """Whether one picture is nearly all in the other, and that is no larger view of which it is a detail."""
        return self.agrees >= AGREES and max(self.covers) >= WHOLE and min(self.covers) >= PART

    @property
    def is_sure(self) -> bool:
        """Whether nothing much is in one picture alone: half of a collage or of a larger view is."""
        return self.is_copy and min(self.covers) >= MOST


@dataclass(frozen=True)
class Words:
    """What people said of pairs of images, each with the lower id first; of `joined` the newest word first."""

    joined: Sequence[Pair] = ()
    apart: frozenset[Pair] = frozenset()


def pair(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)


def pairs_between(some: Iterable[int], others: Iterable[int]) -> list[Pair]:
    return sorted(pair(one, other) for one, other in product(some, others))


def groups(pictures: Sequence[Picture], words: Words, radius: int, matches: Iterable[Match] = ()) -> list[set[int]]:
    """The images' ids in groups: people's words first, then the nearest two, and so on up to `radius` bits, then those
    of one view, the best match first.

    Without splits these are the connected components. Two groups that a split keeps apart are never joined, so a
    picture near to both sides goes to the nearer one. Of equally near ones the contents decide, not the ids: the
    same pictures and words give the same groups whatever the order of import.
    """
    of: dict[int, set[int]] = {picture.id: {picture.id} for picture in pictures}
    near = _nearest_first(pictures, radius) if words.apart else _in_any_order(pictures, radius, of)
    for one, other in chain(words.joined, near, _best_first(matches, pictures)):
        mine, theirs = of[one], of[other]
        if mine is theirs or _kept_apart(mine, theirs, words.apart):
            continue
        mine |= theirs
        of.update(dict.fromkeys(theirs, mine))
    return list({id(found): found for found in of.values()}.values())


def _in_any_order(pictures: Iterable[Picture], radius: int, of: Mapping[int, set[int]]) -> Iterator[Pair]:
    """Without splits the order is nothing to the groups, and two that are in one already need not be compared."""
    hashed = [(picture.id, picture.pdq) for picture in pictures if picture.pdq is not None]
    for (one, its_hash), (other, other_hash) in combinations(hashed, 2):
        if of[one] is not of[other] and pdq.distance(its_hash, other_hash)[0] <= radius:
            yield one, other


def _nearest_first(pictures: Iterable[Picture], radius: int) -> list[Pair]:
    hashed = [(picture, picture.pdq) for picture in pictures if picture.pdq is not None]
    near: list[tuple[int, list[str], Pair]] = []
    for (one, its_hash), (other, other_hash) in combinations(hashed, 2):
        apart, _ = pdq.distance(its_hash, other_hash)
        if apart <= radius:
            near.append((apart, sorted((one.sha256, other.sha256)), pair(one.id, other.id)))
    return [ids for _, _, ids in sorted(near)]


def _best_first(matches: Iterable[Match], pictures: Iterable[Picture]) -> list[Pair]:
    sha256 = {picture.id: picture.sha256 for picture in pictures}
    among = [match for match in matches if sha256.keys() >= set(match.images)]
    among.sort(key=lambda match: (-match.agrees, sorted(sha256[id_] for id_ in match.images)))
    return [match.images for match in among]


def _kept_apart(some: set[int], others: set[int], apart: frozenset[Pair]) -> bool:
    return bool(apart) and any(pair(one, other) in apart for one, other in product(some, others))


def said_same(image_id: int, joined: Iterable[Pair]) -> set[int]:
    """The images that people said show the same picture as this one, directly or by way of others; itself too."""
    links: Mapping[int, set[int]] = _links(joined)
    found, open_ = {image_id}, [image_id]
    while open_:
        fresh = links.get(open_.pop(), set()) - found
        found |= fresh
        open_ += fresh
    return found


def _links(joined: Iterable[Pair]) -> dict[int, set[int]]:
    links: dict[int, set[int]] = {}
    for one, other in joined:
        links.setdefault(one, set()).add(other)
        links.setdefault(other, set()).add(one)
    return links
