"""A linear head on an encoder's vectors: a calibrated yes or no, learned from a label set."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from workers.ml.folds import Split, TooFewLabels, stratified
from workers.ml.vectors import Vectors

__all__ = ["LinearHead", "TooFewLabels", "calibrated", "fit"]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C: inverse of the L2 penalty, on standardised features

Probabilities = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class CrossValidation:
    """Measured on pictures that the fold's head had not seen."""

    n: int
    positives: int
    folds: int
    grouped: bool
    strength: float  # the chosen C
    accuracy: float  # at probability 0.5
    roc_auc: float
    log_loss: float
    brier: float


@dataclass(frozen=True)
class LinearHead:
    """Probability = sigmoid(features @ weights + bias); standardisation is folded into both.

    `held_out` is only there after fitting: for each row that it was fitted on, what a fold's head said of it
    that had seen neither that row nor its group.
    """

    weights: NDArray[np.float64]  # [d]
    bias: float
    cross_validation: CrossValidation
    held_out: Probabilities = field(default_factory=lambda: np.empty(0))

    def predict(self, features: Vectors) -> Probabilities:
        """Probabilities [n] that each row of [n, d] is of the positive class. ValueError for another d."""
        logits = np.asarray(features, dtype=np.float64) @ self.weights + self.bias
        return _sigmoid(logits)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists, exact to the last bit after a round trip."""
        return {
            "weights": self.weights.tolist(),
            "bias": self.bias,
            "cross_validation": asdict(self.cross_validation),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "LinearHead":
        """The head that `to_json` described. Raises KeyError or TypeError when a part is missing."""
        weights = np.asarray(stored["weights"], dtype=np.float64)
        return cls(weights, float(stored["bias"]), CrossValidation(**stored["cross_validation"]))


def fit(features: Vectors, labels: Sequence[bool], seed: int, groups: Sequence[object] | None = None) -> LinearHead:
    """Logistic regression on standardised features [n, d], C chosen by stratified 5-fold cross-validation.

    C is chosen by log loss, a proper score, so the probabilities are calibrated as they come and need no
    second model on top: an over-confident C loses. `groups` (author, slide or duplicate group) never
    straddle a fold. Raises TooFewLabels unless each class has two examples, from two groups if grouped.
    """
    positive = np.asarray(labels, dtype=np.bool_)
    rows = np.asarray(features, dtype=np.float64)
    splits = stratified(positive, groups, seed)
    held_out = {strength: _held_out(rows, positive, splits, strength) for strength in STRENGTHS}
    best = min(STRENGTHS, key=lambda strength: log_loss(positive, held_out[strength]))
    weights, bias = _fit(rows, positive, best)
    metrics = _metrics(positive, held_out[best], best, len(splits), grouped=groups is not None)
    return LinearHead(weights, bias, metrics, held_out[best])


def calibrated(head: LinearHead, positive: Labels) -> LinearHead:
    """The head with its logits scaled so that its out-of-fold probabilities fit the labels [n] (Platt 1999).

    `head` comes from `fit` on the same rows. The scale is folded into weights and bias.
    """
    out_of_fold = np.log(head.held_out / (1 - head.held_out))
    model = LogisticRegression(C=1e6).fit(out_of_fold.reshape(-1, 1), positive)
    scale, shift = float(model.coef_[0, 0]), float(model.intercept_[0])
    if scale <= 0:  # the folds say nothing or the opposite: there is nothing to scale by
        return head
    held_out = _sigmoid(scale * out_of_fold + shift)
    return replace(head, weights=head.weights * scale, bias=head.bias * scale + shift, held_out=held_out)


def _held_out(rows: NDArray[np.float64], positive: Labels, splits: list[Split], c: float) -> Probabilities:
    probabilities = np.empty(len(positive), dtype=np.float64)
    for train, test in splits:
        weights, bias = _fit(rows[train], positive[train], c)
        probabilities[test] = _sigmoid(rows[test] @ weights + bias)
    return probabilities


def _fit(rows: NDArray[np.float64], positive: Labels, c: float) -> tuple[NDArray[np.float64], float]:
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread < 1e-9] = 1.0  # a feature that never varies tells nothing
    model = LogisticRegression(C=c, max_iter=2000).fit((rows - mean) / spread, positive)
    weights = model.coef_[0] / spread
    return weights, float(model.intercept_[0] - mean @ weights)


def _metrics(
    positive: Labels, probabilities: Probabilities, strength: float, folds: int, *, grouped: bool
) -> CrossValidation:
    return CrossValidation(
        n=len(positive),
        positives=int(positive.sum()),
        folds=folds,
        grouped=grouped,
        strength=strength,
        accuracy=float(accuracy_score(positive, probabilities >= 0.5)),
        roc_auc=float(roc_auc_score(positive, probabilities)),
        log_loss=float(log_loss(positive, probabilities)),
        brier=float(brier_score_loss(positive, probabilities)),
    )


def _sigmoid(logits: Probabilities) -> Probabilities:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)  # does not overflow
