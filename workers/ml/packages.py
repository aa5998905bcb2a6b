"""The folder that plain open_clip loads as `local-dir:`: a CLIP's weights as safetensors, and its config."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.ml.clips import CONFIG, WEIGHTS, Clip

FILES = (CONFIG, WEIGHTS)


def is_package(folder: Path) -> bool:
    """Whether plain open_clip loads the very weights that we would: from safetensors, by open_clip's own config."""
    return all((folder / name).is_file() for name in FILES)


def folder_name(name: str) -> str:
    """A name for a folder, of letters, digits, dashes, dots and underscores: `ip-clip v0007` → `ip-clip-v0007`."""
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-._")[:80] or "model"


def config_file(clip: Clip) -> bytes:
    """The open_clip_config.json of a CLIP: what `local-dir:` reads of activation, preprocessing and texts.

    `weights` is ours, open_clip reads past it: a network whose weights are random says so wherever it goes.
    """
    shown = ("mean", "std", "interpolation", "resize_mode", "fill_color")
    preprocess = {name: getattr(clip.preprocess, name) for name in shown}
    held = {"model_cfg": clip.config, "preprocess_cfg": preprocess, "weights": clip.weights}
    return (json.dumps(held, indent=2) + "\n").encode()


def write_weights(clip: Clip, file: BinaryIO) -> None:
    """Writes into the file that was opened under its name: safetensors are written by a name alone."""
    save_file(_state(clip), file.name)


def holds(folder: Path, clip: Clip) -> bool:
    """Whether a folder is the package of this very CLIP, so that it need not be made again."""
    if not is_package(folder) or (folder / CONFIG).read_bytes() != config_file(clip):
        return False
    return _same(load_file(folder / WEIGHTS), _state(clip))


def _state(clip: Clip) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in clip.model.state_dict().items()}


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
