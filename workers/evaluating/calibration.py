"""Whether a classifier is right as often as it says it is, and how it is made so.

A prediction's confidence is the probability of the class that it names.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from workers.ml import evaluation

BINS = evaluation.RELIABILITY_BINS
COLDEST, HOTTEST = 0.01, 100.0  # temperatures that are looked between

Right = NDArray[np.bool_]
Numbers = NDArray[np.floating[Any]]


class Bin(NamedTuple):
    """Mean confidence of `n` predictions, and the share of them that is right."""

    confidence: float
    accuracy: float
    n: int


def reliability(right: Right, confidence: Numbers) -> list[Bin]:
    """The bins that hold something, of 15 of equal width, from unsure to sure."""
    return [Bin(*bin_) for bin_ in evaluation.reliability(right, _exact(confidence))]


def equal_width(confidence: Numbers) -> NDArray[np.intp]:
    """The bin [n] of each confidence, of 15 of equal width."""
    return evaluation.bins(_exact(confidence))


def adaptive_reliability(right: Right, confidence: Numbers) -> list[Bin]:
    """15 bins that hold as many predictions each, or one a prediction (Nguyen and O'Connor, EMNLP 2015).

    Equal confidences stay in one bin, so that the order of the items says nothing.
    """
    order = np.argsort(confidence, kind="stable")
    sure = _exact(confidence)[order]
    wanted = np.linspace(0, len(sure), min(BINS, len(sure)) + 1).round().astype(int)[1:-1]
    cuts = np.unique(np.searchsorted(sure, sure[wanted], side="left"))
    parts = zip(np.split(sure, cuts), np.split(right[order], cuts), strict=True)
    return [Bin(float(said.mean()), float(was.mean()), len(said)) for said, was in parts if len(said)]


def calibration_error(right: Right, confidence: Numbers) -> float:
    """ECE: mean distance of confidence and accuracy over 15 equal-width bins (Naeini et al., AAAI 2015)."""
    return evaluation.expected_calibration_error(right, _exact(confidence))


def adaptive_error(right: Right, confidence: Numbers) -> float:
    """The same over 15 equally filled bins, which an over-sure classifier can't hide in."""
    return float(
        sum(b.n * abs(b.confidence - b.accuracy) for b in adaptive_reliability(right, confidence)) / len(right)
    )


def temperature(logits: Numbers, truth: NDArray[np.intp]) -> float:
    """The T for which softmax(logits / T) fits held-out labels best (Guo et al., ICML 2017).

    `logits` [n, k] and `truth` [n] are of items that neither the model nor the figures that follow have seen. T
    changes no prediction. Raises ValueError for no items or numbers that are not finite.
    """
    if not len(truth) or not np.isfinite(logits).all():
        raise ValueError("A temperature needs held-out items, and finite logits of each.")
    exact, rows = _exact(logits), np.arange(len(truth))

    def loss(log_t: float) -> float:
        return -float(log_softmax(exact / np.exp(log_t), axis=1)[rows, truth].mean())

    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def risk_coverage(right: Right, confidence: Numbers) -> list[tuple[float, float]]:
    """(Share that is answered, share of it that is wrong), the surest first (Geifman and El-Yaniv, NeurIPS 2017)."""
    return evaluation.risk_coverage(right, _exact(confidence))


def _exact(numbers: Numbers) -> NDArray[np.float64]:
    return np.asarray(numbers, dtype=np.float64)
