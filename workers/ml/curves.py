"""What a trainer leaves in its folder: TensorBoard scalars by step, validations by epoch, and the names of the rest."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TAGS = {
    "train/loss": "loss",
    "train/lr": "learning_rate",
    "train/scale": "logit_scale",
    "train/samples_per_second": "pairs_per_second",
}
RECALLS = ("image_to_text_R@10", "text_to_image_R@10")
LOSS = "clip_val_loss"
CHECKPOINTS, BEST, RESULTS, STARTED = "checkpoints", "best.pt", "results.jsonl", "started.json"
IN_USE = "Another process trains in this folder."
NOT_FINITE = "The weights are no longer numbers after epoch"


@dataclass(frozen=True)
class Step:
    """One optimiser step, counted from 0, as open_clip_train logs it (float32)."""

    step: int
    loss: float
    learning_rate: float
    logit_scale: float
    pairs_per_second: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss)


class Curves:
    """Reads the event files of a folder as they grow; each `read` goes on where the one before ended.

    Every start of the trainer writes a file of its own, so steps of a repeated epoch come again, later ones last.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, Any] = {}
        self._begun: dict[int, dict[str, float]] = {}

    def read(self) -> list[Step]:
        """The steps that became whole since the last call, in the order of writing."""
        return [step for path in sorted(self._folder.glob("events.*")) for step in self._whole(path)]

    def _whole(self, path: Path) -> Iterator[Step]:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        if path not in self._files:
            self._files[path] = LegacyEventFileLoader(str(path))
            self._begun.clear()
        for event in self._files[path].Load():
            for value in event.summary.value:
                if value.tag in TAGS:
                    values = self._begun.setdefault(event.step, {})
                    values[TAGS[value.tag]] = value.simple_value
                    if len(values) == len(TAGS):
                        yield Step(event.step, **self._begun.pop(event.step))


def read_results(path: Path) -> dict[int, dict[str, float]]:
    """Epoch, counted from 1, → its figures, of open_clip_train's results.jsonl.

    An epoch that was repeated has several lines, of which the last counts; a line still being written is left
    for the next call, and figures that are no number are left out.
    """
    found: dict[int, dict[str, float]] = {}
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    for line in lines:
        try:
            figures = json.loads(line)
            epoch = int(figures["epoch"])
        except (ValueError, KeyError, TypeError):
            continue
        found[epoch] = {name: value for name, value in figures.items() if math.isfinite(value)}
    return found


def best_epoch(results: Mapping[int, Mapping[str, float]], best_by: str) -> int | None:
    """The epoch with the highest mean R@10 of both directions, or with the least loss; the earliest of equals.

    Equal recalls are told apart by the loss: of few pairs R@10 is soon 1.
    """

    def rank(epoch: int) -> tuple[float, float]:
        figures = results[epoch]
        recall = sum(figures.get(name, -math.inf) for name in RECALLS) if best_by == "recall" else 0.0
        return recall, -figures.get(LOSS, math.inf)

    return max(sorted(results), key=rank, default=None)


def is_out_of_patience(results: Mapping[int, Mapping[str, float]], best_by: str, patience: int) -> bool:
    """Whether `patience` epochs have passed since the best one; never with 0."""
    best = best_epoch(results, best_by)
    return bool(patience) and best is not None and max(results) - best >= patience
