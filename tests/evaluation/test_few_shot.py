"""Few-shot: draws by seed, nested in k, and classes that are too small named before anything is learned."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.evaluation.test_probing import LABELS, TEST, TRAIN, TRUTH
from workers.evaluating.few_shot import SHOTS, few_shot, too_small
from workers.evaluating.probing import TooFewLabels
from workers.ml.vectors import l2_normalised

NAMES = ["adipose", "debris", "mucus"]


def test_each_draw_holds_k_items_of_every_class_and_those_of_the_smaller_ones() -> None:
    draws = list(few_shot(TRAIN, LABELS, TEST, NAMES, seeds=(0, 1)))
    assert [(draw.k, draw.seed) for draw in draws] == [(k, seed) for k in SHOTS for seed in (0, 1)]
    for draw in draws:
        assert np.bincount(LABELS[draw.rows]).tolist() == [draw.k] * 3
        assert len(set(draw.rows.tolist())) == 3 * draw.k
    of_first = [set(draw.rows.tolist()) for draw in draws if draw.seed == 0]
    assert all(small < large for small, large in pairwise(of_first))


def test_more_shots_are_worth_more_and_seeds_differ() -> None:
    right = {}
    for draw in few_shot(TRAIN, LABELS, TEST, NAMES, shots=(1, 16), seeds=range(5)):
        right.setdefault(draw.k, []).append(float((draw.predicted == TRUTH).mean()))
    assert np.mean(right[16]) > np.mean(right[1]) + 0.05
    assert len(set(right[1])) > 1


def test_a_draw_is_the_logistic_regression_of_its_rule() -> None:
    draw = next(iter(few_shot(TRAIN, LABELS, TEST, NAMES, shots=(8,), seeds=(4,))))
    rows = l2_normalised(TRAIN[draw.rows]).astype(np.float64)
    exact = LogisticRegression(C=24 * 3 / 100, max_iter=10_000, tol=1e-9).fit(rows, LABELS[draw.rows])
    np.testing.assert_allclose(draw.probabilities, exact.predict_proba(l2_normalised(TEST)), atol=2e-3)
    assert draw.settings == {"C": 0.72, "k": 8, "seed": 4}
    assert draw.converged


def test_the_same_seed_draws_the_same_items() -> None:
    one, other = (next(iter(few_shot(TRAIN, LABELS, TEST, NAMES, shots=(4,), seeds=(2,)))) for _ in range(2))
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_k_larger_than_a_class_names_the_class_before_anything_is_learned() -> None:
    labels = np.where(np.arange(400) < 395, LABELS % 2, 2)
    assert too_small(labels, NAMES, 8) == {"mucus": 5}
    with pytest.raises(TooFewLabels, match="16 a class can't be drawn: mucus has 5"):
        few_shot(TRAIN, labels, TEST, NAMES)
