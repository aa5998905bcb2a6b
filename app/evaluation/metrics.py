"""The names of figures: what people call them, how they are written, and which way is better. Pure.

A figure's key is plain (`accuracy`), of a number of shots (`balanced_accuracy.k16`), or of a search
(`text_to_image.r10.strict`).
"""

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

from app.evaluation.policies import KS, RANKS, Task

MINUS = "\N{MINUS SIGN}"
NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "weighted_f1": "Weighted F1",
    "auroc": "AUROC",
    "auroc_ovo": "AUROC, one against one",
    "auroc_ovr": "AUROC, one against the rest",
    "kappa": "Cohen’s κ",
    "quadratic_kappa": "Quadratic κ",
    "ece": "Calibration error",
    "ece_adaptive": "Calibration error, equal counts",
    "brier": "Brier score",
    "median_rank": "Median rank",
    "mrr": "Mean reciprocal rank",
}
SHARES = ("accuracy", "balanced_accuracy", "ece", "ece_adaptive")
LOWER_IS_BETTER = ("ece", "ece_adaptive", "brier", "median_rank")
DIRECTIONS = {"text_to_image": "Text to image", "image_to_text": "Image to text"}


def name(key: str) -> str:
    """`text_to_image.r10.strict` → Text to image, R@10, strict."""
    return ", ".join(_part(part) for part in key.split("."))


def _part(part: str) -> str:
    if part in DIRECTIONS:
        return DIRECTIONS[part]
    if part[1:].isdecimal():
        return f"R@{part[1:]}" if part[0] == "r" else f"{part[1:]} a class"
    return NAMES.get(part, part.replace("_", "-" if part == "group_aware" else " "))


def is_share(key: str) -> bool:
    """Whether the figure is written in percent."""
    return any(part in SHARES for part in key.split(".")) or _is_recall(key)


def _is_recall(key: str) -> bool:
    return any(part[0] == "r" and part[1:].isdecimal() for part in key.split("."))


def counted(key: str) -> str:
    """The count of an evaluation that the figure is over: a strict search is among fewer pairs."""
    return "strict_n" if "strict" in key.split(".") else "n"


def lower_is_better(key: str) -> bool:
    return any(part in LOWER_IS_BETTER for part in key.split("."))


def written(key: str, value: float | None, digits: int = 1) -> str:
    """A figure without its unit: 72.1 for shares, 0.694 for others, 14 for ranks."""
    if value is None:
        return "–"
    if is_share(key):
        said = f"{100 * value:.{digits}f}"
    else:
        said = f"{value:.1f}" if "median_rank" in key.split(".") else f"{value:.{digits + 2}f}"
    return said.replace("-", MINUS)


def chance(key: str, value: float | None) -> str:
    """A figure of guessing: of a search among many, with as many digits as tell it from 0."""
    if not value or not _is_recall(key):
        return written(key, value)
    return written(key, value, max(2, -floor(log10(100 * value))))


def in_order(task: Task, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as a menu lists them; those that no menu knows come last."""
    places = {key: place for place, key in enumerate(known(task))}
    return dict(sorted(figures.items(), key=lambda one: (places.get(one[0], len(places)), one[0])))


def usual(task: Task, ks: Sequence[int] = KS) -> str:
    """The figure that a table shows unless another is asked for; `ks` are few-shot's pictures a class."""
    if task is Task.FEW_SHOT:
        return f"balanced_accuracy.k{max(ks)}"
    return {Task.RETRIEVAL: "text_to_image.r1.strict", Task.LINEAR_PROBE: "balanced_accuracy"}.get(task, "accuracy")


def known(task: Task, ks: Sequence[int] = KS) -> list[str]:
    """The figures that a task may have, in the order of a menu; `ks` are few-shot's pictures a class."""
    plain = ["accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "auroc", "auroc_ovo", "auroc_ovr", "kappa"]
    if task is Task.FEW_SHOT:
        return [f"{one}.k{k}" for one in ("balanced_accuracy", "accuracy", "macro_f1") for k in ks]
    if task is Task.RETRIEVAL:
        ranks = [f"r{k}" for k in RANKS] + ["median_rank", "mrr"]
        return [f"{way}.{one}.{how}" for how in ("strict", "group_aware") for way in DIRECTIONS for one in ranks]
    return [*plain, "quadratic_kappa", "ece", "ece_adaptive", "brier"]
