"""How sure a figure is, whether two models differ by more than chance, and how far raters agree."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import convolve
from scipy.stats import binom, rankdata
from statsmodels.stats.inter_rater import fleiss_kappa
from statsmodels.stats.proportion import proportion_confint

RESAMPLES, TESTING = 1_000, 10_000  # for an interval, and for a p that is corrected
AT_ONCE = 4_000_000  # weights in memory
SURE = 0.95

Flags = NDArray[np.bool_]
Weights = NDArray[np.float64]
Numbers = NDArray[np.floating[Any]]
Ratings = NDArray[np.integer[Any]]
Statistic = Callable[[Weights], Mapping[str, Any]]  # of weights [n] or [draws, n] to numbers, or [draws] of them
Level = Literal["nominal", "ordinal", "interval"]


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One model less the other on the same items, its interval, and two-sided p that there is none.

    `test` is what gave p, where that is no bootstrap.
    """

    value: float
    interval: Interval | None
    p: float | None
    test: str = ""


# --- bootstrap ----------------------------------------------------------------------------------


def resampled(
    statistic: Statistic, groups: Sequence[Hashable], seed: int, resamples: int = RESAMPLES
) -> dict[str, NDArray[np.float64]]:
    """Each metric of `statistic` [resamples] when whole groups are drawn with replacement (Efron 1979).

    `groups` [n] name each item's independent unit: patient, slide, author. A group drawn twice gives its items the
    weight 2. The same seed draws the same groups, so that two models are compared on the same resamples.
    """
    codes, count = _codes(groups), len(set(groups))
    rng, each = np.random.default_rng(seed), max(1, AT_ONCE // max(len(codes), count))
    parts = []
    for start in range(0, resamples, each):
        rows = min(each, resamples - start)
        drawn = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        parts.append(statistic(weights[:, codes].astype(np.float64)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _codes(groups: Sequence[Hashable]) -> NDArray[np.intp]:
    """Each item's unit as a number, from 0 in the order in which they come."""
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    return np.array([places[group] for group in groups], dtype=np.intp)


def intervals(
    statistic: Statistic, groups: Sequence[Hashable], seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval | None]:
    """95 % percentile interval of each metric; None for one that no resample gives, or where there is one group."""
    drawn = resampled(statistic, groups, seed, resamples)
    return {name: _interval(values) if len(set(groups)) > 1 else None for name, values in drawn.items()}


def differences(
    one: Statistic, other: Statistic, groups: Sequence[Hashable], seed: int, resamples: int = TESTING
) -> dict[str, Difference]:
    """Paired bootstrap of `one` less `other`, which are statistics of the same items [n] in the same order.

    p is twice the smaller share of resamples on either side of 0, none of them counted as certain (Davison and
    Hinkley 1997, §4.4), so never below 2 / (resamples + 1). Where there is one group, neither interval nor p.
    Raises ValueError when the two give other metrics.
    """
    equal = np.ones(len(groups))
    first, second = one(equal), other(equal)
    if first.keys() != second.keys():
        raise ValueError("Only the same metrics of the same items can be compared.")

    if len(set(groups)) < 2:
        return {name: Difference(float(first[name] - second[name]), None, None) for name in first}

    def less(weights: Weights) -> dict[str, Any]:
        its = other(weights)
        return {name: value - its[name] for name, value in one(weights).items()}

    drawn = resampled(less, groups, seed, resamples)
    return {name: _difference(first[name] - second[name], values) for name, values in drawn.items()}


def mean_of(values: Numbers) -> Statistic:
    """The statistic of a metric that is a mean over items [n]: accuracy, Brier, R@k."""
    return means_of({"mean": values})


def means_of(values: Mapping[str, Numbers]) -> Statistic:
    """The same of several metrics [n] by name."""
    exact = np.stack([np.asarray(one, dtype=np.float64) for one in values.values()], axis=1)

    def of(weights: Weights) -> dict[str, Any]:
        means = weights @ exact / weights.sum(axis=-1, keepdims=True)
        return {name: means[..., at] for at, name in enumerate(values)}

    return of


def _interval(values: NDArray[np.float64]) -> Interval | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.percentile(known, [50 * (1 - SURE), 50 * (1 + SURE)])
    return Interval(float(low), float(high))


def _difference(value: float, drawn: NDArray[np.float64]) -> Difference:
    known = drawn[np.isfinite(drawn)]
    if not len(known) or not np.isfinite(value):
        return Difference(float(value), None, None)
    tail = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return Difference(float(value), _interval(known), min(1.0, 2 * (tail + 1) / (len(known) + 1)))


# --- two models, many sets ----------------------------------------------------------------------


def mcnemar(one: Flags, other: Flags, groups: Sequence[Hashable]) -> float:
    """Exact two-sided p that two models are right equally often: a sign-flip test over independent units.

    `one` and `other` [n] say on which of the same items they are right, `groups` [n] name each item's unit. Were the
    models alike, any unit might as well have had their answers exchanged: p is the share of all such exchanges that
    set them as far apart. With one item a unit this is McNemar's exact test. Raises ValueError for other lengths.
    """
    if not len(one) == len(other) == len(groups):
        raise ValueError(f"The models answered {len(one)} and {len(other)} items; they must be the same.")
    apart = np.bincount(_codes(groups), weights=one.astype(np.float64) - other).round().astype(np.int64)
    sizes, counts = np.unique(np.abs(apart[apart != 0]), return_counts=True)
    chances = np.ones(1)  # of each sum over the units that favour the one
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        of_size = np.zeros(size * count + 1)
        of_size[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = convolve(chances, of_size)
    tail = float(chances[(len(chances) - 1 + abs(int(apart.sum()))) // 2 :].sum())
    least = 2.0 ** (1 - int(counts.sum()))  # all or none exchanged; a convolution may round it off
    return min(1.0, max(least, 2 * tail))


@dataclass(frozen=True)
class DeLong:
    """Two AUROCs on the same items, and whether they differ."""

    one: float
    other: float
    error: float  # standard error of the difference
    p: float


def delong(positive: Flags, one: Numbers, other: Numbers, groups: Sequence[Hashable]) -> DeLong:
    """DeLong's test by midranks (DeLong et al. 1988; Sun and Xu 2014), its variance over units (Obuchowski 1997).

    `positive`, the scores `one` and `other`, and each item's independent unit `groups` are [n] of the same items. With
    one item a unit it is DeLong's own. Raises ValueError unless both classes have two units each.
    """
    codes, sides = _codes(groups), (positive, ~positive)
    units = [len(np.unique(codes[side])) for side in sides]
    if min(units) < 2:
        raise ValueError("DeLong's test needs two independent units of each class.")
    placed = list(zip(*(_placements(positive, scores) for scores in (one, other)), strict=True))
    areas = [float(some.mean()) for some in placed[0]]
    apart = areas[0] - areas[1]
    ours, theirs = (
        np.bincount(codes[side], weights=some[0] - some[1] - apart, minlength=codes.max() + 1) / side.sum()
        for side, some in zip(sides, placed, strict=True)
    )
    terms = [(units[0], ours @ ours), (units[1], theirs @ theirs), (codes.max() + 1, 2 * ours @ theirs)]
    error = sqrt(max(0.0, sum(float(product) * count / (count - 1) for count, product in terms)))
    p = erfc(abs(apart) / error / sqrt(2)) if error > 1e-12 else float(abs(apart) < 1e-12)
    return DeLong(areas[0], areas[1], error, p)


def _placements(
    positive: Flags,
    scores: Numbers,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each positive the share of negatives below it; of each negative the share of positives above it."""
    among_all = rankdata(scores)
    ours, theirs = scores[positive], scores[~positive]
    return (
        (among_all[positive] - rankdata(ours)) / len(theirs),
        1 - (among_all[~positive] - rankdata(theirs)) / len(ours),
    )


def share_interval(count: int, n: int, method: Literal["exact", "wilson"] = "exact") -> Interval:
    """95 % interval of a share: exact (Clopper and Pearson 1934), or Wilson's (1927)."""
    low, high = proportion_confint(count, n, alpha=1 - SURE, method="beta" if method == "exact" else "wilson")
    return Interval(float(low), float(high))


# --- raters -------------------------------------------------------------------------------------
# Ratings are [items, raters] of category numbers from 0 on; -1 where a rater said nothing of an item.


def krippendorff_alpha(ratings: Ratings, level: Level = "nominal") -> float | None:
    """α = 1 − observed / expected disagreement, for any raters and gaps (Krippendorff 2011).

    None when all that is rated is one category, or no item has two ratings.
    """
    counts = _counts(ratings)
    counts = counts[counts.sum(axis=1) > 1]
    each = counts.sum(axis=1)
    pairs = (counts / (each - 1)[:, None]).T @ counts - np.diag((counts / (each - 1)[:, None]).sum(axis=0))
    totals = pairs.sum(axis=1)
    apart = _distances(totals, level)
    expected = float((apart * np.outer(totals, totals)).sum())
    return 1 - float((apart * pairs).sum()) * (float(totals.sum()) - 1) / expected if expected else None


def _distances(totals: NDArray[np.float64], level: Level) -> NDArray[np.float64]:
    places = np.arange(len(totals), dtype=np.float64)
    if level == "nominal":
        return 1 - np.eye(len(totals))
    if level == "ordinal":  # how many ratings lie between two categories
        places = np.cumsum(totals) - totals / 2
    return np.asarray(np.subtract.outer(places, places) ** 2)


def gwet_ac1(ratings: Ratings, categories: int | None = None) -> float | None:
    """AC1 for any raters and gaps, which does not fall when one category is nearly all (Gwet 2008; 2014).

    `categories` is how many could be said, where some never were. None when no item has two ratings, or only one
    category could be said.
    """
    counts = _counts(ratings, categories)
    each = counts.sum(axis=1)
    said, twice = counts[each > 0] / each[each > 0, None], each > 1
    if not twice.any() or counts.shape[1] < 2:
        return None
    both = counts[twice] * (counts[twice] - 1)
    observed = float((both.sum(axis=1) / (each[twice] * (each[twice] - 1))).mean())
    share = said.mean(axis=0)
    expected = float((share * (1 - share)).sum()) / (counts.shape[1] - 1)
    return float((observed - expected) / (1 - expected))


def fleiss(ratings: Ratings) -> float | None:
    """Fleiss' κ of items that all raters judged; None where these are all one category, or there are none."""
    counts = _counts(ratings[(ratings >= 0).all(axis=1)])
    if len(counts) == 0 or (counts.sum(axis=0) > 0).sum() < 2:
        return None
    return float(fleiss_kappa(counts))


def _counts(ratings: Ratings, categories: int | None = None) -> NDArray[np.float64]:
    """How many raters put an item into a category [items, categories]."""
    highest = int(ratings.max(initial=-1)) + 1
    if categories is not None and highest > categories:
        raise ValueError(f"A rating names category {highest - 1}, but there are only {categories}.")
    return np.stack(
        [(ratings == c).sum(axis=1) for c in range(categories or max(highest, 1))], axis=1, dtype=np.float64
    )
