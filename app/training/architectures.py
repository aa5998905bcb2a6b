"""What can be trained from random weights: configs in open_clip's layout, and how large their networks are."""

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.config import settings
from app.encoders.policies import below
from app.tables import Encoder
from app.training.settings import PRACTICE_ARCHITECTURE

CONTEXT = 77  # tokens, of open_clip's text towers unless their config says otherwise
SUGGESTED = (PRACTICE_ARCHITECTURE, "ViT-B-32", "ViT-B-16", "ViT-L-14")
CONFIG_BYTES = 1_000_000

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,80}")


def config_path(architecture: str) -> Path | None:
    """The config's file: the practice network's, one below the models folder, or open_clip's own by its name."""
    if architecture == PRACTICE_ARCHITECTURE:
        return Path(__file__).parent / PRACTICE_ARCHITECTURE
    if architecture.endswith(".json"):
        return below(settings().models_path, architecture)
    found = importlib.util.find_spec("open_clip")  # finds it without importing torch
    if found is None or not found.submodule_search_locations or not _NAME.fullmatch(architecture):
        return None
    path = Path(found.submodule_search_locations[0]) / "model_configs" / f"{architecture}.json"
    return path if path.is_file() else None


def config_of(architecture: str) -> dict[str, Any] | None:
    return _read(config_path(architecture))


def config_of_encoder(encoder: Encoder) -> dict[str, Any] | None:
    """The config of a registered CLIP: its package's, else that of its model's name."""
    if encoder.package:
        return _read(below(settings().models_path, f"{encoder.package}/open_clip_config.json"))
    return config_of(encoder.model)


def _read(path: Path | None) -> dict[str, Any] | None:
    """A config without its wrapping; None where the file holds none."""
    if path is None or path.stat().st_size > CONFIG_BYTES:
        return None
    try:
        read = json.loads(path.read_bytes())
    except ValueError:
        return None
    config = read.get("model_cfg", read) if isinstance(read, dict) else None
    return config if isinstance(config, dict) and {"vision_cfg", "text_cfg"} <= config.keys() else None


def needs_download(config: Mapping[str, Any]) -> bool:
    """Whether a tower's own config stands on a hub, so that it can't be made here."""
    return "hf_model_name" in config["text_cfg"] or "hf_model_name" in config["vision_cfg"]


def context(config: Mapping[str, Any] | None) -> int:
    """How many tokens of a caption the network reads; open_clip's default where its config says nothing."""
    return int(config["text_cfg"].get("context_length", CONTEXT)) if config else CONTEXT


def has_blocks(config: Mapping[str, Any]) -> bool:
    """Whether the image tower can be locked by parts: open_clip's ResNets can't."""
    return not isinstance(config["vision_cfg"].get("layers"), list)


def parameters(config: Mapping[str, Any]) -> int | None:
    """How many numbers the network learns, for CLIP with two transformers; None for other kinds.

    A block has 12 w² + 13 w: attention 4 w² + 4 w, the two layers behind it 8 w² + 5 w, two normalisations 4 w.
    """
    vision, texts, embed = config["vision_cfg"], config["text_cfg"], config.get("embed_dim")
    if not _is_plain(config) or not isinstance(embed, int):
        return None
    width, patch = vision["width"], vision["patch_size"]
    image: int = 3 * patch**2 * width + width + _patches(vision) * width + 4 * width + width * embed
    text_width = texts["width"]
    text: int = (texts["vocab_size"] + texts["context_length"]) * text_width + 2 * text_width + text_width * embed
    return image + text + int(vision["layers"]) * _block(width) + int(texts["layers"]) * _block(text_width) + 1


def activations(config: Mapping[str, Any], bytes_a_number: int) -> int | None:
    """Bytes that a pair keeps for the backward pass, for CLIP with two transformers; None for other kinds.

    A block keeps 17 numbers a token and width and 2.5 a pair of tokens and head (Korthikanti et al. 2022, eq. 1,
    whose bytes are of 2 a number).
    """
    if not _is_plain(config):
        return None
    vision, texts = config["vision_cfg"], config["text_cfg"]
    image = _kept(_patches(vision), vision["width"], vision["width"] // vision.get("head_width", 64), vision["layers"])
    text = _kept(texts["context_length"], texts["width"], texts["heads"], texts["layers"])
    return int((image + text) * bytes_a_number)


def _is_plain(config: Mapping[str, Any]) -> bool:
    vision, texts = config["vision_cfg"], config["text_cfg"]
    wanted = ((vision, ("image_size", "layers", "width", "patch_size")), (texts, ("context_length", "vocab_size")))
    sized = all(isinstance(part.get(name), int) and part[name] > 0 for part, names in wanted for name in names)
    return sized and all(isinstance(texts.get(name), int) and texts[name] > 0 for name in ("width", "heads", "layers"))


def _patches(vision: Mapping[str, Any]) -> int:
    return int(vision["image_size"] // vision["patch_size"]) ** 2 + 1


def _block(width: int) -> int:
    return 12 * width**2 + 13 * width


def _kept(tokens: int, width: int, heads: int, layers: int) -> float:
    return layers * (17 * tokens * width + 2.5 * heads * tokens**2)
