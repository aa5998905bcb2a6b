"""Whether a model differs by more than chance from the others that were measured on the same items in the same way."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.evaluation import folders, metrics
from app.evaluation.policies import BOOTSTRAP, DELONG, DRAWS, MCNEMAR, OBUCHOWSKI, RANKS, SIGN_FLIP, Task
from app.tables import Evaluation
from workers.evaluating.metrics import Statistic, area, errors_of
from workers.evaluating.statistics import Difference, delong, differences, mcnemar, means_of
from workers.outcome import Draw, Outcome, mean_statistic

Against = dict[str, dict[str, list[float | str]]]  # metric → other evaluation's id → difference, low, high, p, test


def add(made: Against, task: Task, outcome: Outcome, peers: Sequence[Evaluation], seed: int) -> None:
    """Adds this outcome less each peer, on the items that both answered."""
    for peer in peers:
        path = folders.predictions_file(peer.id)
        if not path.is_file():
            continue
        theirs = {row["item"]: row for row in folders.read_rows(path)}
        both = [at for at, item in enumerate(outcome.columns["item"]) if item in theirs]
        mine = [{name: column[at] for name, column in outcome.columns.items()} for at in both]
        other = [theirs[row["item"]] for row in mine]
        if not mine:
            continue
        compare = _searches if task is Task.RETRIEVAL else _answers
        for metric, found in compare(outcome, mine, other, seed).items():
            if found.p is not None and found.interval is not None:
                row: list[float | str] = [
                    found.value,
                    found.interval.low,
                    found.interval.high,
                    found.p,
                    found.test or BOOTSTRAP,
                ]
                made.setdefault(metric, {})[str(peer.id)] = row


Rows = list[dict[str, Any]]


def _answers(outcome: Outcome, mine: Rows, other: Rows, seed: int) -> dict[str, Difference]:
    classes = outcome.metrics["classes"]
    codes = {name: at for at, name in enumerate(classes)}
    truth = np.array([codes[row["truth"]] for row in mine], dtype=np.intp)
    groups = [row["group"] for row in mine]
    ordered = "quadratic_kappa" in {key.partition(".")[0] for key in outcome.metrics["figures"]}
    by_k = outcome.metrics.get("by_k")
    if by_k:
        return _draws_by_k([line["k"] for line in by_k], truth, groups, mine, other, len(classes), seed)
    one, its = (_draws(rows, slice(None)) for rows in (mine, other))
    is_single = len(one) == len(its) == 1
    parts = [[mean_statistic(truth, draws, len(classes), ordered=ordered)] for draws in (one, its)]
    scores = [np.array([row["scores"] for row in rows]) for rows in (mine, other)]
    if is_single:
        for part, draws, of_side in zip(parts, (one, its), scores, strict=True):
            part += _of_scores(truth, draws[0].predicted, of_side)
    found = differences(_joined(parts[0]), _joined(parts[1]), groups, seed, DRAWS)
    if is_single:
        right, its_right = (draws[0].predicted == truth for draws in (one, its))
        test = MCNEMAR if _is_each_alone(groups) else SIGN_FLIP
        found["accuracy"] = replace(found["accuracy"], p=mcnemar(right, its_right, groups), test=test)
        if len(classes) == 2:
            found["auroc"] = _by_area(found["auroc"], truth, scores, groups)
    return found


def _is_each_alone(groups: list[str]) -> bool:
    """Whether every item is an independent unit of its own."""
    return len(set(groups)) == len(groups)


def _of_scores(truth: Any, predicted: Any, scores: Any) -> list[Statistic]:
    """What a single draw's scores [n, k] are worth; the areas of many classes would take minutes to resample."""
    errors = errors_of(truth, predicted, scores)
    if scores.shape[1] != 2:
        return [errors]
    of = area(truth == 1, scores[:, 1])
    return [errors, lambda weights: {"auroc": of(weights)}]


def _joined(parts: Sequence[Statistic]) -> Statistic:
    return lambda weights: {name: value for part in parts for name, value in part(weights).items()}


def _by_area(drawn: Difference, truth: Any, scores: Sequence[Any], groups: list[str]) -> Difference:
    """The same by DeLong's test, unless a class has too few units for it."""
    try:
        tested = delong(truth == 1, scores[0][:, 1], scores[1][:, 1], groups)
    except ValueError:
        return drawn
    return replace(drawn, p=tested.p, test=DELONG if _is_each_alone(groups) else OBUCHOWSKI)


def _draws(rows: Rows, part: slice) -> list[Draw]:
    codes = np.array([row["draws"] for row in rows], dtype=np.intp)[:, part]
    return [Draw(codes[:, at], None) for at in range(codes.shape[1])]


def _draws_by_k(
    ks: list[int], truth: Any, groups: list[str], mine: Rows, other: Rows, count: int, seed: int
) -> dict[str, Difference]:
    """Draws lie in the table from the largest k down, equally many of each."""
    each = len(mine[0]["draws"]) // len(ks)
    made = {}
    for at, k in enumerate(sorted(ks, reverse=True)):
        part = slice(at * each, (at + 1) * each)
        one, its = (mean_statistic(truth, _draws(rows, part), count) for rows in (mine, other))
        for name, found in differences(one, its, groups, seed, DRAWS).items():
            made[f"{name}.k{k}"] = found
    return made


def _searches(_outcome: Outcome, mine: Rows, other: Rows, seed: int) -> dict[str, Difference]:
    made = {}
    for way in metrics.DIRECTIONS:
        for how in ("strict", "group_aware"):
            name = f"{way}.{how}"
            ranked = [at for at, row in enumerate(mine) if row[name] is not None and other[at][name] is not None]
            groups = [mine[at]["group"] for at in ranked]
            if not ranked:
                continue
            one, its = (means_of(_by_rank(np.array([rows[at][name] for at in ranked]))) for rows in (mine, other))
            for short, found in differences(one, its, groups, seed, DRAWS).items():
                made[f"{way}.{short}.{how}"] = found
    return made


def _by_rank(rank: Any) -> dict[str, Any]:
    return {f"r{k}": rank <= k for k in RANKS} | {"mrr": 1 / rank}
