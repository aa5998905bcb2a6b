"""A run's folder as its page sees it: checkpoints with their sizes, and the log. The worker writes it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.config import settings

LOG = "console.log"  # all that the trainer says; its own out.log lacks the errors that end it
CHECKPOINTS, LAST = "checkpoints", "epoch_latest.pt"
TAIL_BYTES = 64_000
TAIL_LINES = 50
LINE_LENGTH = 400

# torch writes long statistics of its compiler when a process ends; they say nothing of the run.
_NOISE = re.compile(r"torch\._dynamo|torch\._inductor|^\s*TorchDynamo|^\s*\* ")


@dataclass(frozen=True)
class Checkpoint:
    name: str
    size: int


def folder_of(run_id: int) -> Path:
    return settings().runs_path / str(run_id)


def log_of(run_id: int) -> Path | None:
    path = folder_of(run_id) / LOG
    return path if path.is_file() else None


def last_lines(run_id: int) -> list[str]:
    """The end of the log, at most 50 lines, without what only torch's makers read."""
    path = log_of(run_id)
    if path is None:
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        text = file.read(TAIL_BYTES).decode(errors="replace")
    lines = [line.replace("\x00", " ")[:LINE_LENGTH] for line in text.splitlines() if line.strip()]
    return [line for line in lines if not _NOISE.search(line)][-TAIL_LINES:]


def pieces(path: Path) -> Iterator[bytes]:
    """A file as long as it is now, though it may grow meanwhile."""
    left = path.stat().st_size
    with path.open("rb") as file:
        while left > 0 and (piece := file.read(min(left, TAIL_BYTES))):
            left -= len(piece)
            yield piece


def checkpoints(run_id: int) -> list[Checkpoint]:
    """What is kept to resume or to use; a file of two names (a hard link) counts once."""
    found: dict[int, Checkpoint] = {}
    for path in sorted((folder_of(run_id) / CHECKPOINTS).glob("*.pt")):
        facts = path.lstat()
        found.setdefault(facts.st_ino, Checkpoint(path.name, facts.st_size))
    return sorted(found.values(), key=lambda one: one.name)


def has_last(run_id: int) -> bool:
    """Whether the last epoch is kept with the optimiser's state, so that training can go on from it."""
    return (folder_of(run_id) / CHECKPOINTS / LAST).is_file()


def put_aside(run_id: int) -> str:
    """Gives a folder in which something trained another name, which is returned; empty where there is none."""
    folder = folder_of(run_id)
    if not any((folder / name).exists() for name in (CHECKPOINTS, "tensorboard")):
        return ""
    moved = folder.with_name(f"{run_id}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    folder.rename(moved)
    return moved.name


def go_on(run_id: int, from_id: int) -> None:
    """Lets a new run begin with another's last epoch: one file of two names, which nobody writes in place."""
    put_aside(run_id)
    checkpoints = folder_of(run_id) / CHECKPOINTS
    checkpoints.mkdir(parents=True)
    (checkpoints / LAST).hardlink_to(folder_of(from_id) / CHECKPOINTS / LAST)


def tidy(run_id: int) -> int:
    """Deletes a run's checkpoints; the bytes that came free."""
    kept = checkpoints(run_id)
    for path in (folder_of(run_id) / CHECKPOINTS).glob("*.pt"):
        path.unlink(missing_ok=True)
    return sum(one.size for one in kept)
