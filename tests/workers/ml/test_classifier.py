"""The linear head: separates, is calibrated, respects groups, and survives JSON exactly."""

import json

import numpy as np
import pytest

from workers.ml.classifier import LinearHead, TooFewLabels, fit


def blobs(n: int, distance: float, seed: int = 0, width: int = 16) -> tuple[np.ndarray, list[bool]]:
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.5
    rows = random.normal(size=(n, width)).astype(np.float32)
    rows[labels, 0] += distance
    return rows, labels.tolist()


def test_separable_classes_are_told_apart_on_new_rows() -> None:
    head = fit(*blobs(200, 6.0), seed=1)
    rows, labels = blobs(500, 6.0, seed=9)
    assert ((head.predict(rows) >= 0.5) == np.array(labels)).mean() > 0.98
    assert head.cross_validation.accuracy > 0.97
    assert (head.cross_validation.n, head.cross_validation.folds) == (200, 5)


def test_probabilities_are_calibrated_where_classes_overlap() -> None:
    head = fit(*blobs(800, 1.5), seed=1)
    rows, labels = blobs(20_000, 1.5, seed=9)
    probabilities, truth = head.predict(rows), np.array(labels)
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = (probabilities >= low) & (probabilities < low + 0.2)
        assert truth[inside].mean() == pytest.approx(probabilities[inside].mean(), abs=0.08)


def test_noise_is_not_learned_with_confidence() -> None:
    head = fit(*blobs(120, 0.0, width=64), seed=1)
    assert head.cross_validation.roc_auc == pytest.approx(0.5, abs=0.15)
    assert np.abs(head.predict(blobs(100, 0.0, seed=9, width=64)[0]) - 0.5).max() < 0.35


def test_the_same_seed_fits_the_same_head() -> None:
    rows, labels = blobs(60, 2.0)
    first, second = fit(rows, labels, seed=3), fit(rows, labels, seed=3)
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())


def test_json_keeps_every_bit() -> None:
    rows, labels = blobs(60, 2.0)
    head = fit(rows, labels, seed=3)
    again = LinearHead.from_json(json.loads(json.dumps(head.to_json())))
    assert np.array_equal(again.predict(rows), head.predict(rows))
    assert again.cross_validation == head.cross_validation


def test_leaking_groups_do_not_flatter_the_figure() -> None:
    """Each group is one picture repeated, its label random: alone, repeats look easy; grouped, they don't."""
    random = np.random.default_rng(0)
    base = random.normal(size=(30, 64)).astype(np.float32)
    labels = np.repeat(random.random(30) < 0.5, 4).tolist()
    rows = np.repeat(base, 4, axis=0) + random.normal(scale=0.01, size=(120, 64)).astype(np.float32)
    groups = np.repeat(np.arange(30), 4).tolist()
    grouped = fit(rows, labels, seed=1, groups=groups).cross_validation
    assert grouped.grouped
    assert fit(rows, labels, seed=1).cross_validation.accuracy > grouped.accuracy + 0.15


def test_rows_it_learned_from_are_scored_by_heads_that_had_not_seen_them() -> None:
    rows, labels = blobs(200, 0.0, seed=1, width=512)  # noise, in so many features that it can be learned by heart
    head = fit(rows, labels, seed=1)
    right = [((scores >= 0.5) == np.array(labels)).mean() for scores in (head.predict(rows), head.held_out)]
    assert right[0] > 0.9
    assert right[1] == pytest.approx(0.5, abs=0.1)
    assert right[1] == head.cross_validation.accuracy


def test_a_feature_that_never_varies_does_no_harm() -> None:
    rows, labels = blobs(60, 4.0)
    rows[:, 5] = 3.0
    assert np.isfinite(fit(rows, labels, seed=0).predict(rows)).all()


def test_extreme_rows_stay_probabilities() -> None:
    head = fit(*blobs(60, 4.0), seed=0)
    far = np.full((2, 16), 1e6, dtype=np.float32) * np.array([[1], [-1]], dtype=np.float32)
    assert ((head.predict(far) >= 0) & (head.predict(far) <= 1)).all()


@pytest.mark.parametrize("labels", [[], [True] * 10, [True] * 9 + [False]])
def test_too_few_labels_of_a_class_are_refused(labels: list[bool]) -> None:
    with pytest.raises(TooFewLabels, match="too few"):
        fit(np.zeros((len(labels), 4), np.float32), labels, seed=0)


def test_a_class_from_a_single_group_is_refused() -> None:
    rows, _ = blobs(20, 2.0)
    with pytest.raises(TooFewLabels, match="different groups"):
        fit(rows, [True] * 10 + [False] * 10, seed=0, groups=["a"] * 10 + list("bcdefghijk"))
