"""Few-shot: what k labelled pictures a class are worth, over draws of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.evaluating.probing import TooFewLabels, fitted
from workers.ml.vectors import Vectors, l2_normalised

SHOTS = (1, 2, 4, 8, 16)
SEEDS = tuple(range(10))

Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Draw:
    """One head learned from `rows` of the training items: its predictions [m] and probabilities [m, classes]."""

    k: int
    seed: int
    rows: Codes
    predicted: Codes
    probabilities: NDArray[np.float32]
    settings: dict[str, Any]
    converged: bool


def few_shot(
    train: Vectors,
    labels: Codes,
    test: Vectors,
    classes: Sequence[str],
    *,
    shots: Sequence[int] = SHOTS,
    seeds: Sequence[int] = SEEDS,
) -> Iterator[Draw]:
    """One draw after another, k by k and seed by seed: a caller that keeps figures only needs little memory.

    A logistic regression on L2-normalised features with C = width × classes / 100 (CONCH's rule: so few items leave
    none to choose it by). The draw of k holds that of every smaller k of its seed. Raises TooFewLabels, before
    anything is learned, naming the classes with fewer than k items.
    """
    short = too_small(labels, classes, max(shots, default=0))
    if short:
        raise TooFewLabels(f"{max(shots)} a class can't be drawn: {_named(short)}. Choose a smaller k.")
    return _drawn(l2_normalised(train), labels, l2_normalised(test), len(classes), shots, seeds)


def too_small(labels: Codes, classes: Sequence[str], k: int) -> dict[str, int]:
    """The classes with fewer than k items, and how many these have."""
    counts = np.bincount(labels, minlength=len(classes))
    return {name: int(n) for name, n in zip(classes, counts, strict=True) if n < k}


def _drawn(
    train: Vectors, labels: Codes, test: Vectors, count: int, shots: Sequence[int], seeds: Sequence[int]
) -> Iterator[Draw]:
    strength = train.shape[1] * count / 100
    for k in shots:
        for seed in seeds:
            rows = _rows(labels, count, k, seed)
            learned = fitted(train[rows], labels[rows], strength)
            probabilities = np.asarray(learned.model.predict_proba(test), dtype=np.float32)
            predicted = np.asarray(learned.model.predict(test), dtype=np.intp)
            settings = {"C": strength, "k": k, "seed": seed}
            yield Draw(k, seed, rows, predicted, probabilities, settings, learned.converged)


def _rows(labels: Codes, count: int, k: int, seed: int) -> Codes:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:k] for c in range(count)])


def _named(short: dict[str, int]) -> str:
    return ", ".join(f"{name} has {n}" for name, n in short.items())
