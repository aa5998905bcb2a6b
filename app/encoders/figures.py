"""What is known of how well a model does, each figure with its protocol. Pure: from its run's report and validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.training.policies import recall as mean_recall

CHOSE_IT = "{pool} validation pairs, by which its epoch was chosen"
DIRECTIONS = {"image_to_text": "image to text", "text_to_image": "text to image"}
KINDS = {  # what is right, in words, and which figures are shown of it
    "strict": (f"{CHOSE_IT}; strict: none share a post, group or caption", ("R@1", "R@10")),
    "grouped": (f"{CHOSE_IT}; what shares a post, group or caption counts as right", ("R@10",)),
}


@dataclass(frozen=True)
class Figure:
    """A share of one, with its 95 % interval where one was measured."""

    name: str
    value: float
    protocol: str
    low: float | None = None
    high: float | None = None


def figures_of(report: Mapping[str, Any], validation: Mapping[str, Any], epoch: int | None) -> list[Figure]:
    """Retrieval on the run's validation pairs and zero-shot on a small drawn set, as the run's report has them.

    Where a run ended before they were measured, what the trainer said of its best epoch.
    """
    measured = report.get("retrieval") or {}
    retrieval = [
        _recall(k, kind, way, measured[kind][way])
        for kind, (_, ks) in KINDS.items()
        for k in ks
        for way in DIRECTIONS
        if way in measured.get(kind, {})
    ]
    return [*(retrieval or _by_trainer(validation, epoch)), *_zero_shot(report)]


def recall(report: Mapping[str, Any], validation: Mapping[str, Any]) -> float | None:
    """R@10 as one number: the mean of both directions, strict where it was measured."""
    strict = (report.get("retrieval") or {}).get("strict") or {}
    return mean_recall({**validation, **{f"{way}_R@10": found["R@10"] for way, found in strict.items()}})


def zero_shot(report: Mapping[str, Any]) -> float | None:
    after = (report.get("forgetting") or {}).get("after") or {}
    return after.get("accuracy")


def _recall(k: str, kind: str, way: str, found: Mapping[str, Any]) -> Figure:
    protocol = KINDS[kind][0].format(pool=f"{found['pool']:,}") + f"; chance is {found['chance'][k]:.1%}"
    low, high = (found.get("intervals") or {}).get(k) or (None, None)
    return Figure(f"{k}, {DIRECTIONS[way]}", found[k], protocol, low, high)


def _by_trainer(validation: Mapping[str, Any], epoch: int | None) -> list[Figure]:
    protocol = f"validation pairs of its run, by which epoch {epoch} was chosen, in one pool, by open_clip's trainer"
    return [
        Figure(f"R@{k}, {words}", float(validation[f"{way}_R@{k}"]), protocol)
        for k in (1, 10)
        for way, words in DIRECTIONS.items()
        if f"{way}_R@{k}" in validation
    ]


def _zero_shot(report: Mapping[str, Any]) -> list[Figure]:
    after = (report.get("forgetting") or {}).get("after") or {}
    if "accuracy" not in after:
        return []
    protocol = (
        f"colour and shape of {after['n']:,} drawn pictures, nothing of pathology; chance is {after['chance']:.1%}"
    )
    return [Figure("Zero-shot accuracy", after["accuracy"], protocol, after["low"], after["high"])]
