"""Retrieval between pictures and captions where several may be right: a post has many pictures, a picture copies.

Positives of a query are all of the other side that share a label with it (the same post, group of duplicates or
caption). An item that scores as high as another is neither before nor after it: ranks are expected ranks.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import hypergeom

from workers.evaluating.statistics import intervals, means_of
from workers.ml.vectors import Vectors

KS = (1, 5, 10, 50)
CHUNK = 1024
TIE = 1e-6  # cosines nearer than this are equal: a product's last bits depend on where in a matrix it is made

Labels = Sequence[Iterable[Hashable]]  # of each item: the posts, groups and captions that it belongs to
Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Ranks:
    """Of each query the expected rank of its first positive, from 1, and how many positives it has; NaN without."""

    rank: Numbers
    positives: Counts
    pool: int


@dataclass(frozen=True)
class Both:
    image_to_text: Ranks
    text_to_image: Ranks


def caption_label(caption: str) -> tuple[str, str]:
    """What equal captions share, whatever their case and blanks."""
    return "caption", " ".join(caption.casefold().split())


def retrieval(
    images: Vectors,
    texts: Vectors,
    labels: Labels,
    authors: Sequence[Hashable],
    ks: Sequence[int] = KS,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of n pairs, row i of `images` [n, d] with row i of `texts` [n, d], all of length 1, as plain JSON.

    `grouped` ranks all pairs, with every item that shares a label as a positive; `strict` only pairs drawn by `seed`
    so that no two share a label, 1:1. Each holds both directions with R@k, `median_rank`, `mrr`, 95 % `intervals` by
    author (bootstrap, n = 1,000), `pool`, and the `chance` of each R@k, and of the others where each query has one
    positive. Raises ValueError without pairs.
    """
    if not len(images) == len(texts) == len(labels) == len(authors) > 0:
        raise ValueError("Retrieval needs as many pictures as captions, labels and authors, and at least one.")
    drawn = one_a_label(labels, seed)
    alone = [(row,) for row in range(len(drawn))]
    strict = ranks(images[drawn], texts[drawn], alone, alone)
    found = {
        "strict": (strict, [authors[row] for row in drawn]),
        "grouped": (ranks(images, texts, labels, labels), authors),
    }
    return {
        name: {
            "image_to_text": figures(both.image_to_text, by, ks, seed),
            "text_to_image": figures(both.text_to_image, by, ks, seed),
        }
        for name, (both, by) in found.items()
    } | {"seed": seed}


def one_a_label(labels: Labels, seed: int) -> NDArray[np.intp]:
    """Rows of which no two share a label, as many as a walk in drawn order takes; in ascending order."""
    taken: set[Hashable] = set()
    rows = []
    for row in np.random.default_rng(seed).permutation(len(labels)):
        own = set(labels[row])
        if taken.isdisjoint(own):
            taken |= own
            rows.append(row)
    return np.sort(np.array(rows, dtype=np.intp))


def ranks(images: Vectors, texts: Vectors, image_labels: Labels, text_labels: Labels) -> Both:
    """Ranks in both directions by cosine, for unit rows [n, d] and [m, d]; one pass over the n × m products.

    With b others strictly better than the best positive, e others and p positives equal to it, the first positive is
    expected at 1 + b + e / (p + 1): half of the equal others where it is the only one.
    """
    positive = _shared(image_labels, text_labels)
    row, column = positive.nonzero()
    cosine = _products(images, texts, row, column)
    image_best, text_best = _best(cosine, row, len(images)), _best(cosine, column, len(texts))
    by_image, by_text = _Counts.of(len(images)), _Counts.of(len(texts))
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        products = images[part] @ texts.T
        by_image.count(products, image_best[part, None], part)
        by_text.count(products.T, text_best[:, None], slice(None))
    return Both(
        by_image.ranks(_level(cosine, row, image_best), positive.sum(axis=1), len(texts)),
        by_text.ranks(_level(cosine, column, text_best), positive.sum(axis=0), len(images)),
    )


def figures(found: Ranks, authors: Sequence[Hashable], ks: Sequence[int] = KS, seed: int = 0) -> dict[str, Any]:
    """R@k, median rank and MRR over the queries that have a positive, with intervals and chance.

    `intervals` resample `authors` [n], not queries; None where there is one author. Raises ValueError without queries.
    """
    has = found.positives > 0
    if not has.any():
        raise ValueError("No query has anything to find.")
    rank, by = found.rank[has], [author for author, one in zip(authors, has, strict=True) if one]
    shares = {f"R@{k}": (rank <= k).astype(np.float64) for k in ks} | {"mrr": 1 / rank}
    between = intervals(means_of(shares), by, seed)
    return {
        **{name: float(row.mean()) for name, row in shares.items()},
        "median_rank": float(np.median(rank)),
        "intervals": {name: None if pair is None else [pair.low, pair.high] for name, pair in between.items()},
        "queries": int(has.sum()),
        "pool": found.pool,
        "chance": {f"R@{k}": _chance(found.positives[has], found.pool, k) for k in ks} | _of_one(found),
    }


# --- parts --------------------------------------------------------------------------------------


def _shared(images: Labels, texts: Labels) -> "csr_array[np.int8]":
    """1 where a picture and a caption share a label, [n, m]."""
    known: dict[Hashable, int] = {}
    made = [_incidence(side, known) for side in (images, texts)]
    for one in made:
        one.resize((one.shape[0], len(known)))
    shared = (made[0] @ made[1].T).tocsr()
    shared.data[:] = 1
    return shared


def _incidence(labels: Labels, known: dict[Hashable, int]) -> "csr_array[np.int32]":
    places = [[known.setdefault(label, len(known)) for label in set(one)] for one in labels]
    ends = np.cumsum([0, *map(len, places)])
    flat = np.array([place for one in places for place in one], dtype=np.int32)
    return csr_array((np.ones(len(flat), np.int32), flat, ends), shape=(len(labels), len(known)))


def _products(images: Vectors, texts: Vectors, row: Counts, column: Counts) -> NDArray[np.float32]:
    """The cosine of each positive pair."""
    parts = [slice(start, start + CHUNK) for start in range(0, len(row), CHUNK)]
    made = [np.einsum("ij,ij->i", images[row[part]], texts[column[part]]) for part in parts]
    return np.concatenate([np.empty(0, np.float32), *made])


def _best(cosine: NDArray[np.float32], item: Counts, count: int) -> NDArray[np.float32]:
    best = np.full(count, -np.inf, np.float32)
    np.maximum.at(best, item, cosine)
    return best


def _level(cosine: NDArray[np.float32], item: Counts, best: NDArray[np.float32]) -> Counts:
    """How many positives of each item are equal to its best."""
    return np.bincount(item[cosine >= best[item] - TIE], minlength=len(best))


@dataclass
class _Counts:
    """Of each query how many items score above its best positive, and how many not below it."""

    above: Counts
    not_below: Counts

    @classmethod
    def of(cls, queries: int) -> "_Counts":
        return cls(np.zeros(queries, np.int64), np.zeros(queries, np.int64))

    def count(self, products: NDArray[np.float32], best: NDArray[np.float32], where: slice) -> None:
        self.above[where] += np.count_nonzero(products > best + TIE, axis=1)
        self.not_below[where] += np.count_nonzero(products >= best - TIE, axis=1)

    def ranks(self, level: Counts, positives: Counts, pool: int) -> Ranks:
        others = np.maximum(self.not_below - self.above - level, 0)
        rank = np.where(positives > 0, 1 + self.above + others / (level + 1), np.nan)
        return Ranks(rank, np.asarray(positives, np.int64), pool)


def _of_one(found: Ranks) -> dict[str, float]:
    """MRR and median rank by chance where each query has one positive: any rank is as likely as another."""
    if (found.positives > 1).any():
        return {}
    places = np.arange(1, found.pool + 1)
    return {"mrr": float((1 / places).mean()), "median_rank": float(np.median(places))}


def _chance(positives: Counts, pool: int, k: int) -> float:
    """Mean probability that k items drawn from the pool hold a positive: k / pool where each query has one."""
    return float(1 - hypergeom.pmf(0, pool, positives, min(k, pool)).mean())
