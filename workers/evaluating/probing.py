"""Linear probes: a logistic regression on frozen features, by the rule of one protocol or another.

Whatever is chosen is chosen on the training items alone. The features come as the network gives them, float32 and
contiguous; "ours" makes one copy of them, the others that of L2 normalisation or none.
"""

import os
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import f1_score, log_loss
from threadpoolctl import threadpool_limits

from workers.ml.folds import Split, TooFewLabels, stratified
from workers.ml.vectors import Vectors, l2_normalised

__all__ = ["PRESETS", "Preset", "Probe", "TooFewLabels", "fitted", "probe"]

Codes = NDArray[np.intp]
PresetName = Literal["ours", "plip", "conch"]

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)  # C on features of length 1
WORSE = 2  # strengths in a row that are worse than the best end the search: the curve has one valley
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # alpha, as PLIP's reproduce.sh tries them
STEPS = 1_000


@dataclass
class Probe:
    """What a probe says of the test items: predictions [n] and probabilities [n, k], columns as the classes are.

    `tried` are the strengths (or penalties) that were compared on held-out training items, with the loss (or macro
    F1) there; `untrained` are the classes without training items, which it can't predict.
    """

    predicted: Codes
    probabilities: NDArray[np.float32]
    settings: dict[str, Any]
    converged: bool
    steps: int
    tried: list[tuple[float, float]] = field(default_factory=list)
    untrained: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Preset:
    """A protocol: how it learns, the seeds it is run with, and where it is from."""

    learn: Callable[[Vectors, Codes, Sequence[Hashable] | None, int], "Learned"]
    seeds: tuple[int, ...]
    is_normalised: bool
    source: str


@dataclass
class Learned:
    model: Any  # of scikit-learn: classes_, predict, predict_proba
    settings: dict[str, Any]
    converged: bool
    steps: int
    tried: list[tuple[float, float]] = field(default_factory=list)


def probe(
    train: Vectors,
    labels: Codes,
    test: Vectors,
    count: int,
    *,
    preset: PresetName = "ours",
    groups: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Probe:
    """Learns `labels` [n], places among `count` classes, from `train` [n, d] and answers for `test` [m, d].

    `groups` [n] never straddle what is learned from and what a setting is chosen on. Raises TooFewLabels where there
    is one class only, or too little of one to choose a setting; ValueError for features that are not finite.
    """
    if len(np.unique(labels)) < 2:
        raise TooFewLabels("The training split has one class only: there is nothing to tell apart.")
    if not np.isfinite(train).all() or not np.isfinite(test).all():
        raise ValueError("Some features are not finite numbers: the model is broken, or an item was not left out.")
    rule = PRESETS[preset]
    lengths = l2_normalised if rule.is_normalised else np.asarray
    learned = rule.learn(lengths(train), labels, groups, seed)
    return _answered(learned, lengths(test), count, preset, seed)


def _answered(learned: Learned, test: Vectors, count: int, preset: str, seed: int) -> Probe:
    probabilities = np.zeros((len(test), count), dtype=np.float32)
    known = np.asarray(learned.model.classes_, dtype=np.intp)
    if len(test):
        probabilities[:, known] = learned.model.predict_proba(test)
        predicted = np.asarray(learned.model.predict(test), dtype=np.intp)
    else:
        predicted = np.empty(0, dtype=np.intp)
    settings = {"preset": preset, "seed": seed, **learned.settings}
    untrained = [c for c in range(count) if c not in known]
    return Probe(predicted, probabilities, settings, learned.converged, learned.steps, learned.tried, untrained)


# --- ours ---------------------------------------------------------------------------------------


def fitted(rows: Vectors, labels: Codes, strength: float) -> Learned:
    """L-BFGS to the optimum of C = `strength` on `rows` [n, d], which are changed."""
    scaling = _scaled(rows)
    with _quiet():
        model = _fit(_lbfgs(strength, scaling), rows, labels)
    return Learned(_unscaled(model, scaling), {"C": strength}, *_ended(model))


def _ours(rows: Vectors, labels: Codes, groups: Sequence[Hashable] | None, seed: int) -> Learned:
    """C by log loss, a proper score, over grouped 5-fold cross-validation."""
    folds = stratified(labels, groups, seed)
    scaling = _scaled(rows)
    with _quiet():
        tried = _searched(rows, labels, folds, scaling)
        best = min(tried, key=lambda one: one[1])[0]
        model = _fit(_lbfgs(best, scaling), rows, labels)
    settings = {"C": best, "folds": len(folds), "chosen_by": "log loss of held-out folds"}
    return Learned(_unscaled(model, scaling), settings, *_ended(model), tried)


class Scaling(NamedTuple):
    mean: Vectors  # [d]
    spread: float


def _scaled(rows: Vectors) -> Scaling:
    """Takes the mean off `rows`, in place, and divides them by one number, their spread.

    The optimum stays what it was: the intercept is not penalised, and C goes with the spread's square. But the
    features of a CLIP all point one way and hardly differ, and L-BFGS as it comes creeps on such or stops too soon.
    """
    mean = rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)
    rows -= mean
    spread = float(np.sqrt(np.einsum("nd,nd->", rows, rows, dtype=np.float64) / rows.size)) or 1.0
    rows /= rows.dtype.type(spread)
    return Scaling(mean, spread)


def _unscaled(model: LogisticRegression, scaling: Scaling) -> LogisticRegression:
    """The same model for rows as they were."""
    model.coef_ = model.coef_.astype(np.float64) / scaling.spread
    model.intercept_ = model.intercept_ - model.coef_ @ scaling.mean
    return model


def _searched(rows: Vectors, labels: Codes, folds: Sequence[Split], scaling: Scaling) -> list[tuple[float, float]]:
    """(C, mean held-out log loss), from the smallest C up; each fit begins where the one before it ended.

    The folds are learned beside each other on one matrix: rows that are held out weigh nothing, which spares copies.
    """
    models = [_lbfgs(STRENGTHS[0], scaling) for _ in folds]
    sizes = [len(held) for _, held in folds]
    tried: list[tuple[float, float]] = []

    def loss(place: int, strength: float) -> float:
        model, (learn, held) = models[place], folds[place]
        model.C = strength * scaling.spread**2
        weights = np.zeros(len(rows), dtype=rows.dtype)
        weights[learn] = 1
        said = _fit(model, rows, labels, weights).predict_proba(rows[held])
        return float(log_loss(labels[held], said, labels=model.classes_))

    with ThreadPoolExecutor(min(len(folds), os.cpu_count() or 1)) as pool:
        for strength in STRENGTHS:
            losses = list(pool.map(loss, range(len(folds)), [strength] * len(folds)))
            tried.append((strength, float(np.average(losses, weights=sizes))))
            best = min(range(len(tried)), key=lambda place: tried[place][1])
            if len(tried) - 1 - best >= WORSE:
                break
    return tried


def _lbfgs(strength: float, scaling: Scaling) -> LogisticRegression:
    return LogisticRegression(C=strength * scaling.spread**2, max_iter=STEPS, warm_start=True)


def _fit(model: LogisticRegression, rows: Vectors, labels: Codes, weights: Vectors | None = None) -> LogisticRegression:
    return model.fit(rows, labels, sample_weight=weights)


def _ended(model: LogisticRegression) -> tuple[bool, int]:
    """Whether it converged, and after how many steps."""
    steps = int(np.max(model.n_iter_))
    return steps < model.max_iter, steps


@contextmanager
def _quiet() -> Iterator[None]:
    """Whether a fit converged is in what is returned. One thread a matrix product: more only wait for each other."""
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


# --- as published -------------------------------------------------------------------------------


def _plip(rows: Vectors, labels: Codes, groups: Sequence[Hashable] | None, seed: int) -> Learned:
    """SGD on the log loss with balanced classes; alpha by macro F1 on a fifth of train, where PLIP's code had test."""
    learn, held = stratified(labels, groups, seed)[0]

    def score(alpha: float) -> float:
        said = _sgd(rows[learn], labels[learn], alpha, seed).predict(rows[held])
        return float(f1_score(labels[held], said, average="macro", zero_division=0))

    tried = [(alpha, score(alpha)) for alpha in PENALTIES]
    best = max(tried, key=lambda one: one[1])[0]
    model = _sgd(rows, labels, best, seed)
    settings = {"alpha": best, "class_weight": "balanced", "chosen_by": "macro F1 of a fifth of train"}
    return Learned(model, settings, model.n_iter_ < model.max_iter, int(model.n_iter_), tried)


def _sgd(rows: Vectors, labels: Codes, alpha: float, seed: int) -> SGDClassifier:
    model = SGDClassifier(
        loss="log_loss", penalty="l2", alpha=alpha, max_iter=10_000, class_weight="balanced", random_state=seed
    )
    with _quiet():
        return model.fit(rows, labels)


def _conch(rows: Vectors, labels: Codes, _groups: Sequence[Hashable] | None, _seed: int) -> Learned:
    """C = width × classes / 100 on the features as they come; nothing is chosen."""
    strength = rows.shape[1] * len(np.unique(labels)) / 100
    with _quiet():
        model = _fit(LogisticRegression(C=strength, max_iter=STEPS, random_state=0), rows, labels)
    return Learned(model, {"C": strength, "max_iter": STEPS}, *_ended(model))


PRESETS: dict[PresetName, Preset] = {
    "ours": Preset(_ours, (0,), True, "L2-normalised, L-BFGS, C by grouped 5-fold cross-validation on train"),
    "plip": Preset(_plip, (1, 2, 3, 4, 5), True, "PLIP (Huang et al. 2023): its published script"),
    "conch": Preset(_conch, (0,), False, "CONCH (Lu et al. 2024): as in its methods; train and val together"),
}
