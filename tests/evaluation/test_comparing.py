"""Which test two models are compared by: over items where each stands alone, over units where they hold several."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.evaluation import folders
from app.evaluation.policies import BOOTSTRAP, DELONG, MCNEMAR, OBUCHOWSKI, SIGN_FLIP, Task
from app.tables import Evaluation
from workers import comparing
from workers.evaluating.metrics import figures
from workers.evaluating.statistics import delong, mcnemar
from workers.outcome import Outcome

CLASSES = ["benign", "malignant"]
COUNT = 120
RNG = np.random.default_rng(17)
TRUTH = RNG.random(COUNT) < 0.5
SCORES = [1 / (1 + np.exp(-(3 * TRUTH - 1.5 + RNG.normal(size=COUNT) * noise))) for noise in (0.8, 3.0)]


def probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1 - scores, scores], axis=1)


def columns(scores: NDArray[np.float64], groups: list[str]) -> dict[str, list[Any]]:
    said = (scores > 0.5).astype(int)
    return {
        "item": [f"{number}.png" for number in range(COUNT)],
        "group": groups,
        "truth": [CLASSES[int(one)] for one in TRUTH],
        "said": [CLASSES[one] for one in said],
        "draws": [[int(one)] for one in said],
        "scores": probabilities(scores).tolist(),
    }


def compared(groups: list[str], draws: int = 1) -> dict[str, Any]:
    """(Value, low, high, p, test) by metric, of the better model less the other."""
    ours, theirs = (columns(scores, groups) for scores in SCORES)
    for side in (ours, theirs):
        side["draws"] = [row * draws for row in side["draws"]]
    folders.write_table(folders.predictions_file(9_001), theirs)
    told = {key: {"value": 0.5} for key in ("accuracy", "auroc")}
    outcome = Outcome({"classes": CLASSES, "figures": told}, ours)
    found: comparing.Against = {}
    comparing.add(found, Task.ZERO_SHOT, outcome, [Evaluation(id=9_001)], seed=0)
    folders.delete(9_001)
    return {metric: by_peer["9001"] for metric, by_peer in found.items()}


@pytest.mark.parametrize(("each", "tests"), [(1, (MCNEMAR, DELONG)), (6, (SIGN_FLIP, OBUCHOWSKI))])
def test_what_is_tested_are_the_independent_units(each: int, tests: tuple[str, str]) -> None:
    groups = [f"patient {number // each}" for number in range(COUNT)]
    found = compared(groups)
    right = [(scores > 0.5) == TRUTH for scores in SCORES]
    assert found["accuracy"][3:] == [pytest.approx(mcnemar(right[0], right[1], groups)), tests[0]]
    assert found["auroc"][3:] == [pytest.approx(delong(TRUTH, SCORES[0], SCORES[1], groups).p), tests[1]]
    assert found["balanced_accuracy"][4] == BOOTSTRAP
    assert found["accuracy"][0] == pytest.approx(float(right[0].mean() - right[1].mean()))


def test_what_is_compared_are_the_figures_of_the_page_those_of_scores_too() -> None:
    groups = [str(number) for number in range(COUNT)]
    found = compared(groups)
    ours, theirs = (figures(TRUTH.astype(int), (one > 0.5).astype(int), CLASSES, probabilities(one)) for one in SCORES)
    for name in ("ece", "brier", "auroc", "macro_f1", "kappa"):
        value, low, high, _, _ = found[name]
        one, other = ours.values[name], theirs.values[name]
        assert one is not None
        assert other is not None
        assert value == pytest.approx(one - other)
        assert low <= value <= high
    assert found["brier"][3] < 0.01, "the model with less noise is surely better"
    assert found["brier"][2] < 0


def test_of_several_draws_only_what_needs_no_scores_is_compared() -> None:
    found = compared([str(number) for number in range(COUNT)], draws=5)
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "kappa"}
    assert {row[4] for row in found.values()} == {BOOTSTRAP}


def test_where_too_few_units_have_a_class_the_bootstrap_decides_and_where_there_is_one_nothing_does() -> None:
    groups = ["one" if is_malignant else f"{number}" for number, is_malignant in enumerate(TRUTH)]
    assert compared(groups)["auroc"][4] == BOOTSTRAP
    assert compared(["one"] * COUNT) == {}
