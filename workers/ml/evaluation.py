"""How good a yes-or-no classifier is on examples that it has not seen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, log_loss, roc_auc_score

RELIABILITY_BINS = 15
CURVE_POINTS = 41
RESAMPLES = 500
SURE = 0.95

Labels = NDArray[np.bool_]
Probabilities = NDArray[np.float64]


def evaluate(
    positive: Labels, probabilities: Probabilities, groups: Sequence[str], line: float, seed: int = 0
) -> dict[str, Any]:
    """All that a page compares of a classifier, in plain numbers.

    `positive` and `probabilities` are [n] of examples from `groups` [n] (authors) that it was not trained on.
    `confusion` is [[true negative, false positive], [false negative, true positive]] at `line`; `reliability`
    holds (mean probability, share positive, count) of 15 equal-width bins; `risk_coverage` holds (share kept,
    share wrong among them) for lines from strict to none. Raises ValueError unless both classes are there.
    """
    low, high = _auc_interval(positive, probabilities, groups, seed)
    return {
        "n": len(positive),
        "positives": int(positive.sum()),
        "groups": len(set(groups)),
        "roc_auc": float(roc_auc_score(positive, probabilities)),
        "roc_auc_low": low,
        "roc_auc_high": high,
        "pr_auc": float(average_precision_score(positive, probabilities)),
        "ece": expected_calibration_error(positive, probabilities),
        "brier": float(brier_score_loss(positive, probabilities)),
        "log_loss": float(log_loss(positive, probabilities)),
        "confusion": confusion_matrix(positive, probabilities >= line, labels=[False, True]).tolist(),
        "line": line,
        "reliability": reliability(positive, probabilities),
        "risk_coverage": risk_coverage(positive, probabilities),
    }


def bins(probabilities: Probabilities) -> NDArray[np.intp]:
    """The bin [n] of each probability, of 15 of equal width."""
    return np.minimum((probabilities * RELIABILITY_BINS).astype(np.intp), RELIABILITY_BINS - 1)


def reliability(positive: Labels, probabilities: Probabilities) -> list[tuple[float, float, int]]:
    at = bins(probabilities)
    return [
        (float(probabilities[at == b].mean()), float(positive[at == b].mean()), int((at == b).sum()))
        for b in np.unique(at)
    ]


def expected_calibration_error(positive: Labels, probabilities: Probabilities) -> float:
    """Mean distance of probability and frequency over 15 equal-width bins (Naeini et al., AAAI 2015)."""
    parts = reliability(positive, probabilities)
    return sum(count * abs(mean - share) for mean, share, count in parts) / len(positive)


def risk_coverage(positive: Labels, probabilities: Probabilities) -> list[tuple[float, float]]:
    """(Share kept, share of negatives among the kept), the highest probabilities first (Geifman, El-Yaniv 2017)."""
    wrong = ~positive[np.argsort(-probabilities, kind="stable")]
    kept = np.unique(np.linspace(1, len(wrong), CURVE_POINTS).round().astype(int))
    risk = np.cumsum(wrong)[kept - 1] / kept
    return [(float(count / len(wrong)), float(share)) for count, share in zip(kept, risk, strict=True)]


def _auc_interval(
    positive: Labels, probabilities: Probabilities, groups: Sequence[str], seed: int
) -> tuple[float, float]:
    """95 % percentile bootstrap over groups: pictures of one author are not independent."""
    rng = np.random.default_rng(seed)
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    rows = [np.flatnonzero(codes == code) for code in range(len(names))]
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[code] for code in rng.integers(0, len(rows), len(rows))])
        if 0 < positive[drawn].sum() < len(drawn):
            values.append(roc_auc_score(positive[drawn], probabilities[drawn]))
    if not values:
        return 0.0, 1.0
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def most_surprising(positive: Labels, probabilities: Probabilities, count: int) -> list[int]:
    """The rows on which the classifier is most wrong, the worst first; none that it gets right."""
    error = np.abs(probabilities - positive)
    order = np.argsort(-error, kind="stable")[:count]
    return [int(row) for row in order if error[row] > 0.5]


def line_within(good: Probabilities, bound: float) -> tuple[float | None, int]:
    """(The highest line that loses at most `bound` of good ones, 95 % sure; how many good ones are missing for one).

    `good` are the probabilities [n] of good ones that nothing was trained on. The line is the k-th smallest of
    them: the share below it is Beta(k, n − k + 1), so it holds with certainty 1 − P(Binomial(n, bound) < k)
    (distribution-free tolerance limits; Wilks 1941).
    """
    fewest = int(np.ceil(np.log(1 - SURE) / np.log(1 - bound)))
    if len(good) < fewest:
        return None, fewest - len(good)
    k = int(binom.ppf(1 - SURE, len(good), bound))
    while binom.cdf(k, len(good), bound) > 1 - SURE:
        k -= 1
    return float(np.sort(good)[k]), 0
