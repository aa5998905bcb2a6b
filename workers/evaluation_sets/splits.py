"""Splits that are drawn here because a set has none of its own, or one that leaks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from workers.evaluation_sets.reading import Item

SEED = 1  # of PLIP's published runs
TRAIN = 0.7


def shuffled(count: int, seed: int = SEED) -> NDArray[np.int64]:
    """The order that pandas' `sample(frac=1, random_state=seed)` gives to `count` rows."""
    return np.random.RandomState(seed).permutation(count).astype(np.int64)


def drawn(items: Sequence[Item], seed: int = SEED) -> list[Item]:
    """70 % train and 30 % test of single pictures, as PLIP draws them from rows in this order; it ignores groups."""
    train = set(shuffled(len(items), seed)[: int(len(items) * TRAIN)].tolist())
    return [replace(item, split="train" if row in train else "test") for row, item in enumerate(items)]


def by_group(items: Sequence[Item], seed: int = SEED) -> list[Item]:
    """Whole groups on one side: of the groups of each class, drawn in turn, train takes about 70 % of its pictures.

    A group of several classes counts as one of its commonest. A class with two groups or more is on both sides.
    """
    labels: dict[str, Counter[str]] = {}
    for item in items:
        labels.setdefault(item.group, Counter())[item.label] += 1
    of_class: dict[str, list[str]] = {}
    for group in sorted(labels):
        main = min(labels[group].items(), key=lambda pair: (-pair[1], pair[0]))[0]
        of_class.setdefault(main, []).append(group)
    train: set[str] = set()
    for label in sorted(of_class):
        groups = [of_class[label][row] for row in shuffled(len(of_class[label]), seed)]
        sizes = np.cumsum([labels[group].total() for group in groups])
        taken = int(np.searchsorted(sizes, TRAIN * sizes[-1], side="right"))
        train.update(groups[: max(1, min(taken, len(groups) - 1))])
    return [replace(item, split="train" if item.group in train else "test") for item in items]
