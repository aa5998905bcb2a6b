"""Runs side by side: figures and settings as rows, and what differs in words. Pure, from rows that were read."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.spreadsheets import neutral
from app.tables import RunEpoch
from app.training.policies import LABELS, LOSS, RECALLS, words
from app.training.queries import ShownRun
from app.training.settings import title_of
from app.web.filters import NOTHING, bytes_size, duration, percent, thousands

MOST = 12  # as many as a sweep has


@dataclass(frozen=True)
class Compared:
    """A run with what it reached. `speed` in pairs a second, `seconds` of training, `memory` in bytes at most."""

    shown: ShownRun
    epochs: list[RunEpoch]
    speed: float | None

    @property
    def best(self) -> RunEpoch | None:
        """The best epoch by the run's own setting."""
        return next((epoch for epoch in self.epochs if epoch.epoch == self.shown.run.best_epoch), None)

    @property
    def seconds(self) -> float | None:
        """Of training, without waiting, over all its attempts."""
        trained: float | None = self.shown.run.report.get("trained_seconds")
        return trained

    @property
    def memory(self) -> int | None:
        report = self.shown.run.report
        most: int | None = report.get("gpu_memory") or report.get("memory")
        return most


@dataclass(frozen=True)
class Row:
    """A figure or setting of each run: its value for a script, and as a page shows it.

    `signed` says a difference of two values in words, where one means something.
    """

    label: str
    values: list[Any]
    cells: list[str]
    best: int | None = None
    signed: Callable[[float], str] | None = None

    @property
    def difference(self) -> str:
        """The first run's figure less the second's; empty unless both have one."""
        if self.signed is None or len(self.values) != 2 or None in self.values:
            return ""
        return self.signed(self.values[0] - self.values[1]).replace("-", "−")

    @property
    def differs(self) -> bool:
        return len(set(self.cells)) > 1


def rows(runs: Sequence[Compared]) -> list[Row]:
    """Data and start, then figures, then settings."""
    return [*_start(runs), *_figures(runs), *_settings(runs)]


def _row(
    runs: Sequence[Compared],
    label: str,
    value: Callable[[Compared], Any],
    shown: Callable[[Any], str],
    signed: Callable[[float], str] | None = None,
) -> Row:
    values = [value(one) for one in runs]
    return Row(label, values, [NOTHING if one is None else shown(one) for one in values], signed=signed)


def _start(runs: Sequence[Compared]) -> list[Row]:
    return [
        _row(runs, "Snapshot", lambda one: one.shown.data, str),
        _row(runs, "Start", _begun, str),
        _row(runs, "Recipe", lambda one: title_of(one.shown.run.recipe), str),
    ]


def _begun(one: Compared) -> str:
    earlier = one.shown.goes_on_from
    return f"{one.shown.start}, after run {earlier}" if earlier else one.shown.start


def _figures(runs: Sequence[Compared]) -> list[Row]:
    metrics = {LOSS: "Validation loss"} | dict(RECALLS)
    return [
        *(_metric(runs, name, label) for name, label in metrics.items()),
        _row(runs, "R@10, image to text, strict", lambda one: _strict(one, "image_to_text"), _share, _points),
        _row(runs, "R@10, text to image, strict", lambda one: _strict(one, "text_to_image"), _share, _points),
        _row(runs, "Knew of drawn shapes before", lambda one: _known(one, "before"), _share, _points),
        _row(runs, "Knows of drawn shapes after", lambda one: _known(one, "after"), _share, _points),
        _row(runs, "Best epoch", lambda one: one.shown.run.best_epoch, thousands),
        _row(runs, "Epochs done", lambda one: len(one.epochs), thousands),
        _row(runs, "Pairs a second", lambda one: one.speed, lambda speed: thousands(round(speed)), "{:+,.0f}".format),
        _row(runs, "Time", lambda one: one.seconds, duration),
        _row(runs, "Most memory", lambda one: one.memory, bytes_size),
    ]


def _share(value: float) -> str:
    return percent(value, 1)


def _points(difference: float) -> str:
    """Of two shares, in percentage points."""
    return f"{100 * difference:+.1f}"


def _strict(one: Compared, way: str) -> float | None:
    """Of the finished model: one picture, one caption, on its validation pairs."""
    reached: float | None = (one.shown.run.report.get("retrieval") or {}).get("strict", {}).get(way, {}).get("R@10")
    return reached


def _known(one: Compared, when: str) -> float | None:
    known: float | None = ((one.shown.run.report.get("forgetting") or {}).get(when) or {}).get("accuracy")
    return known


def _metric(runs: Sequence[Compared], name: str, label: str) -> Row:
    """Of the best epoch; the best of all runs is marked where they were asked the same question.

    A validation loss is the cross-entropy within a batch, so it depends on its size; a recall only on the pairs.
    """
    is_loss = name == LOSS
    row = _row(
        runs,
        f"{label}, best epoch",
        lambda one: one.best.metrics.get(name) if one.best else None,
        *(("{:.3f}".format, "{:+.3f}".format) if is_loss else (_share, _points)),
    )
    known = [value for value in row.values if value is not None]
    asked = {_asked(one, is_loss) for one, value in zip(runs, row.values, strict=True) if value is not None}
    if len(set(known)) < 2 or len(asked) > 1:
        return row
    return replace(row, best=row.values.index((min if is_loss else max)(known)))


def _asked(one: Compared, is_loss: bool) -> tuple[Any, ...]:
    """What a figure of the validation depends on beside the model."""
    settings = one.shown.settings
    return (one.shown.run.snapshot_id, *((settings.batch_size, settings.siglip) if is_loss else ()))


def _settings(runs: Sequence[Compared]) -> list[Row]:
    each = [one.shown.settings.as_json() for one in runs]
    return [
        Row(label, [settings[name] for settings in each], [words(settings[name], name) for settings in each])
        for name, label in LABELS.items()
    ]


def told(runs: Sequence[Compared]) -> str:
    """What they differ in, in one sentence."""
    found = [row.label for row in (*_start(runs), *_settings(runs)) if row.differs and row.label != "Recipe"]
    if not found:
        return "They have the same data, start and settings."
    if len(found) > 4:
        return f"They differ in {len(found)} settings."
    named = [found[0].lower(), *(label.lower() for label in found[1:])]
    return f"They differ in the {' and the '.join(named)}{' only' if len(found) == 1 else ''}."


def as_csv(runs: Sequence[Compared]) -> str:
    out = io.StringIO()
    file = csv.writer(out)
    file.writerow(["figure", *(f"run {one.shown.run.id}" for one in runs)])
    file.writerows([neutral(cell) for cell in (row.label, *row.values)] for row in rows(runs))
    return out.getvalue()
