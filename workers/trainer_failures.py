"""Why a trainer ended too early, for people: from what it said, how it ended, and what it had been told."""

import re
import signal
from dataclasses import dataclass, field
from typing import Any

from app.training.settings import TrainingSettings

OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|can't allocate memory|not enough memory|Cannot allocate memory",
    re.IGNORECASE,
)
KILLED = re.compile(r"DataLoader worker \(pid \d+\) is killed by signal: Killed|exitcode *: -9", re.IGNORECASE)
DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|file write failed|unexpected pos", re.IGNORECASE)
GPU_LOST = re.compile(
    r"no CUDA-capable device|device handle|CUDA error: (unspecified|unknown|device)|GPU is lost|fallen off the bus"
    r"|uncorrectable ECC|NCCL error",
    re.IGNORECASE,
)
ERROR_LINE = re.compile(r"^(\w+\.)*\w*(Error|Exception|Interrupt)\b.*")
LONGEST = 300


@dataclass(frozen=True)
class Failure:
    """What happened, what to do, and settings that may go better."""

    said: str
    what_next: str
    offer: dict[str, Any] = field(default_factory=dict)


def not_a_number(settings: TrainingSettings, at: str, epoch: int) -> Failure:
    lower = settings.learning_rate / 10
    said = f"The loss was not a number at {at}. {kept(epoch)}"
    return Failure(said, f"Lower the learning rate, such as to {lower:g}.", {"learning_rate": lower})


def stuck(minutes: int, epoch: int) -> Failure:
    said = f"The trainer made no step for {minutes:,} minutes. {kept(epoch)}"
    return Failure(said, "Resume it; where that stops again, start a run with fewer loaders or a smaller batch.")


def out_of_memory(settings: TrainingSettings, said: str) -> Failure:
    """The offer takes as many pairs a step, half of them at a time."""
    batch, gathered = settings.batch_size // 2, settings.accumulate * 2
    if batch < 2:
        return Failure(f"{said} at the smallest batch.", "Choose a smaller model or checkpoint gradients.")
    return Failure(
        f"{said} at batch {settings.batch_size:,}.",
        f"Try batch {batch:,} with {gathered} steps gathered.",
        {"batch_size": batch, "accumulate": gathered},
    )


def explain(settings: TrainingSettings, said: str, code: int | None, epoch: int) -> Failure:
    """Of a trainer that ended with `code` before its last step, with `epoch` saved."""
    if OUT_OF_MEMORY.search(said):
        return out_of_memory(settings, "Out of memory")
    if KILLED.search(said) or code == -signal.SIGKILL:
        return out_of_memory(settings, "It was killed, probably because memory ran out,")
    if GPU_LOST.search(said):
        return Failure(f"The GPU was lost: {last_line(said)} {kept(epoch)}", "Resume when it is back.")
    if line := last_line(said):
        return Failure(f"The trainer failed: {line} {kept(epoch)}", "Its log says more.")
    how = f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with code {code}"
    return Failure(f"The trainer {how} before its last step. {kept(epoch)}", "Resume it; its log may say more.")


def kept(epoch: int) -> str:
    return f"Epoch {epoch} is kept." if epoch else "No epoch was finished."


def last_line(said: str) -> str:
    """The last line of the last traceback, which names the error; nothing of torch's statistics behind it."""
    found = [line.strip() for line in said.splitlines() if ERROR_LINE.match(line.strip())]
    return f"{found[-1][:LONGEST].rstrip('.')}." if found else ""
