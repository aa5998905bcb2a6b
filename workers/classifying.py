"""The tasks on an evaluation set: classes by their wording, or by a head that learns from training pictures."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import Conflict
from app.evaluation import catalogue, folders
from app.evaluation.policies import Task
from app.tables import ClassPrompts, EvaluationSet
from workers.evaluating import zero_shot
from workers.evaluating.calibration import calibration_error, reliability, temperature
from workers.evaluating.features import Features, cache_name, features
from workers.evaluating.few_shot import few_shot
from workers.evaluating.metrics import Codes
from workers.evaluating.probing import PRESETS, probe
from workers.evaluation_sets import IMPORTER_VERSION, Item
from workers.ml.encoder import Encoder as Network
from workers.ml.vectors import Vectors
from workers.outcome import Answers, Draw, Outcome, Skipped, classified, merged
from workers.set_files import file_digests, open_unchanged, place_in_file

Progress = Callable[[int, int], None]

HELD = 1_000  # held-out items that a temperature is fitted on, at most
WRONGEST = 24
CELLS, OF_CELL = 20, 6


@dataclass
class Set:
    """A set's items under one variant as they were read, and where their pictures lie."""

    root: Path
    layout: str
    classes: list[str]
    items: list[Item]
    numbers: dict[str, int]
    files: dict[str, str]  # item → SHA-256 of the file that it is or lies in
    ordered: bool
    unread: Skipped = field(default_factory=list)  # items that could not be read with the set, or were missing
    is_current: bool = True  # of the folder's last reading
    is_fresh: bool = False  # features are made anew, whatever the cache holds

    def of_split(self, *splits: str) -> list[Item]:
        return [item for item in self.items if item.split in splits]

    @property
    def test(self) -> list[Item]:
        """What is measured on: the test pictures, or all where there is no test split."""
        return self.of_split("test") or self.items


def read_set(row: EvaluationSet, variant: str, items_sha256: str) -> Set:
    """The items that an evaluation was asked for. Raises Conflict when they are gone or other ones by now, NotFound
    for the folder."""
    root = folders.place(row.folder)
    every = list(folders.read_rows(folders.items_file(row.id, items_sha256)))
    files = {one["id"]: one["file"] for one in every}
    rows = [one for one in every if one["variant"] == variant]
    now = file_digests(root, [one["id"] for one in rows])
    if other := [one["id"] for one in rows if now[one["id"]] != one["file"]]:
        count = f"{len(other):,} of the {len(rows):,} pictures"
        raise Conflict(f"{count} changed since the set was read, {other[0]} first.", "Read the set again.")
    items = [Item(one["id"], one["label"], one["split"], one["group"], one.get("caption", "")) for one in rows]
    seen = {item.label for item in items}
    classes = [key for key in row.report["classes"] if key in seen]
    numbers = {one["id"]: one["number"] for one in rows}
    problems = folders.read_rows(folders.problems_file(row.id, items_sha256))
    unread = [(one["path"], one["why"]) for one in problems if one["what"] in ("unreadable", "missing")]
    ordered, is_current = catalogue.known(row.layout).ordered, row.items_sha256 == items_sha256
    return Set(root, row.layout, classes, items, numbers, files, ordered, unread, is_current)


def features_of(network: Network, checksum: str, of: Set, items: Sequence[Item], progress: Progress) -> Features:
    """Features of items, from the cache as far as they are there. Raises Changed for another file than was read.

    They are kept by the bytes of the picture's file and the place in it: a set that is read again, or another one with
    the same picture, takes them from there.
    """
    cache = None if of.is_fresh else folders.features_folder() / cache_name(network, checksum, _read_as(of.layout))
    read = partial(open_unchanged, of.root, of.layout, at_least=2 * network.image_size)
    keys = {one.id: f"{of.files[one.id] or one.id}{place_in_file(of.root, one.id)}" for one in items}
    first: dict[str, str] = {}
    for id_, key in keys.items():
        first.setdefault(key, id_)
    wanted = [(key, partial(read, id_, of.files[id_])) for key, id_ in first.items()]
    found = features(network, wanted, cache=cache, progress=progress)
    place, why = {key: at for at, key in enumerate(found.ids)}, dict(found.skipped)
    ids = [id_ for id_, key in keys.items() if key in place]
    vectors = found.vectors[[place[keys[id_]] for id_ in ids]]
    skipped = [(id_, why[key]) for id_, key in keys.items() if key in why]
    return replace(found, ids=ids, vectors=vectors, skipped=skipped)


def _read_as(layout: str) -> str:
    return f"{IMPORTER_VERSION} {layout}"


@dataclass
class Rows:
    """Readable items with their features [n, d] and classes [n]."""

    items: list[Item]
    vectors: Vectors
    truth: Codes

    @property
    def groups(self) -> list[str]:
        return [item.group for item in self.items]


def rows_of(found: Features, items: Sequence[Item], classes: Sequence[str]) -> Rows:
    place = {id_: at for at, id_ in enumerate(found.ids)}
    kept = [item for item in items if item.id in place]
    codes = {label: at for at, label in enumerate(classes)}
    vectors = found.vectors[[place[item.id] for item in kept]] if kept else found.vectors[:0]
    return Rows(kept, vectors, np.array([codes[item.label] for item in kept], dtype=np.intp))


def run(
    task: Task,
    network: Network,
    checksum: str,
    of: Set,
    settings: dict[str, Any],
    wording: ClassPrompts | None,
    progress: Progress,
) -> Outcome:
    """Measures a network on a set. Raises what the task's method raises, with a sentence that says what to change."""
    if task is Task.ZERO_SHOT:
        assert wording is not None
        made = _zero_shot(network, checksum, of, settings, wording, progress)
    else:
        made = _learned(task, network, checksum, of, settings, progress)
    made.files = {id_: of.files[id_] for id_ in (*made.columns["item"], *made.learned_from)}
    return made


# --- zero-shot ----------------------------------------------------------------------------------


def _zero_shot(
    network: Network, checksum: str, of: Set, settings: dict[str, Any], wording: ClassPrompts, progress: Progress
) -> Outcome:
    classes = [key for key in of.classes if key in wording.names]
    left_out: Skipped = [(one.id, f"the wording leaves out its class, {one.label}") for one in of.test]
    left_out = [pair for pair, one in zip(left_out, of.test, strict=True) if one.label not in wording.names]
    prompts = zero_shot.Prompts(tuple(wording.templates), tuple(tuple(wording.names[key]) for key in classes))
    embedded = zero_shot.embed(network, prompts)
    items = [one for one in of.test if one.label in wording.names]
    beside = of.of_split("val", "train") if of.of_split("test") else []
    held = _held([one for one in beside if one.label in wording.names], settings["seed"])
    found = features_of(network, checksum, of, [*items, *held], progress)
    test = rows_of(found, items, classes)
    answers = zero_shot.answer(test.vectors, embedded.ensemble, network.logit_scale)
    spread = zero_shot.spread(
        test.vectors,
        embedded,
        prompts.templates,
        lambda predicted: float((predicted == test.truth).mean()),
        settings["seed"],
    )
    scale = "the model's own logit scale" if answers.scale_from == "model" else "a scale of 100"
    extra: dict[str, Any] = {
        "spread": vars(spread),
        "ties": answers.ties,
        "scores_by": f"softmax by {scale}, {answers.logit_scale:g}",
    }
    extra |= _tempered(rows_of(found, held, classes), embedded.ensemble, answers, test.truth)
    draws = [Draw(answers.predicted, answers.probabilities)]
    measured = classified(test.truth, draws, classes, test.groups, ordered=of.ordered, seed=settings["seed"])
    return _outcome(of, test, draws, classes, measured, found, left_out, extra)


def _held(items: list[Item], seed: int) -> list[Item]:
    """Some held-out items by lot, for the temperature."""
    order = np.random.default_rng(seed).permutation(len(items))[:HELD]
    return [items[at] for at in sorted(order)]


def _tempered(held: Rows, ensemble: Vectors, answers: zero_shot.Answers, truth: Codes) -> dict[str, Any]:
    """How far one temperature, fitted on held-out items, mends the calibration."""
    if len(held.items) < 2:
        return {}
    of_held = zero_shot.answer(held.vectors, ensemble, answers.logit_scale)
    fitted = temperature(answers.logit_scale * of_held.cosines, held.truth)
    logits = answers.logit_scale * answers.cosines.astype(np.float64) / fitted
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    sure = weights.max(axis=1) / weights.sum(axis=1)
    return {"temperature": fitted, "ece_tempered": calibration_error(answers.predicted == truth, sure)}


# --- heads that learn ---------------------------------------------------------------------------


def _learned(
    task: Task, network: Network, checksum: str, of: Set, settings: dict[str, Any], progress: Progress
) -> Outcome:
    preset = settings.get("preset", "")
    train_items = of.of_split("train", "val") if preset == "conch" else of.of_split("train")
    test_items = of.of_split("test")
    found = features_of(network, checksum, of, [*train_items, *test_items], progress)
    train, test = rows_of(found, train_items, of.classes), rows_of(found, test_items, of.classes)
    if task is Task.FEW_SHOT:
        return _few_shot(of, train, test, settings, found)
    seeds = PRESETS[preset].seeds
    heads = [
        probe(train.vectors, train.truth, test.vectors, len(of.classes), preset=preset, groups=train.groups, seed=seed)
        for seed in (seeds if len(seeds) > 1 else (settings["seed"],))
    ]
    first = heads[0]
    said = {name: value for name, value in first.settings.items() if name not in ("preset", "seed")}
    ended = {"steps": first.steps, "converged": "yes" if all(one.converged for one in heads) else "no"}
    drawn = {"seeds": len(heads)} if len(heads) > 1 else {}
    untrained = {"cannot_say": ", ".join(of.classes[at] for at in first.untrained)} if first.untrained else {}
    extra = {
        "head": said | ended | drawn | untrained,
        "tried": first.tried,
        "scores_by": "the head's probabilities",
        "trained_on": len(train.items),
    }
    draws = [Draw(one.predicted, one.probabilities, seed=at) for at, one in enumerate(heads)]
    measured = classified(test.truth, draws, of.classes, test.groups, ordered=of.ordered, seed=settings["seed"])
    made = _outcome(of, test, draws, of.classes, measured, found, [], extra)
    made.learned_from = [item.id for item in train.items]
    return made


def _few_shot(of: Set, train: Rows, test: Rows, settings: dict[str, Any], found: Features) -> Outcome:
    by_k: dict[int, list[Draw]] = defaultdict(list)
    shots, seeds = settings["ks"], range(settings["seed"], settings["seed"] + settings["seeds"])
    for one in few_shot(train.vectors, train.truth, test.vectors, of.classes, shots=shots, seeds=list(seeds)):
        by_k[one.k].append(Draw(one.predicted, one.probabilities, one.k, one.seed))
    parts = [
        classified(
            test.truth, draws, of.classes, test.groups, ordered=of.ordered, seed=settings["seed"], suffix=f".k{k}"
        )
        for k, draws in sorted(by_k.items())
    ]
    lines = [{"k": k, **_over_draws(test.truth, draws, len(of.classes))} for k, draws in by_k.items()]
    extra = {"by_k": lines, "scores_by": "the head's probabilities", "trained_on": len(train.items)}
    draws = [one for _, some in sorted(by_k.items(), reverse=True) for one in some]
    made = _outcome(of, test, draws, of.classes, merged(parts), found, [], extra)
    made.learned_from = [item.id for item in train.items]
    return made


def _over_draws(truth: Codes, draws: list[Draw], count: int) -> dict[str, float]:
    """Balanced accuracy over draws: their mean, the lowest and the highest."""
    values = []
    for one in draws:
        right = np.bincount(truth[one.predicted == truth], minlength=count)
        there = np.bincount(truth, minlength=count)
        values.append(float((right[there > 0] / there[there > 0]).mean()))
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}


# --- what is kept -------------------------------------------------------------------------------


def _outcome(
    of: Set,
    test: Rows,
    draws: list[Draw],
    classes: list[str],
    measured: dict[str, Any],
    found: Features,
    left_out: Skipped,
    extra: dict[str, Any],
) -> Outcome:
    said, scores = draws[0].predicted, draws[0].probabilities
    assert scores is not None
    sure = scores[np.arange(len(said)), said]
    right = said == test.truth
    metrics = measured | {
        "reliability": [list(one) for one in reliability(right, sure)],
        "wrongest": _wrongest(of, test, said, sure, classes),
        "cells": _cells(of, test, said, sure),
        "made": found.made,
        "from_cache": found.kept,
        **extra,
    }
    columns: dict[str, list[Any]] = {
        "item": [one.id for one in test.items],
        "number": [of.numbers[one.id] for one in test.items],
        "group": test.groups,
        "truth": [classes[at] for at in test.truth],
        "said": [classes[at] for at in said],
        "score": sure.tolist(),
        "scores": [row.tolist() for row in scores],
        "draws": np.stack([one.predicted for one in draws], axis=1).tolist(),
    }
    answers = Answers(test.truth, draws, classes, test.vectors, of.ordered)
    return Outcome(metrics, columns, left_out + found.skipped, answers)


def _wrongest(of: Set, test: Rows, said: Codes, sure: Any, classes: list[str]) -> list[dict[str, Any]]:
    """The mistakes that it was surest of."""
    wrong = np.flatnonzero(said != test.truth)
    order = wrong[np.argsort(-sure[wrong], kind="stable")][:WRONGEST]
    return [
        {
            "number": of.numbers[test.items[at].id],
            "item": test.items[at].id,
            "truth": classes[test.truth[at]],
            "said": classes[said[at]],
            "score": float(sure[at]),
        }
        for at in order
    ]


def _cells(of: Set, test: Rows, said: Codes, sure: Any) -> dict[str, list[int]]:
    """Of the largest cells beside the diagonal, `true-said`, the pictures that it was surest of."""
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for at in np.argsort(-sure, kind="stable"):
        if said[at] != test.truth[at]:
            cells[int(test.truth[at]), int(said[at])].append(of.numbers[test.items[at].id])
    largest = sorted(cells.items(), key=lambda cell: -len(cell[1]))[:CELLS]
    return {f"{true}-{other}": numbers[:OF_CELL] for (true, other), numbers in largest}
