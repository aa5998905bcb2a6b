"""A classifier's figures against known answers, and a line that holds as often as it says."""

import numpy as np
import pytest

from workers.ml.evaluation import (
    evaluate,
    expected_calibration_error,
    line_within,
    most_surprising,
    reliability,
    risk_coverage,
)


def test_the_figures_of_a_small_known_case() -> None:
    positive = np.array([True, True, False, False])
    probabilities = np.array([0.9, 0.4, 0.6, 0.1])
    found = evaluate(positive, probabilities, ["a", "b", "c", "d"], line=0.5)
    assert found["roc_auc"] == 0.75
    assert found["pr_auc"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["confusion"] == [[1, 1], [1, 1]]
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert (found["n"], found["positives"], found["groups"]) == (4, 2, 4)


def test_the_calibration_error_is_the_mean_distance_of_said_and_true() -> None:
    positive = np.array([True] * 8 + [False] * 2)
    assert expected_calibration_error(positive, np.full(10, 0.8)) == pytest.approx(0)
    assert expected_calibration_error(positive, np.full(10, 0.6)) == pytest.approx(0.2)
    assert reliability(positive, np.full(10, 0.6)) == [(pytest.approx(0.6), pytest.approx(0.8), 10)]


def test_risk_rises_with_coverage_to_the_share_of_negatives() -> None:
    positive = np.array([True, True, True, False])
    curve = risk_coverage(positive, np.array([0.9, 0.8, 0.7, 0.1]))
    assert curve[0] == (0.25, 0.0)
    assert curve[-1] == (1.0, 0.25)


def test_the_most_surprising_are_wrong_and_the_worst_comes_first() -> None:
    positive = np.array([True, False, True, False])
    assert most_surprising(positive, np.array([0.3, 0.95, 0.9, 0.1]), 8) == [1, 0]


def test_too_few_good_ones_are_counted() -> None:
    assert line_within(np.full(100, 0.9), 0.02) == (None, 49)
    assert line_within(np.full(149, 0.9), 0.02) == (0.9, 0)


def test_the_line_loses_no_more_than_its_bound_in_95_of_100_streams() -> None:
    rng = np.random.default_rng(20418)
    held = 0
    for _ in range(1000):
        line, _ = line_within(rng.random(400), 0.02)
        held += line is not None and line <= 0.02  # of uniform scores, the share below the line is the line itself
    assert held >= 940, "95 % within what 1,000 draws tell"
