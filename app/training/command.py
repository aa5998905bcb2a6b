"""The trainer's command: what the page shows is what is started."""

import json
from dataclasses import dataclass
from pathlib import Path

from app.config import settings as our
from app.snapshots.building import folder_of
from app.snapshots.formats.shards import FOLDER, shard_name
from app.tables import Encoder, Snapshot
from app.training.architectures import config_path
from app.training.checks import fitting_loaders
from app.training.settings import PRACTICE_SHARDS, PRACTICE_TRAIN_PAIRS, PRACTICE_VAL_PAIRS, TrainingSettings

LAUNCHER = "workers.ml.trainer"
NOT_MADE_YET = "PACKAGE"


@dataclass(frozen=True)
class Start:
    """What open_clip makes the network of: a model's name, and a config file that defines it where it has one."""

    model: str
    config: Path | None = None


@dataclass(frozen=True)
class Data:
    """Shards as open_clip_train is told them, with braces; `sizes` are the pairs of each training shard."""

    train: str
    val: str
    sizes: tuple[int, ...]
    val_pairs: int

    @property
    def train_pairs(self) -> int:
        return sum(self.sizes)

    @property
    def shards(self) -> int:
        return len(self.sizes)


def start_of(base: Encoder | None, architecture: str) -> Start:
    """A registered model's package, with its weights, or the config of an architecture, without any."""
    if base is not None:
        return Start(f"local-dir:{our().models_path / (base.package or NOT_MADE_YET)}")
    path = config_path(architecture)
    if path is not None and architecture.endswith(".json"):
        return Start(path.stem, path)
    return Start(architecture)


def snapshot_data(snapshot: Snapshot) -> Data:
    """A snapshot's shards. Without validation pairs `val` is empty."""
    counts, shards = snapshot.report["counts"], snapshot.setting["shards"]
    folder = folder_of(snapshot.number) / FOLDER
    return Data(
        train=_pattern(folder, "train", shards.get("train", 0)),
        val=_pattern(folder, "val", shards.get("val", 0)),
        sizes=_sizes(folder, counts["train"], shards.get("train", 0)),
        val_pairs=counts["val"],
    )


def practice_data() -> Data:
    """The practice set's shards, which a worker draws before the first run on them."""
    folder = our().runs_path / "practice"
    each = PRACTICE_TRAIN_PAIRS // PRACTICE_SHARDS
    return Data(
        _pattern(folder, "train", PRACTICE_SHARDS),
        _pattern(folder, "val", 1),
        sizes=(each,) * PRACTICE_SHARDS,
        val_pairs=PRACTICE_VAL_PAIRS,
    )


def _sizes(folder: Path, pairs: int, shards: int) -> tuple[int, ...]:
    """The pairs of each training shard as its folder says; even shares where that is lost."""
    path = folder / "sizes.json"
    known = json.loads(path.read_bytes()) if path.is_file() else {}
    even = [pairs // shards + (number < pairs % shards) for number in range(shards)]
    return tuple(int(known.get(shard_name("train", number), even[number])) for number in range(shards))


def _pattern(folder: Path, split: str, count: int) -> str:
    if not count:
        return ""
    first, last = shard_name(split, 0), shard_name(split, count - 1)
    number = slice(len(split) + 1, -len(".tar"))
    return f"{folder}/{split}-{{{first[number]}..{last[number]}}}.tar"


def precision(settings: TrainingSettings, device: str) -> str:
    if settings.precision != "auto":
        return settings.precision
    return "fp32" if device == "cpu" else "amp_bf16"


def arguments(
    settings: TrainingSettings,
    start: Start,
    data: Data,
    run_folder: Path,
    *,
    device: str = "cpu",
    processes: int = 1,
) -> list[str]:
    """What Python is given to train: with several processes, one a GPU, under torchrun.

    Every flag is one of open_clip_train 3.3.0, but the three of our launcher (`workers/ml/trainer.py`).
    """
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--module", "--"]
    return [
        *(["-m"] if processes == 1 else several),
        LAUNCHER,
        *(["--config", str(start.config)] if start.config else []),
        *("--best-by", settings.best_by, "--patience", str(settings.patience)),
        *_where(start, data, run_folder),
        *_how(settings, data, device, processes),
        *_switches(settings, processes),
    ]


def _where(start: Start, data: Data, run_folder: Path) -> list[str]:
    return [
        *("--model", start.model),
        *("--dataset-type", "webdataset", "--train-data", data.train, "--train-num-samples", str(data.train_pairs)),
        *("--val-data", data.val, "--val-num-samples", str(data.val_pairs)),
        *("--logs", str(run_folder.parent), "--name", run_folder.name, "--report-to", "tensorboard"),
        *("--resume", "latest", "--save-most-recent", "--save-frequency", "0", "--log-every-n-steps", "1"),
    ]


def _how(settings: TrainingSettings, data: Data, device: str, processes: int) -> list[str]:
    values = {
        "--epochs": settings.epochs,
        "--batch-size": settings.batch_size,
        "--lr": settings.learning_rate,
        "--wd": settings.weight_decay,
        "--warmup": settings.warmup_steps,
        "--lr-scheduler": settings.schedule,
        "--precision": precision(settings, device),
        "--device": device,
        "--accum-freq": settings.accumulate,
        "--beta1": settings.beta1,
        "--beta2": settings.beta2,
        "--eps": settings.epsilon,
        "--seed": settings.seed,
        "--workers": fitting_loaders(settings, data.sizes, processes),
    }
    pairs = [word for name, value in values.items() for word in (name, str(value))]
    whole = ["ratio=(1.0,1.0)"] if settings.smallest_crop == 1 else []
    return [*pairs, "--aug-cfg", f"scale=({settings.smallest_crop},1.0)", *whole]


def _switches(settings: TrainingSettings, processes: int) -> list[str]:
    flags: list[str] = []
    if settings.clip_gradients:
        flags += ["--grad-clip-norm", str(settings.clip_gradients)]
    if settings.checkpoint_gradients:
        flags.append("--grad-checkpointing")
    if settings.lock_image:
        flags += ["--lock-image", "--lock-image-unlocked-groups", str(settings.unlocked_image_groups)]
    if settings.lock_text:  # without the last flag open_clip refuses to lock the text tower
        flags += ["--lock-text", "--lock-text-unlocked-layers", str(settings.unlocked_text_layers)]
        flags.append("--lock-text-freeze-layer-norm")
    if settings.siglip:
        flags.append("--siglip")
    elif processes > 1:  # the same loss with memory for its own rows only
        flags += ["--local-loss", "--gather-with-grad"]
    return flags
