"""The settings of a run in the field's terms, the recipes that fill them in, and what each of them means."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SCHEDULES = ("cosine", "const")
PRECISIONS = ("auto", "fp32", "amp_bf16", "amp")
BEST_BY = ("recall", "loss")
KEEP = ("best", "best_and_latest")


@dataclass(frozen=True)
class TrainingSettings:
    """What open_clip_train is told (SCIENCE f) and what our supervisor does around it.

    `batch_size` is per process and step; with `accumulate` n the contrastive batch is n times as large.
    `precision` auto is fp32 on a CPU and amp_bf16 on a GPU. `best_by` recall is the mean of R@10 in both directions.
    `patience` epochs without a better one stop the run early, 0 never does.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-5
    weight_decay: float = 0.1
    warmup_steps: int = 100
    schedule: str = "cosine"
    precision: str = "auto"
    accumulate: int = 1
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-6
    clip_gradients: float = 0.0
    checkpoint_gradients: bool = False
    lock_image: bool = False
    unlocked_image_groups: int = 0
    lock_text: bool = False
    unlocked_text_layers: int = 0
    siglip: bool = False
    smallest_crop: float = 0.9
    seed: int = 0
    loaders: int = 1
    patience: int = 3
    best_by: str = "recall"
    keep: str = "best"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "TrainingSettings":
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})


@dataclass(frozen=True)
class Recipe:
    """A named start point; `source` says whose it is. One `from_scratch` starts from random weights."""

    name: str
    title: str
    source: str
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    from_scratch: bool = False


RECIPES = (
    Recipe(
        "ip-clip",
        "IP-CLIP's start point",
        "The paper does not publish its training settings; this is our start point for ViT-B/32 with OpenAI's weights.",
        TrainingSettings(),
    ),
    Recipe(
        "plip",
        "PLIP's released run",
        "Batch 128, learning rate 1e-5, weight decay 0.1, 8 epochs: from the script of PLIP's laboratory.",
        TrainingSettings(epochs=8, warmup_steps=50, patience=0),
    ),
    Recipe(
        "locked-image",
        "Locked image tower",
        "LiT: only the text tower and the last group of the image tower learn; forgets least, needs least memory.",
        TrainingSettings(lock_image=True, unlocked_image_groups=1, learning_rate=5e-5),
    ),
    Recipe(
        "siglip",
        "SigLIP loss",
        "Each pair is judged by itself (sigmoid), so small batches cost less; the scale starts anew.",
        TrainingSettings(siglip=True, learning_rate=1e-5, batch_size=64),
    ),
    Recipe(
        "scratch",
        "From scratch, small",
        "Random weights learn faster and need more epochs; for trying out and for proofs on a CPU.",
        TrainingSettings(
            epochs=12, batch_size=64, learning_rate=1e-3, weight_decay=0.2, warmup_steps=20, patience=0, keep="best"
        ),
        from_scratch=True,
    ),
)

BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def title_of(recipe: str) -> str:
    """A recipe's title; its name where it is no longer known."""
    return BY_NAME[recipe].title if recipe in BY_NAME else recipe


# The practice run: drawn pairs instead of a snapshot (workers.practice), a tiny network (its config stands beside this
# file), so that a CPU shows live curves at once.
PRACTICE_ARCHITECTURE = "practice_clip.json"
PRACTICE_RECIPE = "scratch"
PRACTICE_TRAIN_PAIRS, PRACTICE_VAL_PAIRS, PRACTICE_SHARDS = 2_048, 256, 8

EXPLAINED: Mapping[str, str] = {
    "epochs": "Passes over the training pairs. 5 to 10 for 10,000 to 100,000 pairs; the best one is kept.",
    "batch_size": "Pairs a step and process; each is told apart from all others of its batch. 128 to 512.",
    "learning_rate": "1e-6 to 5e-5 from trained weights, about 1e-3 from scratch.",
    "weight_decay": "0.1 to 0.2.",
    "warmup_steps": "Steps until the learning rate is reached: 50 to 200, and less than the run has.",
    "schedule": "Cosine falls to 0 at the end; constant stays.",
    "precision": "fp32 on a CPU, bf16 on a GPU, unless you choose.",
    "accumulate": "Steps gathered into one contrastive batch, at twice the forward cost: for batches beyond memory.",
    "beta1": "AdamW's first moment.",
    "beta2": "AdamW's second moment.",
    "epsilon": "AdamW's epsilon.",
    "clip_gradients": "Largest norm of the gradient; 0 does not clip.",
    "checkpoint_gradients": "Half the memory for about a third more time.",
    "lock_image": "The image tower stays as it is.",
    "unlocked_image_groups": "Groups at the image tower's end that learn all the same.",
    "lock_text": "The text tower stays as it is.",
    "unlocked_text_layers": "Layers at the text tower's end that learn all the same.",
    "siglip": "Sigmoid loss instead of softmax.",
    "smallest_crop": "Share of the picture that a random crop keeps at least; 1 turns crops off.",
    "seed": "Equal seeds on equal machines give equal curves.",
    "loaders": "Processes that decode pictures; needs as many shards.",
    "patience": "Epochs without a better one before the run stops by itself; 0 never.",
    "best_by": "What makes an epoch the best: validation recall (mean of R@10, both directions) or loss.",
    "keep": "The best epoch's model, 4 bytes a parameter; or also the checkpoints of best and last, up to 24 more.",
}
