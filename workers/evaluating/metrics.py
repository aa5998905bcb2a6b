"""What predictions are worth, by scikit-learn; where a metric has no value, why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from workers.evaluating.calibration import BINS, adaptive_error, calibration_error, equal_width

Codes = NDArray[np.intp]  # classes by their place in the list of classes
Probabilities = NDArray[np.floating[Any]]
Weights = NDArray[np.float64]
Statistic = Callable[[Weights], dict[str, Any]]  # of item weights [n] or [draws, n] to metrics by name


@dataclass(frozen=True)
class ClassFigures:
    """One class: how many items it has and how many were called it. `None` where the denominator is 0."""

    name: str
    n: int
    predicted: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass
class Figures:
    """`values` by metric, None where `undefined` says why; `confusion[true][predicted]` counts."""

    n: int
    values: dict[str, float | None] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    per_class: list[ClassFigures] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)

    def add(self, name: str, value: float | None, why: str = "") -> None:
        self.values[name] = None if value is None else float(value)
        if value is None:
            self.undefined[name] = why


def figures(
    truth: Codes,
    predicted: Codes,
    classes: Sequence[str],
    probabilities: Probabilities | None = None,
    *,
    ordered: bool = False,
) -> Figures:
    """All metrics of `predicted` [n] against `truth` [n], both places in `classes` (k names, in their order).

    accuracy, balanced accuracy (mean recall of the classes that occur), macro and weighted F1 (scikit-learn's: over
    the classes that occur or were predicted), kappa, and quadratic kappa of `ordered` classes. With `probabilities`
    [n, k]: AUROC (of two classes; else one against one, Hand and Till 2001, and one against the rest, both macro over
    the classes that occur), ECE over 15 equal-width and 15 equally filled bins, and Brier (of two classes from 0 to
    1, else from 0 to 2). `majority` is the accuracy of always saying the commonest class, `chance` that of guessing.
    Raises ValueError for no items, lengths that differ, or a class that is not in the list.
    """
    _check(truth, predicted, probabilities, len(classes))
    found = Figures(len(truth))
    support = np.bincount(truth, minlength=len(classes))
    found.add("accuracy", accuracy_score(truth, predicted))
    _by_class(found, truth, predicted, classes)
    found.add("macro_f1", f1_score(truth, predicted, average="macro", zero_division=0))
    found.add("weighted_f1", f1_score(truth, predicted, average="weighted", zero_division=0))
    _agreement(found, truth, predicted, ordered=ordered)
    _of_probabilities(found, truth, predicted, probabilities, classes)
    found.add("majority", support.max() / len(truth))
    found.add("chance", 1 / len(classes))
    return found


def _check(truth: Codes, predicted: Codes, probabilities: Probabilities | None, count: int) -> None:
    if not len(truth):
        raise ValueError("There are no items to measure on.")
    shape = (len(truth), count)
    if len(predicted) != len(truth) or (probabilities is not None and probabilities.shape != shape):
        raise ValueError(f"{len(truth)} items need as many predictions and {shape[0]} × {shape[1]} probabilities.")
    if min(truth.min(), predicted.min()) < 0 or max(truth.max(), predicted.max()) >= count:
        raise ValueError(f"A class is none of the {count} that were listed.")


def _by_class(found: Figures, truth: Codes, predicted: Codes, classes: Sequence[str]) -> None:
    labels = np.arange(len(classes))
    found.confusion = confusion_matrix(truth, predicted, labels=labels).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=np.nan
    )
    said = np.bincount(predicted, minlength=len(classes))
    found.per_class = [
        ClassFigures(name, int(support[c]), int(said[c]), _number(recall[c]), _number(precision[c]), _number(f1[c]))
        for c, name in enumerate(classes)
    ]
    found.add("balanced_accuracy", float(recall[support > 0].mean()))


def _agreement(found: Figures, truth: Codes, predicted: Codes, *, ordered: bool) -> None:
    one_class = len(np.union1d(truth, predicted)) < 2
    why = "All items are one class, and all were called it." if one_class else ""
    found.add("kappa", None if one_class else cohen_kappa_score(truth, predicted), why)
    if ordered:
        value = None if one_class else cohen_kappa_score(truth, predicted, weights="quadratic")
        found.add("quadratic_kappa", value, why)


def _of_probabilities(
    found: Figures, truth: Codes, predicted: Codes, probabilities: Probabilities | None, classes: Sequence[str]
) -> None:
    names = ["auroc"] if len(classes) == 2 else ["auroc_ovo", "auroc_ovr"]
    why = _why_not(probabilities)
    if why or probabilities is None:
        for name in (*names, "ece", "ece_adaptive", "brier"):
            found.add(name, None, why)
        return
    present = np.unique(truth)
    if len(present) < 2:
        for name in names:
            found.add(name, None, f"Only the class {classes[present[0]]} occurs.")
    elif len(classes) == 2:
        found.add("auroc", roc_auc_score(truth == 1, probabilities[:, 1]))
    else:
        found.add("auroc_ovo", _ovo(truth, probabilities, present))
        found.add("auroc_ovr", float(np.mean([roc_auc_score(truth == c, probabilities[:, c]) for c in present])))
    right, confidence = predicted == truth, probabilities[np.arange(len(truth)), predicted]
    found.add("ece", calibration_error(right, confidence))
    found.add("ece_adaptive", adaptive_error(right, confidence))
    found.add("brier", _brier(truth, probabilities))


def _why_not(probabilities: Probabilities | None) -> str:
    if probabilities is None:
        return "The predictions came without scores."
    wrong = int((~np.isfinite(probabilities).all(axis=1)).sum())
    if wrong:
        return f"The scores of {wrong:,} items are not finite numbers."
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        return "The scores are no probabilities: those of an item must sum to 1."
    return ""


def _ovo(truth: Codes, probabilities: Probabilities, present: Codes) -> float:
    """Mean over ordered pairs of classes that occur: how well the score of the one tells it from the other."""
    areas = []
    for one in present:
        for other in present[present != one]:
            both = (truth == one) | (truth == other)
            areas.append(roc_auc_score(truth[both] == one, probabilities[both, one]))
    return float(np.mean(areas))


def _brier(truth: Codes, probabilities: Probabilities) -> float:
    if probabilities.shape[1] == 2:
        return float(brier_score_loss(truth, _exact(probabilities)[:, 1], pos_label=1, labels=[0, 1]))
    labels = np.arange(probabilities.shape[1])
    return float(brier_score_loss(truth, _exact(probabilities), labels=labels))


def _exact(probabilities: Probabilities) -> Probabilities:
    """As float64 that sum to 1: scikit-learn minds what float32 leaves over."""
    exact = np.asarray(probabilities, dtype=np.float64)
    return np.asarray(exact / exact.sum(axis=1, keepdims=True))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# --- the same metrics of weighted items, for the bootstrap --------------------------------------


def statistic(
    truth: Codes, predicted: Codes, count: int, probabilities: Probabilities | None = None, *, ordered: bool = False
) -> Statistic:
    """A function of item weights [n] to metrics by name, equal to `figures` for weights of 1; NaN where undefined.

    scikit-learn takes weights too, but some milliseconds a call: a bootstrap asks for thousands of draws, [draws, n].
    """
    cells = truth * count + predicted
    used, places = np.unique(cells, return_inverse=True)
    at_cell = csr_array((np.ones(len(cells)), (np.arange(len(cells)), places)), shape=(len(cells), len(used)))
    scores = None if _why_not(probabilities) else probabilities
    areas = {} if scores is None else _areas(truth, scores)
    errors = None if scores is None else errors_of(truth, predicted, scores)

    def of(weights: Weights) -> dict[str, Any]:
        confusion = np.zeros((*weights.shape[:-1], count * count))
        confusion[..., used] = weights @ at_cell
        found = of_confusion(confusion.reshape(*weights.shape[:-1], count, count), ordered=ordered)
        found |= {name: _mean([area(weights) for area in some]) for name, some in areas.items()}
        return found | (errors(weights) if errors else {})

    return of


def of_confusion(confusion: NDArray[np.float64], *, ordered: bool = False) -> dict[str, Any]:
    """Metrics of (weighted) counts [k, k], or of each of [draws, k, k]; rows are the true classes."""
    true, said = confusion.sum(axis=-1), confusion.sum(axis=-2)
    hit, total = np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * hit / (true + said)
        found = {
            "accuracy": hit.sum(axis=-1) / total,
            "balanced_accuracy": _mean_where(true > 0, hit / true),
            "macro_f1": _mean_where(true + said > 0, f1),
            "weighted_f1": np.where(true > 0, f1 * true, 0).sum(axis=-1) / total,
            "kappa": _kappa(confusion, true, said, 1.0 - np.eye(true.shape[-1])),
        }
        if ordered:
            places = np.arange(true.shape[-1])
            found["quadratic_kappa"] = _kappa(confusion, true, said, np.subtract.outer(places, places) ** 2.0)
    return found


def _mean_where(known: NDArray[np.bool_], values: NDArray[np.float64]) -> Any:
    return np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1)


def _kappa(confusion: NDArray[np.float64], true: Weights, said: Weights, disagreement: NDArray[np.float64]) -> Any:
    total = confusion.sum(axis=(-2, -1))
    expected = np.einsum("...i,ij,...j->...", true, disagreement, said) / total
    return np.where(expected > 0, 1 - (disagreement * confusion).sum(axis=(-2, -1)) / expected, np.nan)


def _areas(truth: Codes, probabilities: Probabilities) -> dict[str, list[Callable[[Weights], Any]]]:
    count = probabilities.shape[1]
    if count == 2:
        return {"auroc": [area(truth == 1, probabilities[:, 1])]}
    present = np.unique(truth)
    of_pairs = []
    for one in present:
        for other in present[present != one]:
            both = np.flatnonzero((truth == one) | (truth == other))
            of_pairs.append(area(truth[both] == one, probabilities[both, one], both))
    return {"auroc_ovo": of_pairs, "auroc_ovr": [area(truth == c, probabilities[:, c]) for c in present]}


def errors_of(truth: Codes, predicted: Codes, probabilities: Probabilities) -> Statistic:
    """ECE over equal-width bins, and Brier; the equally filled bins are other ones in each draw, and left out."""
    sure = np.asarray(probabilities[np.arange(len(truth)), predicted], np.float64)
    apart = (predicted == truth) - sure
    in_bin = csr_array((apart, (np.arange(len(truth)), equal_width(sure))), shape=(len(truth), BINS))
    exact = _exact(probabilities)
    squares = ((exact - np.eye(exact.shape[1])[truth]) ** 2).sum(axis=1) / (2 if exact.shape[1] == 2 else 1)
    return lambda weights: {
        "ece": np.abs(weights @ in_bin).sum(axis=-1) / weights.sum(axis=-1),
        "brier": weights @ squares / weights.sum(axis=-1),
    }


def area(positive: NDArray[np.bool_], scores: Probabilities, rows: Codes | None = None) -> Callable[[Weights], Any]:
    """AUROC as a function of item weights: the share of pairs in order, ties as half (Mann and Whitney 1947).

    `rows` are the places of `positive` and `scores` among the weighted items, where these are not all. NaN when a
    side weighs nothing.
    """
    order = np.argsort(scores, kind="stable")
    firsts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])  # of each score, its first place in the order
    places = order if rows is None else rows[order]
    is_ours = positive[order]

    def of(weights: Weights) -> Any:
        mine = weights[..., places]
        ours = np.add.reduceat(mine * is_ours, firsts, axis=-1)
        theirs = np.add.reduceat(mine * ~is_ours, firsts, axis=-1)
        below = np.cumsum(theirs, axis=-1) - theirs / 2
        with np.errstate(invalid="ignore"):  # nothing to order: NaN
            return (ours * below).sum(axis=-1) / (ours.sum(axis=-1) * theirs.sum(axis=-1))

    return of


def _mean(values: list[Any]) -> Any:
    """Over those that are defined: a class that a resample lost is not counted in it."""
    some = np.stack(values)
    known = ~np.isnan(some)
    with np.errstate(invalid="ignore"):
        return np.where(known, some, 0).sum(axis=0) / known.sum(axis=0)
