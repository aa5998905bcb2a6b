"""What a task made of its items, before it is written: figures for the page, and a row for each item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.evaluating.metrics import Codes, Figures, Probabilities, Statistic, figures, statistic
from workers.evaluating.statistics import Interval, intervals
from workers.ml.vectors import Vectors

Skipped = list[tuple[str, str]]  # (item, why)


@dataclass
class Draw:
    """One answer to all items: of a prompt ensemble, of a head, of one head of several. Codes are places in classes."""

    predicted: Codes
    probabilities: Probabilities | None
    k: int = 0
    seed: int = 0


@dataclass
class Answers:
    """What was answered to the items [n] of a set: their classes, the draws, the features they were given by."""

    truth: Codes
    draws: list[Draw]
    classes: list[str]
    vectors: Vectors
    ordered: bool

    def values(self, rows: NDArray[np.bool_]) -> dict[str, float]:
        """Each figure's mean over draws on some of the items, under the names that the page has for it."""
        if not rows.any():
            return {}
        by_name: dict[str, list[float]] = {}
        for one in self.draws:
            scores = None if one.probabilities is None else one.probabilities[rows]
            found = figures(self.truth[rows], one.predicted[rows], self.classes, scores, ordered=self.ordered)
            for name, value in found.values.items():
                if value is not None:
                    by_name.setdefault(f"{name}.k{one.k}" if one.k else name, []).append(value)
        return {name: sum(some) / len(some) for name, some in by_name.items()}


class Measure(Protocol):
    """Items by their features [n, d], and each figure's value on some of them."""

    vectors: Vectors

    def values(self, rows: NDArray[np.bool_]) -> dict[str, float]: ...


@dataclass
class Outcome:
    """`metrics` are for the row, `columns` the table of predictions, in the order of its items."""

    metrics: dict[str, Any]
    columns: dict[str, list[Any]]
    skipped: Skipped = field(default_factory=list)
    answers: Answers | None = None
    search: Measure | None = None
    learned_from: list[str] = field(default_factory=list)  # items that a head learned from
    pairs: list[list[Any]] = field(default_factory=list)  # of a search, each item's author, post and group
    files: dict[str, str] = field(default_factory=dict)  # of each item used or learned from, SHA-256 of what was seen


def mean_statistic(truth: Codes, draws: list[Draw], count: int, *, ordered: bool = False) -> Statistic:
    """Of item weights, each metric's mean over the draws; areas only of a single one, for they take the longest."""
    if len(draws) == 1:
        return statistic(truth, draws[0].predicted, count, draws[0].probabilities, ordered=ordered)
    each = [statistic(truth, one.predicted, count, ordered=ordered) for one in draws]

    def of(weights: Any) -> dict[str, Any]:
        found = [one(weights) for one in each]
        return {name: sum(row[name] for row in found) / len(found) for name in found[0]}

    return of


def classified(
    truth: Codes,
    draws: list[Draw],
    classes: list[str],
    groups: list[str],
    *,
    ordered: bool,
    seed: int,
    suffix: str = "",
) -> dict[str, Any]:
    """Figures of draws with 95 % intervals over the independent units, as plain JSON.

    Where there are several draws a figure is their mean; the tables by class and of confusion are of the first.
    """
    each = [figures(truth, one.predicted, classes, one.probabilities, ordered=ordered) for one in draws]
    between = intervals(mean_statistic(truth, draws, len(classes), ordered=ordered), groups, seed)
    first = each[0]
    found = {}
    for name, value in first.values.items():
        values = [one.values[name] for one in each]
        if value is not None and name not in ("majority", "chance") and None not in values:
            mean = sum(one for one in values if one is not None) / len(values)
            found[name + suffix] = plain(mean, between.get(name))
    guessed = by_guessing(first)
    return {
        "n": first.n,
        "groups": len(set(groups)),
        "classes": classes,
        "figures": found,
        "chance": {name + suffix: value for name, value in guessed.items() if name + suffix in found},
        "undefined": {name: why for name, why in first.undefined.items() if name + suffix not in found},
        "majority": first.values["majority"],
        "per_class": [vars(one) for one in first.per_class],
        "confusion": first.confusion,
    }


def by_guessing(found: Figures) -> dict[str, float]:
    """What naming each class equally often, whatever the item, is expected to give; F1 that of the expected counts."""
    count, shares = len(found.per_class), [one.n / found.n for one in found.per_class]
    f1 = [2 * share / (count * share + 1) for share in shares]
    by_f1 = {"macro_f1": sum(f1) / count, "weighted_f1": sum(a * b for a, b in zip(f1, shares, strict=True))}
    right, areas = ("accuracy", "balanced_accuracy"), ("auroc", "auroc_ovo", "auroc_ovr")
    none = dict.fromkeys(("kappa", "quadratic_kappa"), 0.0)
    return dict.fromkeys(right, 1 / count) | by_f1 | none | dict.fromkeys(areas, 0.5)


def plain(value: float, between: Interval | None) -> dict[str, float | None]:
    return {"value": value, "low": between.low if between else None, "high": between.high if between else None}


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several sets of figures under names of their own as one; what is no figure is that of the last."""
    whole = dict(parts[-1])
    for name in ("figures", "chance", "undefined"):
        whole[name] = {key: value for part in parts for key, value in part[name].items()}
    return whole
