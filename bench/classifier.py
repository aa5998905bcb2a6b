"""How good and how honest the histology classifier is on made vectors whose truth is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bench.figures import Figure
from bench.ground import Ground
from workers.ml.classifier import LinearHead, calibrated, fit
from workers.ml.evaluation import expected_calibration_error, line_within
from workers.ml.vectors import Vectors

SETS = 200
BOUND = 0.02
WIDTH, STEERED = 32, 8  # numbers of a vector, and how many of them say something
AUTHORS, OF_AUTHOR, UNSEEN = 100, 6, 2000
TASTE = 0.5  # how far an author's pictures lie from others', in standard deviations of a number
SPREAD = float(np.sqrt(1 + TASTE**2))  # of a number over all authors


@dataclass(frozen=True)
class Kind:
    """A kind of made set: how far apart the two classes lie, the share of histology, and of labels that are wrong."""

    name: str
    apart: float
    positive: float
    wrong: float = 0.0


KINDS = (
    Kind("well told apart", 3.0, 0.6),
    Kind("poorly told apart", 1.2, 0.6),
    Kind("few are histology", 2.0, 0.1),
    Kind("5 % of the labels are wrong", 3.0, 0.6, 0.05),
)


@dataclass(frozen=True)
class Made:
    """Vectors [n, 32], their true classes [n] and those that a reviewer said [n], and their authors [n]."""

    vectors: Vectors
    truth: NDArray[np.bool_]
    said: NDArray[np.bool_]
    authors: list[str]


def made(kind: Kind, rng: np.random.Generator, authors: int, of_author: int) -> Made:
    """Two Gaussian clouds that overlap; the optimal classifier knows their distance, ours learns it."""
    count = authors * of_author
    truth = rng.random(count) < kind.positive
    of = np.repeat(np.arange(authors), of_author)
    vectors = rng.standard_normal((count, WIDTH)) + TASTE * rng.standard_normal((authors, WIDTH))[of]
    vectors[:, :STEERED] += np.where(truth, 0.5, -0.5)[:, None] * kind.apart / np.sqrt(STEERED)
    said = truth ^ (rng.random(count) < kind.wrong)
    return Made(vectors.astype(np.float32), truth, said, [str(one) for one in of])


def best_possible(kind: Kind) -> float:
    """ROC AUC of the classifier that knows how the vectors were made: Φ(d / √2) of two clouds d deviations apart."""
    return float(norm.cdf(kind.apart / SPREAD / np.sqrt(2)))


def lost_below(line: float, head: LinearHead, kind: Kind) -> float:
    """The share of all histology, also of authors never seen, that the head scores below a line; exact."""
    centre = 0.5 * kind.apart / np.sqrt(STEERED) * head.weights[:STEERED].sum() + head.bias
    return float(norm.cdf((logit(line) - centre) / (SPREAD * np.linalg.norm(head.weights))))


@dataclass(frozen=True)
class Found:
    """Of one made set: area and calibration error on unseen authors, and the share that the proposed line loses."""

    auc: float
    ece: float
    lost: float | None


def measured(kind: Kind, seed: int) -> Found:
    """Trained and calibrated as from reviews; a line from held-out authors; measured on authors that nobody saw."""
    rng = np.random.default_rng(seed)
    learned, held, unseen = (made(kind, rng, count, OF_AUTHOR) for count in (AUTHORS, AUTHORS, UNSEEN // OF_AUTHOR))
    head = calibrated(fit(learned.vectors, learned.said.tolist(), seed, learned.authors), learned.said)
    scores = head.predict(unseen.vectors)
    line, _ = line_within(head.predict(held.vectors)[held.said], BOUND)
    lost = None if line is None else lost_below(line, head, kind)
    return Found(float(roc_auc_score(unseen.truth, scores)), expected_calibration_error(unseen.truth, scores), lost)


def run(ground: Ground) -> list[Figure]:
    sets = ground.count(SETS, least=10)
    figures = []
    for number, kind in enumerate(KINDS):
        found = [measured(kind, seed=1000 * number + at) for at in range(sets)]
        figures += figures_of(kind, found)
    return figures


def figures_of(kind: Kind, found: list[Found]) -> list[Figure]:
    auc, ece = (np.mean([getattr(one, name) for one in found]) for name in ("auc", "ece"))
    lost = [one.lost for one in found if one.lost is not None]
    holds = sum(share <= BOUND for share in lost)
    shown = f"{best_possible(kind):.3f} for the best possible; mean of {len(found)} sets"
    proposed = f"{holds} of {len(lost)} proposed in {len(found)} sets"
    coverage = Figure(
        f"Lines that lose at most {BOUND:.0%}, {kind.name}", 100 * holds / max(1, len(lost)), "%", proposed, at_least=95
    )
    return [
        Figure(f"ROC AUC on unseen authors, {kind.name}", float(auc), "", shown),
        Figure(f"Calibration error, {kind.name}", 100 * float(ece), "%", "15 bins"),
        *([coverage] if lost else []),
    ]
