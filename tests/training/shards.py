"""Small shards of pairs that a tiny network soon tells apart, and the command that trains on them."""

import io
import json
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from app.training.command import Data, Start, arguments
from app.training.settings import TrainingSettings
from workers.ml.curves import Curves, Step

TINY = Start("tiny_clip", Path(__file__).parents[1] / "tiny_clip.json")
QUICK = TrainingSettings(
    epochs=3, batch_size=16, learning_rate=1e-3, warmup_steps=2, smallest_crop=1, patience=0, keep="best_and_latest"
)
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (40, 60, 210),
    "yellow": (230, 210, 40),
    "pink": (240, 150, 190),
    "grey": (128, 128, 128),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
}


def pair(number: int) -> tuple[bytes, str]:
    """A 64 px picture, one colour above another, and the caption that names both."""
    names = list(COLOURS)
    above, below = names[number % 8], names[number // 8 % 8]
    picture = Image.new("RGB", (64, 64), COLOURS[above])
    picture.paste(COLOURS[below], (0, 32, 64, 64))
    noise = random.Random(number)
    for _ in range(40):
        picture.putpixel((noise.randrange(64), noise.randrange(64)), (0, 0, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue(), f"{above} above {below}"


def write_shard(path: Path, pairs: Mapping[str, tuple[bytes, str]]) -> int:
    with tarfile.open(path, "w") as tar:
        for key, (picture, caption) in pairs.items():
            for name, data in (("jpg", picture), ("json", b"{}"), ("txt", caption.encode())):
                entry = tarfile.TarInfo(f"{key}.{name}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return len(pairs)


def write_shards(folder: Path, train: int = 48, val: int = 16, shards: int = 4) -> Data:
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-train // shards)
    sizes = {}
    for at in range(shards):
        numbers = range(at * each, min(train, (at + 1) * each))
        name = f"train-{at:06d}.tar"
        sizes[name] = write_shard(folder / name, {f"{number:012d}": pair(number) for number in numbers})
    held_out = {f"{number:012d}": pair(number) for number in range(train, train + val)}
    sizes["val-000000.tar"] = write_shard(folder / "val-000000.tar", held_out)
    (folder / "sizes.json").write_text(json.dumps(sizes))
    pattern = f"{folder}/train-{{000000..{shards - 1:06d}}}.tar"
    return Data(pattern, f"{folder}/val-{{000000..000000}}.tar", tuple(list(sizes.values())[:shards]), val)


def command(settings: TrainingSettings, data: Data, folder: Path, start: Start = TINY) -> list[str]:
    return [sys.executable, *arguments(settings, start, data, folder)]


def train(argv: list[str], seconds: float = 500) -> "subprocess.CompletedProcess[str]":
    """The trainer after it ended; what it said is in `stdout`."""
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(argv, **said, check=False, timeout=seconds, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})


def steps(folder: Path) -> dict[int, Step]:
    """The last that was logged of each step."""
    return {step.step: step for step in Curves(folder / "tensorboard").read()}
