"""What would go wrong with a run, said before it starts. open_clip_train itself goes on or ends with exit code 0."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.training.settings import BEST_BY, KEEP, PRECISIONS, SCHEDULES, TrainingSettings

SNAPSHOT, BASE = "snapshot", "base"
MOST_EPOCHS, MOST_BATCH, MOST_LOADERS = 1_000, 65_536, 64
FEW_VAL = 100  # with fewer, a tenth or more of R@10 is chance
_SEVERAL = re.compile(r"::|[{}]")  # webdataset reads these in a path as several paths
_COCA = re.compile("coca", re.IGNORECASE)  # open_clip takes another loss where the model's name has it


@dataclass(frozen=True)
class Facts:
    """What a run would meet. `sizes` are the training pairs of each shard, `folder` is that of the shards, `model` what
    open_clip is told; `processes` one a GPU.

    `empty_captions` and `undecodable` are keys, known once the shards were read. `has_plain_towers` is false where
    open_clip can lock the image tower only as a whole (ResNet).
    """

    sizes: tuple[int, ...]
    val_pairs: int
    processes: int = 1
    device: str = "cpu"
    name: str = "The snapshot"
    withdrawn: int = 0
    leaking: int = 0
    empty_captions: tuple[str, ...] = ()
    undecodable: tuple[str, ...] = ()
    folder: str = ""
    model: str = ""
    has_plain_towers: bool = True

    @property
    def train_pairs(self) -> int:
        return sum(self.sizes)


def fitting_loaders(settings: TrainingSettings, sizes: Sequence[int], processes: int) -> int:
    """Loading processes for each process that trains, so that each is sure to have a whole batch.

    webdataset gives each of them every nth of the shuffled shards, and repeats them for ever where they hold none.
    """
    several = range(settings.loaders, 1, -1)
    enough = (loaders for loaders in several if smallest_share(sizes, loaders * processes) >= settings.batch_size)
    return next(enough, min(settings.loaders, 1))


def smallest_share(sizes: Sequence[int], readers: int) -> int:
    """The fewest pairs that one of so many readers of shards may be given."""
    return sum(sorted(sizes)[: len(sizes) // readers])


def steps_per_epoch(settings: TrainingSettings, sizes: Sequence[int], processes: int = 1) -> int:
    """As open_clip_train 3.3.0 counts them: whole batches for every loader; pairs are repeated to fill them."""
    loaders = max(1, fitting_loaders(settings, sizes, processes))
    batches = math.ceil(sum(sizes) / (settings.batch_size * processes))
    return math.ceil(batches / loaders) * loaders // settings.accumulate


def problems(settings: TrainingSettings, facts: Facts) -> dict[str, str]:
    """One sentence for each field, `snapshot` or `base` that would spoil the run; empty when it may start."""
    found = _values(settings) | _data(facts)
    if not found:
        found = _steps(settings, facts) | _towers(settings, facts)
    return found


def cautions(facts: Facts) -> list[str]:
    """What does not spoil a run and should be known before it starts, a sentence each."""
    if not 0 < facts.val_pairs < FEW_VAL:
        return []
    pairs = "validation pair" if facts.val_pairs == 1 else "validation pairs"
    by_chance = min(1.0, 10 / facts.val_pairs)
    return [
        f"{facts.name} has {facts.val_pairs:,} {pairs}: its R@10 is {by_chance:.0%} by chance alone, so the best epoch "
        f"is drawn by luck. Freeze one with {FEW_VAL:,} or more."
    ]


def _values(settings: TrainingSettings) -> dict[str, str]:
    """Fields whose values no trainer takes."""
    wrong = {
        "epochs": (not 1 <= settings.epochs <= MOST_EPOCHS, f"Give 1 to {MOST_EPOCHS:,} epochs."),
        "batch_size": (
            not 2 <= settings.batch_size <= MOST_BATCH,
            f"Give a batch of 2 to {MOST_BATCH:,}: one pair alone has nothing to be told apart from.",
        ),
        "learning_rate": (not 0 < settings.learning_rate < 1, "Give a learning rate between 0 and 1, such as 1e-5."),
        "weight_decay": (not 0 <= settings.weight_decay <= 1, "Give a weight decay from 0 to 1."),
        "warmup_steps": (settings.warmup_steps < 0, "Give 0 or more steps."),
        "schedule": (settings.schedule not in SCHEDULES, f"Choose one of {', '.join(SCHEDULES)}."),
        "precision": (settings.precision not in PRECISIONS, f"Choose one of {', '.join(PRECISIONS)}."),
        "accumulate": (settings.accumulate < 1, "Gather 1 or more steps."),
        "beta1": (not 0 <= settings.beta1 < 1, "Give a beta from 0 to below 1."),
        "beta2": (not 0 <= settings.beta2 < 1, "Give a beta from 0 to below 1."),
        "epsilon": (not 0 < settings.epsilon < 1, "Give a small number above 0, such as 1e-6."),
        "clip_gradients": (not 0 <= settings.clip_gradients < math.inf, "Give a norm above 0, or 0 not to clip."),
        "unlocked_image_groups": (settings.unlocked_image_groups < 0, "Give 0 or more groups."),
        "unlocked_text_layers": (settings.unlocked_text_layers < 0, "Give 0 or more layers."),
        "smallest_crop": (not 0 < settings.smallest_crop <= 1, "Give a share above 0 and at most 1."),
        "seed": (not 0 <= settings.seed < 2**31, "Give a whole number from 0."),
        "loaders": (not 0 <= settings.loaders <= MOST_LOADERS, f"Give 0 to {MOST_LOADERS} loaders."),
        "patience": (settings.patience < 0, "Give 0 or more epochs."),
        "best_by": (settings.best_by not in BEST_BY, f"Choose one of {', '.join(BEST_BY)}."),
        "keep": (settings.keep not in KEEP, f"Choose one of {', '.join(KEEP)}."),
    }
    return {field: said for field, (is_wrong, said) in wrong.items() if is_wrong}


def _data(facts: Facts) -> dict[str, str]:
    """What is wrong with the pairs, whatever the settings."""
    if not facts.train_pairs:
        return {SNAPSHOT: f"{facts.name} has no training pairs. Accept more pairs, then freeze them."}
    if not facts.val_pairs:
        return {SNAPSHOT: f"{facts.name} has no validation pairs, so no epoch is the best. Freeze one with some."}
    if facts.withdrawn:
        were = "pair of it was" if facts.withdrawn == 1 else "pairs of it were"
        said = f"{facts.withdrawn:,} {were} withdrawn since it was frozen. Freeze a new snapshot and train on that."
        return {SNAPSHOT: f"{facts.name} can't be trained on: {said}"}
    if facts.leaking:
        pairs = "training pair belongs" if facts.leaking == 1 else "training pairs belong"
        said = f"{facts.leaking:,} {pairs} with held-out ones by now (the same author, post or duplicate group)."
        return {SNAPSHOT: f"{facts.name}: {said} Freeze a new snapshot and train on that."}
    if facts.empty_captions:
        return {SNAPSHOT: f"{facts.name} has pairs without a caption: {_named(facts.empty_captions)}. Write it again."}
    if facts.undecodable:
        return {SNAPSHOT: f"{facts.name} has pictures that can't be read: {_named(facts.undecodable)}. Write it again."}
    if _SEVERAL.search(facts.folder):
        said = "The trainer reads ::, { and } in a path as several paths."
        return {SNAPSHOT: f"{said} Move the product's home to a folder without them."}
    if _COCA.search(facts.model):
        said = "open_clip trains every model with coca in its path by the loss of CoCa."
        return {BASE: f"{said} Rename that folder or file."}
    return {}


def _named(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - 3:,} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more


def _steps(settings: TrainingSettings, facts: Facts) -> dict[str, str]:
    found = {}
    if len(facts.sizes) < facts.processes:
        found[SNAPSHOT] = (
            f"The training pairs lie in {len(facts.sizes):,} shards, and each of {facts.processes:,} GPUs needs one. "
            "Freeze 25 pairs or more for each, or train on fewer GPUs."
        )
        return found
    together = settings.batch_size * settings.accumulate * facts.processes
    if together > facts.train_pairs:
        fits = facts.train_pairs // (settings.accumulate * facts.processes)
        ask = f"Set the batch to {fits:,} or less" if fits >= 2 else "Gather fewer steps"
        found["batch_size"] = f"A step takes {together:,} pairs, more than the {facts.train_pairs:,} there are. {ask}."
        return found
    share = smallest_share(facts.sizes, facts.processes)
    if settings.batch_size > share:
        ask = f"Set the batch to {share:,} or less" if share >= 2 else "Freeze a new snapshot"
        found["batch_size"] = f"A GPU's share of the shards may hold {share:,} pairs, less than a batch. {ask}."
        return found
    steps = settings.epochs * steps_per_epoch(settings, facts.sizes, facts.processes)
    if settings.warmup_steps >= steps:
        less = f"Set it to {steps // 10:,} or less." if steps >= 10 else "Set it to 0."
        found["warmup_steps"] = f"The run has {steps:,} steps, so this warm-up never ends. {less}"
    if settings.precision in ("amp", "amp_bf16") and facts.device == "cpu":
        found["precision"] = "A CPU only imitates 16-bit numbers, 3 to 10 times slower. Choose auto or fp32."
    return found


def _towers(settings: TrainingSettings, facts: Facts) -> dict[str, str]:
    image = settings.lock_image and not settings.unlocked_image_groups
    text = settings.lock_text and not settings.unlocked_text_layers
    if image and text:
        return {"lock_text": "Both towers are locked, so nothing would learn. Unlock one, or a part of one."}
    if settings.lock_image and settings.unlocked_image_groups and not facts.has_plain_towers:
        return {"unlocked_image_groups": "This image tower can be locked only as a whole. Set it to 0."}
    return {}
