"""Calibration: bins, errors, temperature, and what is left when the unsure are not answered."""

import numpy as np
import pytest
from scipy.special import softmax

from workers.evaluating.calibration import (
    adaptive_error,
    adaptive_reliability,
    calibration_error,
    reliability,
    risk_coverage,
    temperature,
)


def test_bins_of_equal_width_hold_what_was_said_and_what_was_right() -> None:
    right = np.array([True, True, False, True])
    assert reliability(right, np.array([0.41, 0.45, 0.95, 1.0], dtype=np.float32)) == [
        (pytest.approx(0.43), 1.0, 2),
        (pytest.approx(0.975), 0.5, 2),
    ]


def test_adaptive_bins_are_equally_full_and_keep_equal_confidences_together() -> None:
    confidence = np.random.default_rng(0).random(300)
    assert {bin_.n for bin_ in adaptive_reliability(confidence > 0.5, confidence)} == {20}
    same = adaptive_reliability(np.array([True, False] * 20), np.full(40, 0.7))
    assert same == [(pytest.approx(0.7), 0.5, 40)]
    few = adaptive_reliability(np.array([True, False, True]), np.array([0.3, 0.6, 0.9]))
    assert [bin_.n for bin_ in few] == [1, 1, 1]


def test_the_order_of_items_does_not_move_the_adaptive_error() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(200).round(1)
    right = rng.random(200) < 0.5
    for _ in range(5):
        order = rng.permutation(200)
        assert adaptive_error(right[order], confidence[order]) == pytest.approx(adaptive_error(right, confidence))


def test_who_is_as_right_as_sure_has_no_error_and_who_is_over_sure_has_the_gap() -> None:
    right = np.array([True] * 8 + [False] * 2)
    for error in (calibration_error, adaptive_error):
        assert error(right, np.full(10, 0.8)) == pytest.approx(0)
        assert error(right, np.full(10, 0.99)) == pytest.approx(0.19)


def test_the_temperature_that_made_the_logits_is_found() -> None:
    rng = np.random.default_rng(4)
    honest = rng.normal(size=(6_000, 4)) * 2
    truth = np.array([rng.choice(4, p=p) for p in softmax(honest, axis=1)])
    over_sure = honest * 3
    found = temperature(over_sure, truth)
    assert found == pytest.approx(3, rel=0.06)
    before, after = (softmax(over_sure / t, axis=1) for t in (1, found))
    right = before.argmax(axis=1) == truth
    assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    assert calibration_error(right, after.max(axis=1)) < 0.03 < 0.1 < calibration_error(right, before.max(axis=1))


def test_a_temperature_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="held-out items"):
        temperature(np.empty((0, 2)), np.empty(0, dtype=np.intp))
    with pytest.raises(ValueError, match="finite"):
        temperature(np.array([[np.nan, 1.0]]), np.array([0]))


def test_the_surest_answers_are_wrong_least() -> None:
    curve = risk_coverage(np.array([True, True, True, False]), np.array([0.9, 0.8, 0.7, 0.4]))
    assert curve[0] == (0.25, 0.0)
    assert curve[-1] == (1.0, 0.25)
