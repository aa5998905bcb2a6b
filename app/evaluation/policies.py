"""What an evaluation is: its tasks, the settings that change a number, and which of them can't be. Pure."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.tables import EncoderKind, EvaluationTask

Task = EvaluationTask

TITLES = {
    Task.ZERO_SHOT: "Zero-shot",
    Task.LINEAR_PROBE: "Linear probe",
    Task.FEW_SHOT: "Few-shot",
    Task.RETRIEVAL: "Retrieval",
}
ABOUT = {
    Task.ZERO_SHOT: "The nearest class by its wording alone; nothing is learned from the set.",
    Task.LINEAR_PROBE: "A linear head on frozen features, learned from the set's training pictures.",
    Task.FEW_SHOT: "The same from k pictures a class, drawn several times.",
    Task.RETRIEVAL: "Finds captions by picture and pictures by caption among a snapshot's held-out pairs, or a set's.",
}
READS_TEXT = (Task.ZERO_SHOT, Task.RETRIEVAL)
LEARNS = (Task.LINEAR_PROBE, Task.FEW_SHOT)

DRAWS = 10_000  # of a bootstrap that tests a difference: p is never below 2 / (DRAWS + 1)
BOOTSTRAP, MCNEMAR, DELONG = "a paired bootstrap", "McNemar's exact test", "DeLong's test"
SIGN_FLIP, OBUCHOWSKI = "an exact sign-flip test over units", "DeLong's test over units"
TESTS = {
    BOOTSTRAP: f"The paired bootstrap draws the independent units of both models together, {DRAWS:,} times.",
    MCNEMAR: "McNemar's exact test counts the items that only one of the two has right, each a unit of its own.",
    SIGN_FLIP: "The sign-flip test exchanges both models' answers on a whole unit, in every possible way; where each "
    "unit has one item it is McNemar's exact test.",
    DELONG: "DeLong's test compares the areas by the ranks of the scores, each item a unit of its own.",
    OBUCHOWSKI: "DeLong's test over units sums what their items add to the areas before it takes the variance "
    "(Obuchowski 1997).",
}
UNTESTED = (
    "Not compared are median ranks, calibration errors over equal counts, AUROC of more than two classes, AUROC, "
    "calibration errors and Brier scores over several draws, and figures of a single independent unit."
)
SEEN = {  # how an item is among what a model learned from
    "exact": "the same file",
    "perceptual": "the same picture",
    "semantic": "the same view",
    "group": "a duplicate",
    "post": "of the same post",
}
KS = (1, 2, 4, 8, 16)
RANKS = (1, 5, 10, 50)


class Preset(StrEnum):
    """Whose protocol a linear probe follows (SCIENCE d)."""

    OURS = "ours"
    PLIP = "plip"
    CONCH = "conch"


PRESETS = {
    Preset.OURS: "Ours: logistic regression on unit vectors, C by grouped 5-fold on training pictures",
    Preset.PLIP: "PLIP: SGD logistic regression, balanced classes, alpha from a held part of training",
    Preset.CONCH: "CONCH: logistic regression, C = width × classes / 100",
}


class Precision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True)
class Settings:
    """All that changes a number beside the model and the set. `wording` is the version of its layout's prompts.

    `ks` and `seeds` are few-shot's; `splits` those of a snapshot that are searched; an empty `variant` is the set's
    own default. A search has splits on a snapshot, and a variant on a set of pairs.
    """

    variant: str = ""
    wording: int = 0
    preset: Preset = Preset.OURS
    ks: tuple[int, ...] = KS
    seeds: int = 5
    splits: tuple[str, ...] = ("test",)
    precision: Precision = Precision.FP32
    seed: int = 0


USED_BY: Mapping[Task, tuple[str, ...]] = {
    Task.ZERO_SHOT: ("variant", "wording", "precision", "seed"),
    Task.LINEAR_PROBE: ("variant", "preset", "precision", "seed"),
    Task.FEW_SHOT: ("variant", "ks", "seeds", "precision", "seed"),
    Task.RETRIEVAL: ("variant", "splits", "precision", "seed"),
}


def stored(task: Task, settings: Settings, on: int, items: str, prompts: int | None = None) -> dict[str, Any]:
    """What an evaluation's row keeps: only what its task reads, and which items it is about.

    `on` is the id of the set or snapshot, `items` the SHA-256 of its items and of the bytes of their pictures,
    `prompts` the id of the wording.
    """
    kept = {name: value for name in USED_BY[task] if (value := getattr(settings, name)) not in ("", ())}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
    worded = {"prompts": prompts} if task is Task.ZERO_SHOT else {}
    return plain | worded | {"on": on, "items": items}


def settings_of(task: Task, stored: Mapping[str, Any]) -> Settings:
    """The settings that an evaluation's row keeps."""
    values: dict[str, Any] = {
        name: tuple(stored[name]) if isinstance(stored[name], list) else stored[name]
        for name in USED_BY[task]
        if name in stored
    }
    return Settings(**values)


def fingerprint(task: Task, stored: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON: evaluations with the same one are of the same items by the same protocol."""
    plain = json.dumps({"task": task.value, **stored}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()


def protocol(task: Task, stored: Mapping[str, Any]) -> str:
    """The settings in the words of a column's head."""
    words = [str(stored.get("variant", ""))] if stored.get("variant") else []
    if task is Task.ZERO_SHOT:
        words.append(f"wording {stored.get('wording')}")
    elif task is Task.LINEAR_PROBE:
        words.append(f"preset {stored.get('preset')}")
    elif task is Task.FEW_SHOT:
        words.append(f"{stored.get('seeds')} draws")
    elif stored.get("splits"):
        words.append(" + ".join(stored["splits"]))
    if stored.get("precision", "fp32") != "fp32":
        words.append(str(stored["precision"]))
    return ", ".join(words)


def why_not(
    task: Task,
    kind: EncoderKind,
    variant: Mapping[str, Any] | None,
    ks: Sequence[int] = KS,
    *,
    model: str = "The model",
) -> str:
    """Why a model can't be measured so, in a sentence; "" when it can. `variant` is one of a set's report."""
    if task in READS_TEXT and kind is EncoderKind.IMAGE:
        return f"{model} reads pictures only; {TITLES[task].lower()} needs a model that reads texts too."
    if variant is None or task is Task.RETRIEVAL:
        return ""
    if list(variant.get("counts", {})) == [""]:
        return "The set has captions and no classes: only retrieval can be measured on it."
    splits = variant.get("splits", {})
    if len(variant.get("counts", {})) < 2:
        return "The set has one class only: there is nothing to tell apart."
    if task in LEARNS and not (splits.get("train") and splits.get("test")):
        return f"{TITLES[task]} learns from training pictures and is measured on test pictures; this variant lacks one."
    if task is Task.FEW_SHOT:
        return too_few(variant, max(ks, default=0))
    return ""


def too_few(variant: Mapping[str, Any], k: int) -> str:
    """Names the classes that have less than k training pictures; "" when none has."""
    short = [name for name, splits in variant.get("counts", {}).items() if splits.get("train", 0) < k]
    return f"k = {k} is more than the training pictures of {', '.join(short[:5])}." if short else ""


def command(model: str, on: str, task: Task, kept: Mapping[str, Any], *, confirmed: bool = False) -> str:
    """What does the same from the shell, `confirmed` where a licence forbids something."""
    where = f"--snapshot {on}" if "splits" in kept else f"--set {shlex.quote(on)}"
    flags = [f"ipath evaluate --model {shlex.quote(model)} {where} --task {task.value.replace('_', '-')}"]
    flags += [f"--variant {shlex.quote(kept['variant'])}"] if kept.get("variant") else []
    plain = ("wording", "preset", "seeds", "precision", "seed")
    flags += [f"--{name} {kept[name]}" for name in plain if kept.get(name) is not None]
    flags += [f"--k {k}" for k in kept.get("ks", ())] + [f"--split {split}" for split in kept.get("splits", ())]
    flags += ["--confirm-licence"] if confirmed else []
    return " ".join(flags)
