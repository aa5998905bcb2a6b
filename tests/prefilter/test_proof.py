"""Exact intervals against scipy and known answers; what a line costs; a proposal that holds as often as it says."""

import random

import pytest
from scipy.stats import beta

from app.prefilter.proof import BINS, ENOUGH, Bin, effect, exact_interval, propose


def test_the_interval_is_clopper_pearsons() -> None:
    low, high = exact_interval(297, 300)
    assert (round(low, 5), round(high, 5)) == (0.97106, 0.99793)
    assert exact_interval(0, 10)[0] == 0.0
    assert exact_interval(10, 10)[1] == 1.0


@pytest.mark.parametrize(("k", "n"), [(1, 20), (3.5, 41.2), (19, 20), (500, 30_000), (29_990, 30_000), (0, 149)])
def test_the_interval_agrees_with_scipy_also_for_parts_of_a_trial(k: float, n: float) -> None:
    low, high = exact_interval(k, n)
    assert low == pytest.approx(beta.ppf(0.025, k, n - k + 1) if k else 0.0, abs=1e-9)
    assert high == pytest.approx(beta.ppf(0.975, k + 1, n - k), abs=1e-9)


def bins(**parts: tuple[int, int, int]) -> list[Bin]:
    """`bins(b10=(100, 10, 1))`: in the bin from 0.10, 100 scored, 10 judged, 1 good."""
    return [Bin(*parts.get(f"b{number}", (0, 0, 0))) for number in range(BINS)]


def test_a_line_is_weighed_by_what_each_bin_holds() -> None:
    found = effect(bins(b10=(1000, 100, 1), b80=(500, 500, 400)), 0.5)
    assert (found.kept, found.dropped) == (500, 1000)
    assert found.wrong
    assert found.wrong.share == pytest.approx(0.01)
    assert found.precision
    assert found.precision.share == pytest.approx(0.8)
    assert found.lost
    assert found.lost.share == pytest.approx(10 / 410)
    assert found.lost.low < found.lost.share < found.lost.high
    assert found.waste == pytest.approx(990)


def test_nobody_looked_below_the_line_so_nothing_is_said_of_what_is_lost() -> None:
    found = effect(bins(b10=(1000, 0, 0), b80=(500, 500, 400)), 0.5)
    assert found.lost is None
    assert found.waste is None


def test_with_too_few_judged_no_line_is_proposed_and_the_missing_are_counted() -> None:
    proposal = propose(bins(b10=(1000, 100, 0), b80=(40, 40, 40)))
    assert (proposal.threshold, proposal.missing) == (None, ENOUGH - 140)


def test_a_blind_spot_below_the_line_is_named() -> None:
    proposal = propose(bins(b0=(1000, 0, 0), b80=(400, 400, 300)))
    assert proposal.threshold is None
    assert "of 1,000 candidates with low scores people judged 0" in proposal.why
    assert proposal.missing > 100


def test_a_line_is_proposed_between_the_bad_and_the_good() -> None:
    parts = {f"b{number}": (400, 80, 0) for number in range(40)} | {f"b{n}": (100, 50, 48) for n in range(60, 100)}
    proposal = propose(bins(**parts))
    assert proposal.threshold is not None
    assert 0.4 <= proposal.threshold <= 0.62


def test_the_proposed_line_keeps_its_promise_at_least_as_often_as_it_says() -> None:
    """100 made streams with known truth; `bench/thresholds.py` runs 1,000 of several kinds."""
    from bench.thresholds import stream

    rng = random.Random(20418)
    lost = [share for share in (stream(rng, 6000, audited=0.1) for _ in range(100)) if share is not None]
    assert len(lost) >= 75
    assert sum(share <= 0.02 for share in lost) >= 0.95 * len(lost)
