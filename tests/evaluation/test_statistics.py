"""Intervals, tests and agreement against known answers, brute force, and how often they are right."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

from app.evaluation.matrix import holm
from workers.evaluating import statistics
from workers.evaluating.metrics import statistic
from workers.evaluating.statistics import (
    delong,
    differences,
    fleiss,
    gwet_ac1,
    intervals,
    krippendorff_alpha,
    mcnemar,
    mean_of,
    resampled,
    share_interval,
)

# --- raters: the answers that SCIENCE gives -----------------------------------------------------

PREVALENT = np.array([[1, 1]] * 90 + [[1, 0]] * 5 + [[0, 1]] * 5)
NESTED = np.array([[0, 0]] * 5 + [[1, 0]] * 3 + [[1, 1]] * 92)
GAPS = np.array(  # four raters, twelve units (Krippendorff 2011, example C)
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, -1, -1, -1],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, -1, 3],
        [-1, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, -1],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, -1],
    ]
).T


def test_kappa_falls_where_one_answer_prevails_and_ac1_does_not() -> None:
    assert cohen_kappa_score(*PREVALENT.T) == pytest.approx(-0.0526, abs=5e-5)
    assert gwet_ac1(PREVALENT) == pytest.approx(0.8895, abs=5e-5)


def test_nested_raters_give_the_known_agreement() -> None:
    assert gwet_ac1(NESTED) == pytest.approx(0.96585, abs=5e-6)
    assert fleiss(NESTED) == pytest.approx(0.75319, abs=5e-6)
    assert krippendorff_alpha(NESTED) == pytest.approx(0.75442, abs=5e-6)


def test_alpha_of_raters_with_gaps_is_the_published_one_at_each_level() -> None:
    assert krippendorff_alpha(GAPS) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(GAPS, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(GAPS, "interval") == pytest.approx(0.849, abs=5e-4)


def test_agreement_that_has_no_value_has_none() -> None:
    alike = np.ones((5, 3), dtype=int)
    lonely = np.array([[0, -1], [-1, 1]])
    assert krippendorff_alpha(alike) is None
    assert fleiss(alike) is None
    assert gwet_ac1(alike) == 1, "category 0 could be said too"
    assert krippendorff_alpha(lonely) is None
    assert gwet_ac1(lonely) is None
    assert fleiss(lonely) is None


def test_a_rating_outside_the_categories_is_refused() -> None:
    with pytest.raises(ValueError, match="category 5"):
        gwet_ac1(GAPS, categories=4)


# --- shares -------------------------------------------------------------------------------------


def test_the_interval_of_a_share_is_the_known_one() -> None:
    assert share_interval(297, 300) == pytest.approx((0.97106, 0.99793), abs=5e-6)
    assert share_interval(297, 300, "wilson") == pytest.approx((0.97102, 0.99659), abs=5e-6)


# --- bootstrap ----------------------------------------------------------------------------------


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(20418)
    held = 0
    for round_ in range(200):
        found = intervals(mean_of(rng.random(200) < 0.7), range(200), seed=round_, resamples=300)["mean"]
        held += found is not None and found.low <= 0.7 <= found.high
    assert 180 <= held <= 199, "95 % within what 200 rounds tell"


def test_items_of_one_group_stay_together() -> None:
    values = np.repeat([0.0, 1.0, 1.0, 0.0], 50)
    apart = intervals(mean_of(values), range(200), seed=1)["mean"]
    grouped = intervals(mean_of(values), np.repeat(["a", "b", "c", "d"], 50).tolist(), seed=1)["mean"]
    assert apart is not None
    assert grouped is not None
    assert apart.high - apart.low < 0.2
    assert grouped.high - grouped.low > 0.7


def test_a_resample_is_what_drawing_items_one_by_one_gives() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    groups = rng.integers(0, 20, 90).tolist()
    quick = resampled(statistic(truth, said, 3), groups, seed=4, resamples=20)["macro_f1"]
    names = list(dict.fromkeys(groups))
    again = np.random.default_rng(4)
    for value in quick:
        drawn = [names[place] for place in again.integers(0, len(names), len(names))]
        rows = np.concatenate([np.flatnonzero(np.array(groups) == name) for name in drawn])
        assert value == pytest.approx(statistic(truth[rows], said[rows], 3)(np.ones(len(rows)))["macro_f1"])


def test_the_same_seed_gives_the_same_interval_and_another_does_not() -> None:
    values = mean_of(np.random.default_rng(0).random(80))
    assert intervals(values, range(80), 1) == intervals(values, range(80), 1)
    assert intervals(values, range(80), 1) != intervals(values, range(80), 2)


def test_one_group_has_no_interval() -> None:
    assert intervals(mean_of(np.arange(5)), ["slide"] * 5, 1) == {"mean": None}


def test_resamples_that_lost_a_class_are_left_out_of_its_interval() -> None:
    truth = np.array([0] * 30 + [1])
    scores = np.stack([np.linspace(1, 0, 31), np.linspace(0, 1, 31)], axis=1)
    found = intervals(statistic(truth, scores.argmax(axis=1), 2, scores), range(31), 3)
    assert found["auroc"] == (1, 1)


# --- two models ---------------------------------------------------------------------------------


def test_mcnemar_is_the_exact_binomial_test_of_what_one_alone_has_right() -> None:
    one = np.array([True] * 50 + [True] * 9 + [False] * 2)
    other = np.array([True] * 50 + [False] * 9 + [True] * 2)
    assert mcnemar(one, other, range(61)) == pytest.approx(binomtest(2, 11).pvalue, abs=1e-12)
    assert mcnemar(one, other, range(61)) == pytest.approx(exact_mcnemar([[50, 9], [2, 0]]).pvalue, abs=1e-12)
    assert mcnemar(one, one, range(61)) == 1


def by_every_exchange(one: NDArray[np.bool_], other: NDArray[np.bool_], groups: Sequence[int]) -> float:
    """How many of the exchanges of units set two models as far apart as they are."""
    apart = [sum(int(one[i]) - int(other[i]) for i in np.flatnonzero(np.array(groups) == g)) for g in set(groups)]
    sums = [sum(s * d for s, d in zip(signs, apart, strict=True)) for signs in product((1, -1), repeat=len(apart))]
    return sum(abs(made) >= abs(sum(apart)) for made in sums) / len(sums)


def test_units_of_several_items_are_exchanged_as_a_whole() -> None:
    one, other = np.array([True] * 4 + [False]), np.array([False] * 4 + [True])
    groups = ["a", "a", "a", "b", "c"]
    assert mcnemar(one, other, groups) == pytest.approx(6 / 8), "of ±3 ±1 ±1, six of eight sums reach 3"
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other, units = rng.random(40) < 0.7, rng.random(40) < 0.5, rng.integers(0, 9, 40).tolist()
        assert mcnemar(one, other, units) == pytest.approx(by_every_exchange(one, other, units), abs=1e-12)


def test_an_item_that_is_copied_within_its_unit_tells_nothing_more() -> None:
    rng = np.random.default_rng(7)
    positive, groups = rng.random(60) < 0.5, np.arange(60)
    one, other = positive + rng.normal(size=60), positive * 0.2 + rng.normal(size=60)
    right = [(scores > 0.5) == positive for scores in (one, other)]
    thrice = [np.repeat(values, 3) for values in (positive, one, other, groups, *right)]
    assert mcnemar(*thrice[4:], thrice[3].tolist()) == pytest.approx(mcnemar(*right, groups.tolist()))
    assert mcnemar(*thrice[4:], range(180)) < mcnemar(*right, groups.tolist()) / 10
    copied, once = delong(*thrice[:3], thrice[3].tolist()), delong(positive, one, other, groups.tolist())
    assert (copied.one, copied.error, copied.p) == pytest.approx((once.one, once.error, once.p))
    assert delong(*thrice[:3], range(180)).p < once.p / 2


def test_a_test_over_units_is_right_as_often_as_it_says_where_one_over_items_is_not() -> None:
    rng, units = np.random.default_rng(31), np.repeat(np.arange(40), 10)
    over_units, over_items = [], []
    for _ in range(200):
        ability = 0.5 + 0.4 * rng.choice([-1, 1], (2, 40))[:, units]  # alike on the whole, each at home in other units
        one, other = rng.random((2, 400)) < ability
        over_units.append(mcnemar(one, other, units.tolist()) < 0.05)
        over_items.append(mcnemar(one, other, range(400)) < 0.05)
    assert np.mean(over_units) <= 0.08
    assert np.mean(over_items) > 0.3


def test_thousands_of_units_of_any_size_take_no_draws() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4_000, 60_000).tolist()
    one = rng.random(60_000) < 0.8
    better, alike = rng.random(60_000) < 0.85, rng.random(60_000) < 0.8
    assert 0 < mcnemar(one, better, groups) < 1e-9
    assert 0.05 < mcnemar(one, alike, groups) <= 1


def test_a_real_difference_is_found_and_none_is_not() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 400)
    good = np.where(rng.random(400) < 0.8, truth, rng.integers(0, 3, 400))
    poor, alike = (np.where(rng.random(400) < share, truth, rng.integers(0, 3, 400)) for share in (0.4, 0.8))
    found = differences(statistic(truth, good, 3), statistic(truth, poor, 3), range(400), seed=1)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert found[name].p == pytest.approx(2 / 10_001)
        assert found[name].interval is not None
        assert found[name].interval.low > 0.1
    same = differences(statistic(truth, good, 3), statistic(truth, alike, 3), range(400), seed=1)
    assert same["macro_f1"].p is not None
    assert same["macro_f1"].p > 0.05
    itself = differences(statistic(truth, good, 3), statistic(truth, good, 3), range(400), seed=1)
    assert (itself["accuracy"].value, itself["accuracy"].p) == (0, 1)


def test_only_the_same_metrics_are_compared() -> None:
    with pytest.raises(ValueError, match="same metrics"):
        differences(mean_of(np.ones(3)), lambda weights: {"other": 1.0}, range(3), 1)
    with pytest.raises(ValueError, match="same"):
        mcnemar(np.ones(3, dtype=bool), np.ones(4, dtype=bool), range(3))


def delong_by_pairs(positive: NDArray[np.bool_], scores: Sequence[NDArray[np.float64]]) -> tuple[list[float], float]:
    """The areas and the standard error of their difference, by every pair of a positive and a negative."""
    ours, theirs, areas = [], [], []
    for one in scores:
        above = one[positive][:, None] > one[~positive][None, :]
        equal = one[positive][:, None] == one[~positive][None, :]
        pairs = above + 0.5 * equal
        areas.append(pairs.mean())
        ours.append(pairs.mean(axis=1))
        theirs.append(pairs.mean(axis=0))
    spread = np.cov(ours) / positive.sum() + np.cov(theirs) / (~positive).sum()
    return areas, float(np.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1]))


def test_delong_by_midranks_is_delong_by_pairs() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(120) < 0.4
    one = (positive * 0.8 + rng.normal(size=120)).round(1)
    other = (positive * 0.3 + rng.normal(size=120)).round(1)
    found = delong(positive, one, other, range(120))
    areas, error = delong_by_pairs(positive, [one, other])
    assert (found.one, found.other) == pytest.approx(tuple(areas), abs=1e-9)
    assert found.one == pytest.approx(roc_auc_score(positive, one), abs=1e-9)
    assert found.error == pytest.approx(error, abs=1e-9)
    assert 0 < found.p < 1


def test_delong_over_units_is_obuchowskis_formula() -> None:
    rng = np.random.default_rng(4)
    positive, units = rng.random(90) < 0.5, rng.integers(0, 15, 90)
    scores = [positive * strength + rng.normal(size=90).round(1) for strength in (0.9, 0.4)]
    found = delong(positive, scores[0], scores[1], units.tolist())
    above = [(s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive]) for s in scores]
    apart = above[0] - above[1]  # of each positive and negative; its mean is the difference of the areas
    of_positives = apart.mean(axis=1) - apart.mean()
    of_negatives = apart.mean(axis=0) - apart.mean()
    m, n, names = positive.sum(), (~positive).sum(), np.unique(units)
    ours = np.array([of_positives[units[positive] == name].sum() for name in names])
    theirs = np.array([of_negatives[units[~positive] == name].sum() for name in names])
    k, k_ours, k_theirs = len(names), len(set(units[positive])), len(set(units[~positive]))
    s10 = k_ours / ((k_ours - 1) * m) * (ours**2).sum()
    s01 = k_theirs / ((k_theirs - 1) * n) * (theirs**2).sum()
    s11 = k / (k - 1) * (ours * theirs).sum()
    assert found.error == pytest.approx(np.sqrt(s10 / m + s01 / n + 2 * s11 / (m * n)), abs=1e-12)


def test_delong_rejects_as_often_as_it_says_when_there_is_no_difference() -> None:
    rng = np.random.default_rng(9)
    positive = np.arange(160) < 80
    draws = [delong(positive, *(positive + rng.normal(size=(2, 160))), range(160)).p for _ in range(400)]
    assert 0.02 <= np.mean(np.array(draws) < 0.05) <= 0.09


def test_delong_of_equal_scores_finds_nothing_and_of_one_class_is_refused() -> None:
    positive, scores = np.array([True, True, False, False]), np.array([0.9, 0.8, 0.2, 0.1])
    assert delong(positive, scores, scores, range(4)).p == 1
    for labels, groups in ((np.ones(4, dtype=bool), range(4)), (positive, [1, 1, 2, 3])):
        with pytest.raises(ValueError, match="two independent units of each class"):
            delong(labels, scores, scores, groups)


def test_one_independent_unit_tells_no_difference_and_two_do() -> None:
    one, other = mean_of(np.ones(20)), mean_of(np.zeros(20))
    alone = differences(one, other, ["author"] * 20, seed=0)["mean"]
    assert (alone.value, alone.interval, alone.p) == (1, None, None)
    assert differences(one, other, ["a", "b"] * 10, seed=0)["mean"].interval == (1, 1)


def test_a_difference_can_be_sure_among_a_hundred_sets() -> None:
    found = differences(mean_of(np.ones(500)), mean_of(np.zeros(500)), range(500), seed=0)["mean"]
    assert found.p is not None
    assert holm([found.p] * 100)[0] < 0.05


def test_draws_at_once_are_the_draws_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    truth, scores = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60)
    of = statistic(truth, scores.argmax(axis=1), 3, scores, ordered=True)
    together = resampled(of, range(60), seed=8, resamples=40)
    monkeypatch.setattr(statistics, "AT_ONCE", 1)
    alone = resampled(of, range(60), seed=8, resamples=40)
    assert together.keys() >= {"kappa", "auroc_ovo", "ece", "brier"}
    for name, values in together.items():
        assert values == pytest.approx(alone[name], abs=1e-12), name
