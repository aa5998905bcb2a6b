"""A CLIP of open_clip with all that makes its vectors: made from a name, a config, a folder or a hub's repository.

A config that is not open_clip's own is read as data: it is checked before anything of its size is allocated, and it
never enters open_clip's list of names, where it could take another's place.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import open_clip
import psutil
import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.transform import PreprocessCfg
from torch import Tensor, nn

from workers.ml import hugging_face, weights
from workers.ml.encoder import EncoderSpec, torch_lock
from workers.ml.weights import BadWeights, WeightsUnavailable

HUB = "hf-hub:"
FOLDER = "local-dir:"
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
CONFIG_BYTES = 1_000_000
LARGEST = {
    "embed_dim": 16_384,
    "width": 16_384,
    "layers": 256,
    "heads": 512,
    "head_width": 4_096,
    "image_size": 4_096,
    "patch_size": 1_024,
    "context_length": 65_536,
    "vocab_size": 2_000_000,
    "mlp_ratio": 64,
}

Config = dict[str, Any]
Kind = Literal["trained", "random"]


@dataclass(frozen=True)
class Clip:
    """A network with its own config (`model_cfg` of an open_clip_config.json), which makes the same one again.

    `file` is where its weights were read from, "" where it has none or that is not known.
    """

    model: nn.Module
    tokenizer: Callable[[list[str]], Tensor]
    config: Config
    preprocess: PreprocessCfg
    name: str
    weights: Kind
    file: str = ""

    @property
    def quick_gelu(self) -> bool:
        return bool(self.config.get("quick_gelu"))


def make(spec: EncoderSpec) -> Clip:
    """The CLIP of a spec, on the CPU. Raises BadWeights, WeightsUnavailable."""
    if spec.model.startswith(FOLDER):
        return from_folder(Path(spec.model.removeprefix(FOLDER)))
    if spec.model.startswith(HUB):
        return _from_hub(spec)
    if spec.pretrained and Path(spec.pretrained).is_file():
        return from_checkpoint(Path(spec.pretrained), spec.model, spec.quick_gelu)
    if not spec.model.endswith(".json"):
        return _by_name(spec)
    if spec.pretrained:
        raise WeightsUnavailable(f"{spec.pretrained} is neither a known set of weights for {spec.model} nor a file.")
    config, preprocess = _configs(spec.model, spec.quick_gelu)
    return _built(config, preprocess, named(Path(spec.model).stem, spec), spec.seed)


def from_checkpoint(file: Path, model: str, quick_gelu: bool = False) -> Clip:
    """A file of weights with the config that `model` names: of open_clip, a .json, or the folder of a base.

    Raises BadWeights.
    """
    config, preprocess = _configs(model, quick_gelu)
    name = Path(model.removeprefix(FOLDER)).name.removesuffix(".json")
    return _loaded(config, preprocess, weights.read(file), f"{name}/{file.stem}", file)


def from_folder(folder: Path) -> Clip:
    """What plain open_clip loads as `local-dir:`, or a folder of transformers' CLIP. Raises BadWeights.

    Its config says all: activation, preprocessing, length of texts.
    """
    if (folder / CONFIG).is_file():
        config, preprocess = read_config(folder / CONFIG)
        file = _only_file(folder, (WEIGHTS, "open_clip_pytorch_model.bin"))
        made = _loaded(config, preprocess, weights.read(file), folder.name, file)
        return replace(made, weights="random") if _json(folder / CONFIG).get("weights") == "random" else made
    if (folder / hugging_face.CONFIG).is_file():
        config, preprocess = hugging_face.configs_of(folder, _json)
        file = _only_file(folder, hugging_face.FILES)
        state = hugging_face.renamed(weights.read(file))
        return _loaded(_checked(config, hugging_face.CONFIG), preprocess, state, folder.name, file)
    raise BadWeights(f"{folder.name} is no model: it has neither {CONFIG} nor {hugging_face.CONFIG}.")


# --- the ways to make one -----------------------------------------------------------------------


def _by_name(spec: EncoderSpec) -> Clip:
    config = _known(spec.model)
    tagged = weights.pretrained_config(spec.model, spec.pretrained) if spec.pretrained else {}
    fetched = str(weights.weights_file(spec.pretrained or "", tagged)) if tagged else None
    # OpenAI's weights need it under every model name; open_clip itself only warns
    config |= {"quick_gelu": bool(tagged.get("quick_gelu") or config.get("quick_gelu") or spec.quick_gelu)}
    with torch_lock, drawn(spec.seed):
        model = open_clip.create_model(
            spec.model,
            pretrained=fetched,
            pretrained_text=False,
            force_quick_gelu=config["quick_gelu"],
            force_preprocess_cfg={f.name: tagged[f.name] for f in fields(PreprocessCfg) if f.name in tagged},
        )
    kind: Kind = "trained" if spec.pretrained else "random"
    name = named(spec.model, spec)
    return Clip(model, open_clip.get_tokenizer(spec.model), config, preprocess_of(model), name, kind, fetched or "")


def _from_hub(spec: EncoderSpec) -> Clip:
    repository = spec.model.removeprefix(HUB)
    weights.require_repository(repository)
    try:
        config = open_clip.get_model_config(spec.model)
    except Exception as error:  # the hub's client raises classes of its own
        advice = f"A repository of another layout is read from the models folder, as {FOLDER} and its name."
        raise WeightsUnavailable(f"The config of {spec.model} could not be fetched: {error}. {advice}") from error
    config = _checked(config, spec.model)
    config |= {"quick_gelu": bool(config.get("quick_gelu") or spec.quick_gelu)}
    with torch_lock:
        model = open_clip.create_model(spec.model, force_quick_gelu=config["quick_gelu"], require_pretrained=True)
    file = str(weights.cached(repository) or "")
    return Clip(model, open_clip.get_tokenizer(spec.model), config, preprocess_of(model), repository, "trained", file)


def _loaded(config: Config, preprocess: Config, state: dict[str, Tensor], name: str, file: Path) -> Clip:
    if "logit_bias" in state and config.get("init_logit_bias") is None:  # the trainer's --siglip adds one
        config |= {"init_logit_bias": 0.0}
    made = _built(config, preprocess, name, 0)
    _load(made.model, state)
    return replace(made, weights="trained", file=str(file))


def _built(config: Config, preprocess: Config, name: str, seed: int) -> Clip:
    """A network of a config with random weights. Raises BadWeights."""
    with TemporaryDirectory() as folder, torch_lock, drawn(seed):
        held = {"model_cfg": config, "preprocess_cfg": preprocess}
        (Path(folder) / CONFIG).write_text(json.dumps(held), encoding="utf-8")
        try:
            _refuse_too_large(f"{FOLDER}{folder}")
            model = open_clip.create_model(f"{FOLDER}{folder}", load_weights=False, pretrained_text=False)
            tokenizer = open_clip.get_tokenizer(f"{FOLDER}{folder}")
        except BadWeights:
            raise
        except Exception as error:  # a config may be wrong in as many ways as there are networks
            raise BadWeights(f"open_clip can't make a model of {name}: {_last_words(error)}") from error
    return Clip(model, tokenizer, config, preprocess_of(model), name, "random")


def preprocess_of(model: Any) -> PreprocessCfg:
    return PreprocessCfg(**model.visual.preprocess_cfg)


def _load(model: nn.Module, state: dict[str, Tensor]) -> None:
    """The forms that a CLIP's weights are passed on in, brought to open_clip's, then loaded whole or not."""
    try:
        state = convert_state_dict(model, state)
        if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
    except Exception as error:
        raise BadWeights(f"The file does not hold this CLIP: {error}") from error
    state.pop("text.transformer.embeddings.position_ids", None)  # transformers wrote it before 4.31
    for name in ("logit_scale", "logit_bias"):  # one number, with or without an axis
        wanted = getattr(model, name, None)
        if name in state and wanted is not None and state[name].numel() == 1:
            state[name] = state[name].reshape(wanted.shape)
    weights.load_exactly(model, state)


# --- configs ------------------------------------------------------------------------------------


def _configs(model: str, quick_gelu: bool) -> tuple[Config, Config]:
    """`model_cfg` and `preprocess_cfg` of a name, a .json or a folder; `quick_gelu` where its weights need it."""
    if model.startswith(FOLDER):
        config, preprocess = read_config(Path(model.removeprefix(FOLDER)) / CONFIG)
    elif model.endswith(".json"):
        config, preprocess = read_config(Path(model))
    else:
        config, preprocess = _known(model), {}
    return config | {"quick_gelu": bool(config.get("quick_gelu") or quick_gelu)}, preprocess


def read_config(path: Path) -> tuple[Config, Config]:
    """`model_cfg` and `preprocess_cfg` of a config, alone or in open_clip's wrapping. Raises BadWeights."""
    held = _json(path)
    preprocess = held.get("preprocess_cfg") or {}
    if not isinstance(preprocess, dict):
        raise BadWeights(f"{path.name} is not a model config: preprocess_cfg is no object.")
    return _checked(held.get("model_cfg", held), path.name), preprocess


def _json(path: Path) -> Config:
    if not path.is_file():
        raise BadWeights(f"There is no {path.name}.")
    if path.stat().st_size > CONFIG_BYTES:
        raise BadWeights(f"{path.name} is no config: it is larger than a config can be.")
    try:
        held = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadWeights(f"{path.name} is not JSON: {error}.") from error
    if not isinstance(held, dict):
        raise BadWeights(f"{path.name} is not a config: it holds no object.")
    return held


def _known(model: str) -> Config:
    if model not in open_clip.list_models():
        raise BadWeights(f"open_clip has no model {model}.")
    config: Config = open_clip.get_model_config(model)
    return _checked(config, model)


def _checked(config: Any, name: str) -> Config:
    """Raises BadWeights for what is no config, asks for absurd sizes, or needs a library that is not there."""
    wanted = ("embed_dim", "vision_cfg", "text_cfg")
    if not isinstance(config, dict) or not all(part in config for part in wanted):
        raise BadWeights(f"{name} is not a model config: it needs embed_dim, vision_cfg and text_cfg.")
    if not all(isinstance(config[part], dict) for part in ("vision_cfg", "text_cfg")):
        raise BadWeights(f"{name} is not a model config: vision_cfg and text_cfg are objects.")
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        _refuse_absurd(part, name)
    texts = config["text_cfg"]
    if (texts.get("hf_model_name") or texts.get("hf_tokenizer_name")) and find_spec("transformers") is None:
        raise BadWeights(f"{name} reads texts with the library transformers, which this product does not have.")
    return config


def _refuse_absurd(part: Mapping[str, Any], name: str) -> None:
    for key, largest in LARGEST.items():
        for value in part[key] if isinstance(part.get(key), list) else [part.get(key)]:
            if value is not None and not (isinstance(value, int | float) and 0 < value <= largest):
                raise BadWeights(f"{name} asks for {key} {str(value)[:40]}; a model has at most {largest:,}.")


def _refuse_too_large(model: str) -> None:
    """Raises BadWeights when the weights alone would not fit into what memory is free: counted, nothing allocated."""
    with torch.device("meta"):
        drawn = open_clip.create_model(model, load_weights=False, pretrained_text=False, device="meta")
    count = parameters(drawn)
    free = psutil.virtual_memory().available
    if 4 * count > free:
        asked = f"{count:,} parameters, {4 * count / 1e9:,.1f} GB"
        raise BadWeights(f"The config asks for {asked}; {free / 1e9:,.1f} GB of memory is free.")


def parameters(model: nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


# --- names and draws ----------------------------------------------------------------------------


def _only_file(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these files, by a name that leads out of the folder not even as a link. Raises BadWeights."""
    for name in names:
        path = folder / name
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    parts = [path.name for path in folder.glob("*.index.json")]
    said = f" Its weights are in parts ({parts[0]}); join them into one file." if parts else ""
    raise BadWeights(f"{folder.name} has no weights: {' or '.join(names)} is needed.{said}")


def named(model: str, spec: EncoderSpec) -> str:
    return f"{model}/{Path(spec.pretrained).stem}" if spec.pretrained else f"{model}/random-{spec.seed}"


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """Random weights are those of the seed, and the process's own random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _last_words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1][:200] if lines else 'no reason given'}"
