"""What a run will take, before it starts: steps, time, memory, disk. Each figure says how it was reckoned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.training.architectures import activations, parameters
from app.training.command import precision
from app.training.settings import TrainingSettings

# fp32 weights, their gradients, and AdamW's two moments; under mixed precision the weights stay fp32.
TRAINED_BYTES = 16
# What PyTorch, open_clip and their libraries take before a network is there, as measured on a CPU.
PROCESS_BYTES = 750_000_000
# A checkpoint holds the weights and both moments; a model to use only the weights.
CHECKPOINT_BYTES, MODEL_BYTES = 12, 4
# While a run saves, the last, the best, the one being written and open_clip's own of the last epoch may all differ.
CHECKPOINTS_AT_ONCE = 4


@dataclass(frozen=True)
class Rate:
    """Pairs a second that an earlier run of the same network and batch reached."""

    run_id: int
    pairs_per_second: float
    device: str


@dataclass(frozen=True)
class Estimate:
    """None is what can't be known: of networks other than two transformers, and without an earlier run."""

    steps_per_epoch: int
    steps: int
    seconds: float | None
    rate: Rate | None
    parameters: int | None
    memory: int | None
    disk: int | None
    disk_after: int | None


def estimate(
    settings: TrainingSettings,
    steps_per_epoch: int,
    config: Mapping[str, Any] | None,
    known_parameters: int,
    rate: Rate | None,
    processes: int = 1,
    device: str = "cpu",
) -> Estimate:
    """`known_parameters` is 0 where the network was not counted when it was registered."""
    steps = steps_per_epoch * settings.epochs
    count = known_parameters or (parameters(config) if config else None)
    pairs = steps * settings.batch_size * settings.accumulate * processes
    return Estimate(
        steps_per_epoch,
        steps,
        pairs / rate.pairs_per_second if rate else None,
        rate,
        count,
        _memory(settings, config, count, device),
        CHECKPOINTS_AT_ONCE * CHECKPOINT_BYTES * count if count else None,
        _kept(settings, count) if count else None,
    )


def _memory(settings: TrainingSettings, config: Mapping[str, Any] | None, count: int | None, device: str) -> int | None:
    """Bytes of one process; locked towers and a GPU's workspace are not reckoned."""
    a_pair = activations(config, 4 if precision(settings, device) == "fp32" else 2) if config else None
    if count is None or a_pair is None:
        return None
    return (
        PROCESS_BYTES
        + TRAINED_BYTES * count
        + settings.batch_size * a_pair // (2 if settings.checkpoint_gradients else 1)
    )


def _kept(settings: TrainingSettings, count: int) -> int:
    """The best and the last epoch are two files, but where the last is the best."""
    return count * (MODEL_BYTES + (2 * CHECKPOINT_BYTES if settings.keep == "best_and_latest" else 0))
