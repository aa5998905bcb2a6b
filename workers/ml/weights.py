"""Trained weights: found and fetched without hanging on a machine that is offline, read without running any code."""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import timm
import torch
from huggingface_hub import get_session, hf_hub_url, try_to_load_from_cache
from open_clip import download_pretrained, get_pretrained_cfg
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

PATIENCE_SECONDS = 6.0
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)
MIT_TAGS = ("openai", "laion", "datacomp", "commonpool")


class WeightsUnavailable(RuntimeError):
    """Trained weights were asked for and can't be had here; random weights or another encoder still can."""


class BadWeights(ValueError):
    """What was given is not the model that it should be; the message says what is wrong."""


def read(path: Path) -> dict[str, Tensor]:
    """Name → tensor of a checkpoint, by its suffix. Raises BadWeights."""
    return read_safetensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Name → tensor of a safetensors file. Raises BadWeights when it is none, or a number in it is not finite."""
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise BadWeights(f"{path.name} is not a safetensors file: {error}") from error
    return _finite(_plain(state, path), path)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Name → tensor of a file of torch (`.pt`), as trainers write it; nothing in the file is run.

    Raises BadWeights when it holds anything but tensors and plain values, or no tensors.
    """
    _refuse_packed(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise BadWeights(
            f"{path.name} is a pickle with more than weights in it; such a file can run code and is never loaded."
        ) from error
    except Exception as error:  # zip, EOF and runtime errors: torch raises whatever its readers do
        raise BadWeights(
            f"{path.name} is not a file of weights that torch can read: {type(error).__name__}."
        ) from error
    for name in ("state_dict", "model", "model_state_dict"):
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
            break
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise BadWeights(f"{path.name} holds no weights: a mapping of names to tensors is needed.")
    plain = _plain({str(name).removeprefix("module."): value for name, value in held.items()}, path)
    return _finite({name: value.contiguous() for name, value in plain.items()}, path)


def _refuse_packed(path: Path) -> None:
    """torch packs nothing: an archive that holds more than it has bytes is a bomb, one without its end was cut off."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
    try:
        with ZipFile(path) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
    except (BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise BadWeights(f"{path.name} is not a whole file: its end is missing or broken. Copy it again.") from error
    if claimed > path.stat().st_size:
        raise BadWeights(f"{path.name} would unpack to {claimed:,} bytes, more than it has; torch writes no such file.")


def _plain(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Only numbers that are in the file: a tensor can claim any size by a stride of 0, or have no numbers at all."""
    for name, value in state.items():
        if value.layout is not torch.strided or value.device.type != "cpu" or value.dtype not in DTYPES:
            raise BadWeights(f"{path.name} holds {name} as {value.dtype}, {value.layout}; plain numbers are needed.")
    claimed = sum(value.numel() * value.element_size() for value in state.values())
    if claimed > 2 * path.stat().st_size:  # weights that two layers share are there once
        raise BadWeights(f"{path.name} claims {claimed:,} bytes of numbers, more than it has.")
    return state


def _finite(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadWeights(f"{path.name} holds numbers that are not finite, in {name}.")
    return state


def load_exactly(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads weights of exactly this model. Raises BadWeights with the names and shapes that do not fit."""
    wanted = model.state_dict()
    wrong = [
        f"{name} is {_shape(state[name])} in the file and {_shape(value)} in the model"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    missing = [name for name in wanted if name not in state]
    unexpected = [name for name in state if name not in wanted]
    if wrong or missing or unexpected:
        parts = (("", wrong), ("missing: ", missing), ("unexpected: ", unexpected))
        said = "; ".join(start + _some(names) for start, names in parts if names)
        raise BadWeights(f"The file does not hold this model: {said}.")
    model.load_state_dict(state)


def _shape(value: Tensor) -> str:
    return " × ".join(str(size) for size in value.shape) or "one number"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def require_repository(repository: str) -> None:
    """Raises WeightsUnavailable in seconds when the hub does not answer for a repository that is not cached here."""
    if not isinstance(try_to_load_from_cache(repository, "open_clip_config.json"), str):
        _require_answer(hf_hub_url(repository, "open_clip_config.json"))


def require_timm(model: str) -> None:
    """Raises WeightsUnavailable in seconds when timm's own weights of a model can't be had."""
    config = timm.get_pretrained_cfg(model)
    if config is None or not (config.hf_hub_id or config.url):
        raise WeightsUnavailable(f"timm knows no trained weights of {model}.")
    repository = str(config.hf_hub_id or "")
    if repository and cached(repository, usual=TIMM_FILES):
        return
    _require_answer(hf_hub_url(repository, "model.safetensors") if repository else str(config.url))


def pretrained_config(model: str, pretrained: str) -> dict[str, Any]:
    """open_clip's entry for a tag: where the weights are, quick_gelu, mean, std; empty for a file of weights.

    Raises WeightsUnavailable when `pretrained` is neither a tag of the model nor a file.
    """
    config: dict[str, Any] = get_pretrained_cfg(model, pretrained)
    if not config and not Path(pretrained).is_file():
        raise WeightsUnavailable(f"{pretrained} is neither a known set of weights for {model} nor a file.")
    return config


def weights_file(pretrained: str, config: dict[str, Any]) -> Path:
    """The weights on this disk, fetched when they are not yet here.

    Raises WeightsUnavailable within PATIENCE_SECONDS when the host that has them does not answer.
    """
    if not config:
        return Path(pretrained)
    repository, _, file = str(config.get("hf_hub", "")).rpartition("/")
    if found := cached(repository, file):
        return found
    address = hf_hub_url(repository, file or HUB_FILES[0]) if repository else str(config["url"])
    _require_answer(address)
    try:
        return Path(download_pretrained(config))
    except Exception as error:  # the hub, the proxy and the disk each raise classes of their own
        raise WeightsUnavailable(f"The weights {pretrained} could not be fetched: {error}") from error


def licence(pretrained: str) -> str:
    """The licence under which a tag's publisher released its weights, as far as we know it."""
    return "MIT" if pretrained.startswith(MIT_TAGS) else "unknown"


def cached(repository: str, file: str = "", usual: Iterable[str] = HUB_FILES) -> Path | None:
    """Where a repository's weights are on this disk: `file`, or the first of the usual names; None if not yet."""
    for name in (file,) if file else usual:
        path = try_to_load_from_cache(repository, name) if repository else None
        if isinstance(path, str):
            return Path(path)
    return None


def _require_answer(address: str) -> None:
    """Ask once, in a thread: the hub's client retries for 23 s a file, and name look-up has no time limit."""
    failure: list[BaseException] = [TimeoutError(f"no answer within {PATIENCE_SECONDS:.0f} s")]

    def ask() -> None:
        try:
            get_session().head(address, timeout=PATIENCE_SECONDS / 2)
            failure.clear()
        except Exception as error:  # any failure means the same here
            failure[:] = [error]

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_SECONDS)
    if failure:
        raise WeightsUnavailable(f"{address} can't be reached: {failure[0]}")
