"""What may be said of runs from their values alone: names of settings, what differs, what a sweep means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any, NoReturn

from app.errors import Invalid
from app.tables import Job, JobState, Run
from app.training.settings import BEST_BY, BY_NAME, KEEP, PRECISIONS, SCHEDULES, TrainingSettings

MOST_SWEPT = 12

LABELS: Mapping[str, str] = {
    "epochs": "Epochs",
    "batch_size": "Batch size",
    "learning_rate": "Learning rate",
    "weight_decay": "Weight decay",
    "warmup_steps": "Warm-up steps",
    "seed": "Seed",
    "schedule": "Schedule",
    "precision": "Precision",
    "accumulate": "Steps gathered",
    "beta1": "Beta 1",
    "beta2": "Beta 2",
    "epsilon": "Epsilon",
    "clip_gradients": "Clip gradients at",
    "checkpoint_gradients": "Checkpoint gradients",
    "lock_image": "Lock the image tower",
    "unlocked_image_groups": "Unlocked image groups",
    "lock_text": "Lock the text tower",
    "unlocked_text_layers": "Unlocked text layers",
    "siglip": "SigLIP loss",
    "smallest_crop": "Smallest crop",
    "loaders": "Loaders",
    "patience": "Patience",
    "best_by": "Best epoch by",
    "keep": "Keep",
}
MAIN = ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup_steps", "seed")
LOSS_AND_TOWERS = ("lock_image", "unlocked_image_groups", "lock_text", "unlocked_text_layers", "siglip")
KEPT = ("best_by", "patience", "keep")
RARE = tuple(name for name in LABELS if name not in MAIN + LOSS_AND_TOWERS + KEPT)
CHOICES: Mapping[str, tuple[str, ...]] = {
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "best_by": BEST_BY,
    "keep": KEEP,
}
WORDS: Mapping[str, str] = {
    "const": "constant",
    "amp_bf16": "bf16",
    "amp": "fp16",
    "recall": "validation R@10",
    "loss": "validation loss",
    "best": "the best epoch",
    "best_and_latest": "best and last, to go on",
}

SWEPT = tuple(name for name in LABELS if type(getattr(TrainingSettings(), name)) in (int, float))

# Names in open_clip_train's results.jsonl, and what a page calls them.
RECALLS: Mapping[str, str] = {
    f"{way}_R@{k}": f"R@{k}, {way.replace('_', ' ')}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)
}
LOSS = "clip_val_loss"


def plain(value: Any) -> str:
    """A setting as one types it: 1e-5, 0.1, 128, cosine."""
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")
    return str(value)


def words(value: Any, name: str = "") -> str:
    """A setting as one reads it; of the setting of that `name`, what its 0 means."""
    if name == "patience" and value == 0:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return WORDS.get(str(value), plain(value))


def changed(settings: Mapping[str, Any], than: Mapping[str, Any]) -> list[str]:
    """Names of the settings that differ, in the order of the form."""
    return [name for name in LABELS if name in settings and settings[name] != than.get(name)]


def changed_in(recipe: str, settings: TrainingSettings) -> list[str]:
    """Labels of what a run has otherwise than its recipe; none of a recipe that is no longer known."""
    if recipe not in BY_NAME:
        return []
    return [LABELS[name] for name in changed(settings.as_json(), BY_NAME[recipe].settings.as_json())]


@dataclass(frozen=True)
class Sweep:
    """Several runs that differ in one setting."""

    field: str
    values: tuple[float | int, ...]


def sweep(field: str, typed: str) -> Sweep | None:
    """`learning_rate` over "1e-6, 3e-6, 1e-5"; None when nothing is swept. Raises Invalid."""
    parts = [part.strip() for part in typed.split(",") if part.strip()]
    if not field and not parts:
        return None
    if field not in SWEPT or not 2 <= len(set(parts)) == len(parts) <= MOST_SWEPT:
        _refuse(f"Choose a setting and 2 to {MOST_SWEPT} values with commas between them, such as 1e-6, 3e-6, 1e-5.")
    whole = isinstance(getattr(TrainingSettings(), field), int)
    try:
        return Sweep(field, tuple(int(part) if whole else float(part) for part in parts))
    except ValueError:
        _refuse(f"{LABELS[field]} takes {'whole ' if whole else ''}numbers, such as 1e-6, 3e-6, 1e-5.")


def _refuse(said: str) -> NoReturn:
    raise Invalid(said, fields={"sweep_values": said})


def spread(settings: TrainingSettings, swept: Sweep | None) -> list[TrainingSettings]:
    """One setting a run."""
    if swept is None:
        return [settings]
    return [TrainingSettings.from_json(settings.as_json() | {swept.field: value}) for value in swept.values]


def fitted(settings: TrainingSettings, train_pairs: int) -> TrainingSettings:
    """A recipe for fewer pairs than it was made for: a step has at most a quarter of them, a tenth of all warms up."""
    batch = settings.batch_size
    while batch > 2 and 4 * batch * settings.accumulate > train_pairs:
        batch //= 2
    steps = settings.epochs * max(1, train_pairs // (batch * settings.accumulate))
    return replace(settings, batch_size=batch, warmup_steps=min(settings.warmup_steps, steps // 10))


def can_keep_best(run: Run, job: Job) -> bool:
    """Whether a run that stopped has an epoch to make a model of."""
    is_over = job.state in (JobState.FAILED, JobState.CANCELLED)
    return is_over and run.best_epoch is not None and run.encoder_id is None and not is_tidied(run)


def is_tidied(run: Run) -> bool:
    """Whether its checkpoints were deleted, so that it can't go on."""
    return bool(run.report.get("tidied"))


def recall(metrics: Mapping[str, Any]) -> float | None:
    """The mean of R@10 in both directions, None without both."""
    names = [name for name in RECALLS if name.endswith("@10")]
    return mean(metrics[name] for name in names) if all(name in metrics for name in names) else None


def curve_of_epochs(
    validated: Sequence[tuple[int, Mapping[str, Any]]], steps_per_epoch: int
) -> dict[str, list[float | None]]:
    """Columns of the validation: the step at each epoch's end, the loss, and R@k in both directions."""
    names = (LOSS, *RECALLS)
    return {
        "epoch": [epoch for epoch, _ in validated],
        "step": [epoch * (steps_per_epoch or 1) - 1 for epoch, _ in validated],
        **{name: [metrics.get(name) for _, metrics in validated] for name in names},
    }
