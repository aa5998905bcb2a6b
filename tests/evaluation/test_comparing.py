"""Which test two models are compared by: over items where each stands alone, over units where they hold several."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.evaluation import folders
from app.evaluation.policies import BOOTSTRAP, DELONG, MCNEMAR, OBUCHOWSKI, SIGN_FLIP, Task
from app.tables import Evaluation
from workers import comparing
from workers.evaluating.statistics import delong, mcnemar
from workers.outcome import Outcome

CLASSES = ["benign", "malignant"]
COUNT = 120
RNG = np.random.default_rng(17)
TRUTH = RNG.random(COUNT) < 0.5
SCORES = [1 / (1 + np.exp(-(3 * TRUTH - 1.5 + RNG.normal(size=COUNT) * noise))) for noise in (0.8, 3.0)]


def columns(scores: NDArray[np.float64], groups: list[str]) -> dict[str, list[Any]]:
    said = (scores > 0.5).astype(int)
    return {
        "item": [f"{number}.png" for number in range(COUNT)],
        "group": groups,
        "truth": [CLASSES[int(one)] for one in TRUTH],
        "said": [CLASSES[one] for one in said],
        "draws": [[int(one)] for one in said],
        "scores": [[1 - one, one] for one in scores.tolist()],
    }


def compared(groups: list[str]) -> dict[str, Any]:
    """(Value, low, high, p, test) by metric, of the better model less the other."""
    folders.write_table(folders.predictions_file(9_001), columns(SCORES[1], groups))
    figures = {key: {"value": 0.5} for key in ("accuracy", "auroc")}
    outcome = Outcome({"classes": CLASSES, "figures": figures}, columns(SCORES[0], groups))
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


def test_where_too_few_units_have_a_class_the_bootstrap_decides_and_where_there_is_one_nothing_does() -> None:
    groups = ["one" if is_malignant else f"{number}" for number, is_malignant in enumerate(TRUTH)]
    assert compared(groups)["auroc"][4] == BOOTSTRAP
    assert compared(["one"] * COUNT) == {}
