"""What a threshold costs and saves, and how sure that is, from the candidates that people have judged.

Judged candidates are taken as a random sample within each bin of scores: above the line through the queue,
below it through the audit sample. A bin's counts stand for all candidates scored in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, lgamma, log

BINS = 100  # of scores from 0 to 1; the line is set in hundredths
BOUND = 0.02  # the share of good pairs that may be lost
SURE = 0.95
ENOUGH = 149  # judged: with none good among so many, at most 2 % are, 95 % sure


@dataclass(frozen=True)
class Estimate:
    """A share with its interval, from `judged` candidates."""

    share: float
    low: float
    high: float
    judged: int


@dataclass(frozen=True)
class Bin:
    """Candidates scored within one hundredth: all of them, those that people judged, and how many of these are good."""

    scored: int = 0
    judged: int = 0
    good: int = 0


@dataclass(frozen=True)
class Effect:
    """What a line does. `None` where nobody has judged anything that could tell.

    `lost` is the share of all good pairs that fall below the line; `wrong` the share of good ones among the
    dropped; `precision` that among what goes on. `waste` is how many dropped ones would be rejected anyway.
    """

    kept: int
    dropped: int
    lost: Estimate | None
    wrong: Estimate | None
    precision: Estimate | None
    waste: float | None


@dataclass(frozen=True)
class Proposal:
    """The highest line that provably loses no more than the bound, or why none can be proposed."""

    threshold: float | None
    missing: int = 0
    why: str = ""


def effect(bins: Sequence[Bin], threshold: float) -> Effect:
    """What the line at `threshold` (0–1) does to the candidates of `bins` (100, by score)."""
    below, above = _sides(bins, threshold)
    wrong, precision = _good_share(below), _good_share(above)
    kept, dropped = sum(one.scored for one in above), sum(one.scored for one in below)
    waste = dropped * (1 - wrong.share) if wrong else (0.0 if not dropped else None)
    return Effect(kept, dropped, _lost(kept, dropped, wrong, precision), wrong, precision, waste)


def propose(bins: Sequence[Bin], bound: float = BOUND) -> Proposal:
    """The highest line below which at most `bound` of all good pairs lie, 95 % sure.

    The lines are tried from 0 upwards, the first that fails ends it: so trying many costs no certainty
    (fixed-sequence testing; Angelopoulos et al., Learn then Test, 2021).
    """
    judged = sum(one.judged for one in bins)
    if judged < ENOUGH:
        return Proposal(None, ENOUGH - judged, f"{ENOUGH} judged candidates are needed; there are {judged}.")
    best, failed = 0, None
    while best < BINS and failed is None:
        found = effect(bins, (best + 1) / BINS)
        failed = found if _at_worst(found) > bound else None
        best += failed is None
    if best and any(one.scored for one in bins[:best]):
        return Proposal(best / BINS)
    return _not_sure(failed, bound) if failed else Proposal(None, 0, "No candidate has a score.")


def _at_worst(found: Effect) -> float:
    """The share of good pairs lost at most, 95 % sure. Dropped ones that nobody judged may all be good."""
    if found.lost:
        return found.lost.high
    kept = found.kept * found.precision.low if found.precision else 0.0
    return found.dropped / (found.dropped + kept)


def _not_sure(failed: Effect, bound: float) -> Proposal:
    """How many more of the lowest scores people would have to judge, if none of them is good."""
    good = failed.kept * failed.precision.share if failed.precision else 0.0
    if not good:
        return Proposal(None, 0, "Nobody has accepted any candidate above the line.")
    judged = failed.wrong.judged if failed.wrong else 0
    missing = max(1, ceil(-log((1 - SURE) / 2) * failed.dropped / (bound * good)) - judged)
    why = (
        f"No line is sure to lose at most {bound:.0%}: of {failed.dropped:,} candidates with low scores people judged "
        f"{judged:,}. About {missing:,} more are needed, if none of them is good; the audit sample brings them."
    )
    return Proposal(None, missing, why)


def _sides(bins: Sequence[Bin], threshold: float) -> tuple[Sequence[Bin], Sequence[Bin]]:
    line = round(threshold * BINS)
    return bins[:line], bins[line:]


def _good_share(side: Sequence[Bin]) -> Estimate | None:
    """The share of good ones on a side: strata weigh by what they hold; sureness by the effective sample size (Kish).

    A stratum is ten hundredths wide: in narrower ones so few were judged that their weights are noise. Strata that
    nobody judged are taken to be like the side's others.
    """
    seen = [one for one in map(_together, _tenths(side)) if one.judged]
    judged = sum(one.judged for one in seen)
    if not judged:
        return None
    scored = sum(one.scored for one in seen)
    share = sum(one.scored * one.good / one.judged for one in seen) / scored
    effective = scored**2 / sum(one.scored**2 / one.judged for one in seen)
    low, high = exact_interval(share * effective, effective)
    return Estimate(share, low, high, judged)


def _tenths(side: Sequence[Bin]) -> list[Sequence[Bin]]:
    return [side[start : start + 10] for start in range(0, len(side), 10)]


def _together(some: Sequence[Bin]) -> Bin:
    return Bin(sum(one.scored for one in some), sum(one.judged for one in some), sum(one.good for one in some))


def _lost(kept: int, dropped: int, wrong: Estimate | None, precision: Estimate | None) -> Estimate | None:
    """Good ones below the line by all good ones. Each side's bound is one-sided 97.5 %, so both hold 95 % sure."""
    if not dropped:
        return Estimate(0.0, 0.0, 0.0, precision.judged if precision else 0)
    if not wrong or not precision:
        return None

    def share(of_dropped: float, of_kept: float) -> float:
        good = dropped * of_dropped + kept * of_kept
        return dropped * of_dropped / good if good else 0.0

    high = share(wrong.high, precision.low) if precision.low or not wrong.high else 1.0
    return Estimate(
        share(wrong.share, precision.share), share(wrong.low, precision.high), high, wrong.judged + precision.judged
    )


# --- exact intervals without scipy, which would cost a web process 40 MB -------------------------


@lru_cache(maxsize=4096)
def exact_interval(successes: float, trials: float, sure: float = SURE) -> tuple[float, float]:
    """The Clopper–Pearson interval of a share. `successes` and `trials` need not be whole (Korn and Graubard 1998)."""
    tail = (1 - sure) / 2
    low = 0.0 if successes <= 0 else _beta_quantile(tail, successes, trials - successes + 1)
    high = 1.0 if successes >= trials else _beta_quantile(1 - tail, successes + 1, trials - successes)
    return low, high


def _beta_quantile(p: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_cdf(middle, a, b) < p else (low, middle)
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function by its continued fraction (DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(1 - x, b, a)
    if x <= 0:
        return 0.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    tiny, c, d = 1e-300, 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d or tiny)
    fraction = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * fraction
