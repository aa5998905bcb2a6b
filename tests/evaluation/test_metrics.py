"""Metrics equal hand-computed cases and scikit-learn's; where one has no value, a sentence says why."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from workers.evaluating.metrics import Codes, Figures, Probabilities, figures, of_confusion, statistic
from workers.outcome import by_guessing

NAMES = ["benign", "atypical", "malignant"]


def codes(*values: int) -> Codes:
    return np.array(values, dtype=np.intp)


def drawn(seed: int, count: int, n: int = 300) -> tuple[Codes, Probabilities]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, count, n)
    scores = rng.dirichlet(np.ones(count), n)
    scores[np.arange(n), truth] += 0.3
    return truth, scores / scores.sum(axis=1, keepdims=True)


def of_drawn(seed: int, count: int) -> Figures:
    truth, scores = drawn(seed, count)
    return figures(truth, scores.argmax(axis=1), [str(c) for c in range(count)], scores, ordered=True)


def test_a_case_computed_by_hand() -> None:
    found = figures(codes(0, 0, 0, 1, 1, 2), codes(0, 0, 1, 1, 2, 2), NAMES, ordered=True)
    assert found.confusion == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert found.values["accuracy"] == pytest.approx(4 / 6, abs=1e-6)
    assert found.values["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3, abs=1e-6)
    f1 = [2 * 2 / (3 + 2), 2 * 1 / (2 + 2), 2 * 1 / (1 + 2)]
    assert found.values["macro_f1"] == pytest.approx(sum(f1) / 3, abs=1e-6)
    assert found.values["weighted_f1"] == pytest.approx((3 * f1[0] + 2 * f1[1] + f1[2]) / 6, abs=1e-6)
    by_chance = (3 * 2 + 2 * 2 + 1 * 2) / 36
    assert found.values["kappa"] == pytest.approx((4 / 6 - by_chance) / (1 - by_chance), abs=1e-6)
    # two pairs are one step apart; by chance: 3·2·1 + 3·2·4 + 2·2·1 + 2·2·1 + 1·2·4 + 1·2·1 = 48, of six items 8
    assert found.values["quadratic_kappa"] == pytest.approx(1 - 2 / 8, abs=1e-6)
    assert found.values["majority"] == pytest.approx(3 / 6, abs=1e-6)
    assert found.values["chance"] == pytest.approx(1 / 3, abs=1e-6)
    benign, atypical, malignant = found.per_class
    assert (benign.name, benign.n, benign.predicted) == ("benign", 3, 2)
    assert (benign.recall, benign.precision) == (pytest.approx(2 / 3, abs=1e-6), 1)
    assert (atypical.recall, atypical.precision, atypical.f1) == (0.5, 0.5, 0.5)
    assert (malignant.recall, malignant.precision) == (1, 0.5)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.07, 0.03), (0.6, 0.4, 0.0)])
def test_chance_is_what_guessing_gives(shares: tuple[float, ...]) -> None:
    rng, names = np.random.default_rng(3), [str(place) for place in range(len(shares))]
    truth = np.repeat(np.arange(len(shares)), [round(200_000 * share) for share in shares])
    found = figures(truth, rng.integers(0, len(shares), len(truth)), names, ordered=True)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "kappa", "quadratic_kappa"):
        assert by_guessing(found)[name] == pytest.approx(found.values[name], abs=0.005)


def test_scores_of_two_classes_computed_by_hand() -> None:
    ours = np.array([0.1, 0.4, 0.4, 0.9])
    found = figures(codes(0, 0, 1, 1), codes(0, 0, 0, 1), ["no", "yes"], np.stack([1 - ours, ours], axis=1))
    assert found.values["auroc"] == pytest.approx((1 + 0.5 + 1 + 1) / 4, abs=1e-6), "a tie is half a pair in order"
    assert found.values["brier"] == pytest.approx((0.01 + 0.16 + 0.36 + 0.01) / 4, abs=1e-6)
    # confidences 0.9, 0.6, 0.6, 0.9 of right, right, wrong, right
    assert found.values["ece"] == pytest.approx((2 * 0.1 + 2 * 0.1) / 4, abs=1e-6)
    assert found.values["ece_adaptive"] == pytest.approx((2 * 0.1 + 2 * 0.1) / 4, abs=1e-6)


def test_the_areas_are_those_of_scikit_learn() -> None:
    truth, scores = drawn(3, 5)
    found = of_drawn(3, 5)
    for way in ("ovo", "ovr"):
        exact = roc_auc_score(truth, scores, multi_class=way, average="macro")
        assert found.values[f"auroc_{way}"] == pytest.approx(exact, abs=1e-6)
    assert found.values["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(truth, scores.argmax(axis=1)), abs=1e-6
    )
    assert found.values["brier"] == pytest.approx(((scores - np.eye(5)[truth]) ** 2).sum(axis=1).mean(), abs=1e-6)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_bootstrap_measures_the_same(count: int) -> None:
    truth, scores = drawn(count, count)
    mine = statistic(truth, scores.argmax(axis=1), count, scores, ordered=True)(np.ones(len(truth)))
    found = of_drawn(count, count).values
    assert set(mine) >= {"accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "kappa", "quadratic_kappa"}
    assert {name for name in mine if "auroc" in name} == {name for name in found if "auroc" in name}
    for name, value in mine.items():
        assert value == pytest.approx(found[name], abs=1e-9), name


def test_an_item_of_weight_two_is_an_item_that_is_there_twice() -> None:
    truth, scores = drawn(8, 3, n=60)
    weights = np.random.default_rng(0).integers(0, 4, 60)
    twice = np.repeat(np.arange(60), weights)
    weighted = statistic(truth, scores.argmax(axis=1), 3, scores)(weights.astype(np.float64))
    repeated = figures(truth[twice], scores[twice].argmax(axis=1), NAMES, scores[twice])
    for name, value in weighted.items():
        assert value == pytest.approx(repeated.values[name], abs=1e-9), name


def test_a_class_without_items_is_named_and_left_out_of_the_means() -> None:
    truth = codes(0, 0, 1, 1)
    scores = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]])
    found = figures(truth, scores.argmax(axis=1), NAMES, scores)
    assert found.per_class[2].recall is None
    assert (found.per_class[2].n, found.per_class[2].predicted, found.per_class[2].precision) == (0, 1, 0)
    assert found.values["balanced_accuracy"] == pytest.approx(0.75)
    assert found.values["auroc_ovo"] == pytest.approx(0.875), "0 from 1: 3 of 4 in order; 1 from 0: all"
    assert found.values["auroc_ovr"] == pytest.approx(0.875)
    for name, value in statistic(truth, scores.argmax(axis=1), 3, scores)(np.ones(4)).items():
        assert value == pytest.approx(found.values[name]), name


def test_one_class_only_gives_reasons_and_no_number() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2]])
    found = figures(codes(0, 0), codes(0, 0), ["benign", "malignant"], scores)
    assert (found.values["accuracy"], found.values["auroc"], found.values["kappa"]) == (1, None, None)
    assert found.undefined["auroc"] == "Only the class benign occurs."
    assert found.undefined["kappa"] == "All items are one class, and all were called it."


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (np.array([[0.5, 0.5], [np.nan, 0.5]]), "The scores of 1 items are not finite numbers."),
        (np.array([[0.5, 0.5], [3.0, -1.0]]), "The scores are no probabilities: those of an item must sum to 1."),
        (None, "The predictions came without scores."),
    ],
)
def test_scores_that_say_nothing_leave_the_other_metrics(scores: Probabilities | None, why: str) -> None:
    found = figures(codes(0, 1), codes(0, 1), ["benign", "malignant"], scores)
    assert found.values["accuracy"] == 1
    assert {found.undefined[name] for name in ("auroc", "ece", "ece_adaptive", "brier")} == {why}
    assert "auroc" not in statistic(codes(0, 1), codes(0, 1), 2, scores)(np.ones(2))


def test_scores_of_single_precision_are_taken() -> None:
    truth, scores = drawn(1, 7)
    found = figures(truth, scores.argmax(axis=1), [str(c) for c in range(7)], scores.astype(np.float32))
    assert found.undefined == {}


@pytest.mark.parametrize(
    ("truth", "predicted"), [(codes(), codes()), (codes(0), codes(0, 1)), (codes(0), codes(3)), (codes(-1), codes(0))]
)
def test_what_cant_be_measured_is_refused(truth: Codes, predicted: Codes) -> None:
    with pytest.raises(ValueError):
        figures(truth, predicted, NAMES)


def test_perfect_and_inverted_answers_reach_the_ends_of_kappa() -> None:
    assert of_confusion(np.diag([3.0, 3.0]))["kappa"] == 1
    assert of_confusion(np.array([[0.0, 3.0], [3.0, 0.0]]))["kappa"] == -1
