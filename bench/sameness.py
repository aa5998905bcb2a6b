"""Finding the copies of a picture among made PDQ hashes, and grouping it, against the methods of `imagededup`."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import make_url

from app.prefilter import pdq, sameness
from bench.figures import Figure, percentiles
from bench.ground import Ground
from bench.processes import in_fresh_process
from tests.services import psycopg_url

COUNTS = (45_000, 1_000_000)
QUERIES = 300
SLOW_QUERIES = 20  # of what takes a tenth of a second or more
RADIUS = 31
SEED = 20418

T = TypeVar("T")

# One post shows them all; grouping asks of a candidate only that it is not withdrawn.
CANDIDATES = """
INSERT INTO source (name, kind, consent) VALUES ('made', 'account', 'agreed');
INSERT INTO import (source_id, origin, location) VALUES (1, 'made/', '{}');
INSERT INTO post (platform, natural_key, source_id) VALUES ('instagram', 'made', 1);
INSERT INTO candidate (post_id, image_id, import_id, position) SELECT 1, id, 1, id FROM image ORDER BY id;
"""


def run(ground: Ground) -> list[Figure]:
    """Figures at each count; the methods of `imagededup` at the first, where they still end."""
    few, many = (ground.count(count, least=2000) for count in COUNTS)
    upright, bk_tree, one_by_one = of_imagededup(made(few))
    small, large = (at(ground, count) for count in (few, many))
    compared = f"{bk_tree:.0f} ms by a BK-tree in the same eight orientations"
    alone = f"{upright:.0f} ms by the BK-tree, {one_by_one:.2g} ms by a compiled loop: both upright only"
    return [
        Figure(f"Copies of a picture among {few:,} hashes, any orientation: p50", small.search, "ms", compared),
        Figure("Times as fast as imagededup's BK-tree, all orientations", bk_tree / small.search, "", at_least=10),
        Figure("Times as fast as it is upright, with eight times the work", upright / small.search, "", alone),
        Figure(f"The same among {many:,}: p50", large.search, "ms", f"{many / few:.0f} times as many hashes"),
        Figure("Its time over that of the fewer", large.search / small.search, "times", at_most=many / few),
        Figure(f"Grouping a picture among {few:,}: p50", small.group, "ms"),
        Figure(f"Grouping a picture among {many:,}: p50", large.group, "ms"),
        Figure("Copies that a comparison with every hash finds beyond it", small.wrong + large.wrong, "", at_most=0),
    ]


def made(count: int) -> list[int]:
    """Random hashes; a tenth are copies of another one, in some orientation and with up to 40 bits changed."""
    chance = random.Random(SEED)
    hashes = [chance.getrandbits(pdq.BITS) for _ in range(count - count // 10)]
    for _ in range(count // 10):
        view = chance.choice(pdq.views(chance.choice(hashes)))
        flips = chance.sample(range(pdq.BITS), chance.randint(0, 40))
        hashes.append(view ^ sum(1 << bit for bit in flips))
    return hashes


# --- ours ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """p50 in ms of searching and of grouping, and how many sets of copies differ from those of a full comparison."""

    search: float
    group: float
    wrong: int


def at(ground: Ground, count: int) -> Found:
    hashes = made(count)
    with ground.place() as environment:
        fill(environment["DATABASE_URL"], hashes)
        return in_fresh_process(environment, measured, hashes, ground.count(QUERIES, least=20))


def fill(url: str, hashes: list[int]) -> None:
    """Images with these hashes, numbered from 1, each with a candidate."""
    with psycopg.connect(psycopg_url(make_url(url)), autocommit=True) as connection:
        columns = "sha256, source_sha256, width, height, size, pdq, pdq_quality"
        with connection.cursor().copy(f"COPY image ({columns}) FROM STDIN") as copy:
            for number, hash_ in enumerate(hashes):
                sha256 = f"{number:064x}"
                copy.write_row((sha256, sha256, 600, 600, 40_000, pdq.to_text(hash_), 100))
        for statement in CANDIDATES.strip().split(";\n"):
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE image, candidate")


def measured(hashes: list[int], queries: int) -> Found:
    from app.db import transaction

    chosen = random.Random(SEED + 1).sample(range(len(hashes) * 9 // 10, len(hashes)), queries)
    with transaction() as session:
        found, search = timed(lambda n: sameness.near(session, hashes[n], RADIUS), chosen)
        _, group = timed(lambda n: sameness.regroup(session, {n + 1}, RADIUS), chosen)
        session.rollback()
    words = as_words(hashes)
    checked = chosen[:50]
    truth = [set(np.flatnonzero(distances(words, hashes[n]) <= RADIUS) + 1) for n in checked]
    wrong = sum(mine != its for mine, its in zip(found, truth, strict=False))
    return Found(search, group, wrong)


def timed(act: Callable[[int], T], numbers: list[int]) -> tuple[list[T], float]:
    """What `act` gives for each number, and the p50 of its time in ms."""
    found, seconds = [], []
    for number in numbers:
        before = time.perf_counter()
        found.append(act(number))
        seconds.append(time.perf_counter() - before)
    return found, 1000 * percentiles(seconds)[0]


def as_words(hashes: list[int]) -> NDArray[np.uint64]:
    """Hashes as uint64 [n, 4]."""
    return np.frombuffer(b"".join(hash_.to_bytes(32) for hash_ in hashes), dtype=np.uint64).reshape(-1, 4)


def distances(words: NDArray[np.uint64], hash_: int) -> NDArray[np.int64]:
    """Bits between a hash and each of `words`, at the orientation where they differ least: int64 [n]."""
    views = as_words(list(pdq.views(hash_)))
    return np.min([np.bitwise_count(words ^ view).sum(axis=1, dtype=np.int64) for view in views], axis=0)


# --- imagededup's, said again -------------------------------------------------------------------


@dataclass
class Node:
    """A node of imagededup 0.3.3's BK-tree; its children by their distance."""

    hash: int
    children: dict[int, "Node"]


def of_imagededup(hashes: list[int]) -> tuple[float, float, float]:
    """Its two ways to search, said again; p50 in ms a query at the same radius.

    The BK-tree upright, then asked once for each of the eight orientations as ours looks at them; the loop upright.
    Its BK-tree compares bits of hexadecimal text, character by character; here it has Python's own bit count, which
    is many times as fast. Its compiled loop takes 64 bits only; NumPy's stands for it, over four words a hash.
    """
    root = Node(hashes[0], {})
    for hash_ in hashes[1:]:
        insert(root, hash_)
    chosen = random.Random(SEED + 1).sample(hashes, SLOW_QUERIES)
    words = as_words(hashes)
    _, tree = timed(lambda n: set(search(root, chosen[n])), list(range(SLOW_QUERIES)))
    _, turned = timed(
        lambda n: {hit for view in pdq.views(chosen[n]) for hit in search(root, view)}, [*range(SLOW_QUERIES)]
    )
    _, loop = timed(lambda n: scan(words, chosen[n]), list(range(SLOW_QUERIES)))
    return tree, turned, loop


def insert(root: Node, hash_: int) -> None:
    node = root
    while child := node.children.get(apart := (node.hash ^ hash_).bit_count()):
        node = child
    node.children[apart] = Node(hash_, {})


def search(root: Node, hash_: int) -> Iterator[int]:
    open_ = [root]
    while open_:
        node = open_.pop()
        apart = (node.hash ^ hash_).bit_count()
        if apart <= RADIUS:
            yield node.hash
        near = range(apart - RADIUS, apart + RADIUS + 1)
        open_ += [child for its, child in node.children.items() if its in near]


def scan(words: NDArray[np.uint64], hash_: int) -> set[int]:
    apart = np.bitwise_count(words ^ as_words([hash_])).sum(axis=1, dtype=np.int64)
    return set(np.flatnonzero(apart <= RADIUS))
