"""How well a model agrees with people, and two of them beside each other. Nothing here asks the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from app.prefilter.proof import Estimate, exact_interval

RELEVANT = 0.5  # "unsure" counts as relevant: it goes on to a reviewer


def agreement(said: Sequence[tuple[float, bool]]) -> Estimate | None:
    """The share of (relevance, accepted by people) that agree, with its exact 95 % interval; None for none."""
    if not said:
        return None
    agreed = sum((score >= RELEVANT) == accepted for score, accepted in said)
    low, high = exact_interval(agreed, len(said))
    return Estimate(agreed / len(said), low, high, len(said))


@dataclass(frozen=True)
class Difference:
    """By how much the first agrees more often than the second, on the same candidates, with its 95 % interval.

    `first` and `second` are how often only that one agreed.
    """

    share: float
    low: float
    high: float
    first: int
    second: int
    judged: int

    @property
    def is_sure(self) -> bool:
        return self.low > 0 or self.high < 0


def paired(both: Sequence[tuple[bool, bool]]) -> Difference | None:
    """From pairs of (first agreed, second agreed). The interval is exact given how many pairs differ (McNemar)."""
    if not both:
        return None
    first = sum(one and not other for one, other in both)
    second = sum(other and not one for one, other in both)
    differ = first + second
    low, high = exact_interval(first, differ) if differ else (0.5, 0.5)
    scale = differ / len(both)
    return Difference(
        (first - second) / len(both), (2 * low - 1) * scale, (2 * high - 1) * scale, first, second, len(both)
    )


def quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The lower quartile, the median and the upper one, interpolated; None for no values."""
    if not values:
        return None
    first, median, third = quantiles([*values] if len(values) > 1 else [*values] * 2, n=4, method="inclusive")
    return first, median, third
