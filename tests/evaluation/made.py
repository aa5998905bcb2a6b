"""Rows of sets, wordings and evaluations as jobs leave them, for tests of what is made of them."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from app.evaluation.policies import Settings, Task, fingerprint, stored
from app.tables import ClassPrompts, Encoder, Evaluation, EvaluationSet, Snapshot

CLASSES = ["ADI", "TUM"]


def make_set(session: Session, name: str = "Kather", layout: str = "kather", **values: Any) -> EvaluationSet:
    """A set that is ready, of two classes with a training and a test split."""
    counts = {key: {"train": 20, "test": 10} for key in CLASSES}
    shape = {"counts": counts, "splits": {"train": 40, "test": 20}, "groups": {"train": 40, "test": 20}}
    report = {
        "classes": CLASSES,
        "default_variant": "as published",
        "variants": {"as published": shape | {"leaking_groups": 0}},
        "skipped": {"count": 1, "first": [["ADI/notes.txt", "it is no picture"]]},
        "missing": {"count": 0, "first": []},
        "warnings": ["Colour alone tells the classes apart."],
        "differences": [],
        "samples": {key: [1, 2] for key in CLASSES},
        "pictures": 60,
    }
    made = EvaluationSet(
        **{
            "name": name,
            "layout": layout,
            "folder": f"0/{name}",
            "report": report,
            "items_sha256": sha256(name.encode()).hexdigest(),
            "importer_version": "1",
            "licence": "CC BY 4.0",
            "ready_at": func.clock_timestamp(),
        }
        | values
    )
    session.add(made)
    session.flush()
    session.refresh(made)
    return made


def make_wording(session: Session, layout: str = "kather", version: int = 1, **values: Any) -> ClassPrompts:
    given = {"names": {key: [key.lower()] for key in CLASSES}, "templates": ["a picture of {}", "{}"], "note": "plain"}
    made = ClassPrompts(layout=layout, version=version, **(given | values))
    session.add(made)
    session.flush()
    return made


def figures(value: float, n: int = 20) -> dict[str, Any]:
    """All that a finished job writes of a classification."""
    figure = {"value": value, "low": value - 0.1, "high": value + 0.1}
    keys = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "auroc", "kappa", "ece", "brier")
    return {
        "n": n,
        "groups": n,
        "classes": CLASSES,
        "figures": dict.fromkeys(keys, figure),
        "chance": {"accuracy": 0.5, "balanced_accuracy": 0.5, "auroc": 0.5},
        "undefined": {},
        "majority": 0.5,
        "per_class": [
            {"name": key, "n": 10, "predicted": 10, "recall": value, "precision": value, "f1": value} for key in CLASSES
        ],
        "confusion": [[8, 2], [1, 9]],
        "cells": {"0-1": [1, 2]},
        "reliability": [[0.6, 0.5, 8], [0.9, 0.95, 12]],
        "scores_by": "softmax by the model's own logit scale",
        "wrongest": [{"number": 1, "item": "ADI/a.tif", "truth": "ADI", "said": "TUM", "score": 0.97}],
        "skipped": [["ADI/b.tif", "it can't be read"]],
        "skipped_count": 1,
        "contamination": {"checked": False, "why_not": "What it was trained on is not known here."},
        "against": {},
        "seconds": 12.5,
        "device": "cpu",
        "versions": {"torch": "2.14", "open_clip": "3.3.0"},
    }


def make_evaluation(
    session: Session,
    encoder: Encoder,
    on: EvaluationSet | Snapshot,
    task: Task = Task.ZERO_SHOT,
    metrics: Mapping[str, Any] | None = None,
    wording: ClassPrompts | None = None,
    **settings: Any,
) -> Evaluation:
    """One that is finished, or, with empty `metrics`, one whose job is gone."""
    of_set = isinstance(on, EvaluationSet)
    given = {"variant": "as published", "wording": wording.version if wording else 1} if of_set else {}
    items = on.items_sha256 if of_set else f"{on.number:064d}"
    kept = stored(task, Settings(**(given | settings)), on.id, items, wording.id if wording else None)
    found = figures(0.7) if metrics is None else dict(metrics)
    made = Evaluation(
        encoder_id=encoder.id,
        set_id=on.id if of_set else None,
        snapshot_id=None if of_set else on.id,
        task=task,
        prompts_id=wording.id if wording else None,
        settings=kept,
        settings_sha256=fingerprint(task, kept),
        metrics=found,
        passport_sha256="a" * 64 if found else "",
        finished_at=func.clock_timestamp() if found else None,
    )
    session.add(made)
    session.flush()
    session.refresh(made)
    return made
