"""CLIP in the layout of Hugging Face's transformers (config.json, model.safetensors), as open_clip names its parts.

The layout is that of `CLIPModel` (transformers, models/clip): PLIP's `vinid/plip` and OpenAI's `clip-vit-*` have it.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workers.ml.weights import BadWeights

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
FILES = ("model.safetensors", "pytorch_model.bin")
ACTIVATIONS = {"quick_gelu": True, "gelu": False}
RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}
VOCABULARY = 49_408  # of the tokenizer that open_clip brings
EPSILON = 1e-5

# What a config leaves out, as transformers fills it in.
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": EPSILON,
}
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": EPSILON,
}

RENAMED = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # the layout's own spelling
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
}
TRANSPOSED = ("visual.proj", "text_projection")
LEFT_OUT = ("vision_model.embeddings.position_ids", "text_model.embeddings.position_ids")  # 0, 1, 2, …
TOWERS = {"vision_model": "visual.transformer", "text_model": "transformer"}
IN_A_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
LAYER = re.compile(r"(vision_model|text_model)\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")

Config = dict[str, Any]


def configs_of(folder: Path, read: Callable[[Path], Config]) -> tuple[Config, Config]:
    """open_clip's `model_cfg` and `preprocess_cfg` of a folder, QuickGELU as its config says. Raises BadWeights."""
    held = read(folder / CONFIG)
    preprocessor = read(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}
    return model_config(held), preprocess_config(preprocessor)


def model_config(held: Mapping[str, Any]) -> Config:
    if held.get("model_type") != "clip":
        raise BadWeights(f"{CONFIG} is of a model of the type {str(held.get('model_type'))[:40]}; only clip is read.")
    text, vision = TEXT | _part(held, "text_config"), VISION | _part(held, "vision_config")
    acts = {str(text["hidden_act"]), str(vision["hidden_act"])}
    if len(acts) > 1 or not acts <= ACTIVATIONS.keys():
        raise BadWeights(f"{CONFIG} names the activation {', '.join(acts)}; open_clip knows quick_gelu or gelu.")
    if text["vocab_size"] != VOCABULARY:
        raise BadWeights(f"{CONFIG} has {text['vocab_size']} words; CLIP's tokenizer has {VOCABULARY}.")
    return {
        "embed_dim": _number(held.get("projection_dim", 512), "projection_dim"),
        "quick_gelu": ACTIVATIONS[str(text["hidden_act"])],
        "vision_cfg": {
            "image_size": _number(vision["image_size"], "image_size"),
            "patch_size": _number(vision["patch_size"], "patch_size"),
            "head_width": _number(vision["hidden_size"], "hidden_size")
            // _number(vision["num_attention_heads"], "num_attention_heads"),
            **_tower(vision),
        },
        "text_cfg": {
            "context_length": _number(text["max_position_embeddings"], "max_position_embeddings"),
            "vocab_size": VOCABULARY,
            "heads": _number(text["num_attention_heads"], "num_attention_heads"),
            **_tower(text),
        },
    }


def _tower(part: Mapping[str, Any]) -> Config:
    width = _number(part["hidden_size"], "hidden_size")
    made: Config = {"width": width, "layers": _number(part["num_hidden_layers"], "num_hidden_layers")}
    made["mlp_ratio"] = _number(part["intermediate_size"], "intermediate_size") / width
    if part["layer_norm_eps"] != EPSILON:
        made["norm_kwargs"] = {"eps": part["layer_norm_eps"]}
    return made


def preprocess_config(held: Mapping[str, Any]) -> Config:
    """mean, std and interpolation of a preprocessor_config.json; what it leaves out is as CLIP has it."""
    made = {"mean": held.get("image_mean"), "std": held.get("image_std")}
    made["interpolation"] = RESAMPLING.get(held.get("resample", 3))
    if made["interpolation"] is None:
        raise BadWeights(f"{PREPROCESSOR} names a way of resampling that is not read: {str(held['resample'])[:40]}.")
    return {name: value for name, value in made.items() if value is not None}


def _part(held: Mapping[str, Any], name: str) -> Config:
    part = held.get(name) or {}
    if not isinstance(part, dict):
        raise BadWeights(f"{CONFIG} is no config of a CLIP: {name} is no object.")
    return {key: value for key, value in part.items() if value is not None}


def _number(value: Any, name: str) -> int:
    if not isinstance(value, int) or value < 1:
        raise BadWeights(f"{CONFIG} has {name} {str(value)[:40]}; a whole number from 1 on is needed.")
    return value


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under open_clip's names; a name that the layout does not have stays, for the loader to refuse."""
    made: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in LEFT_OUT:
            continue
        new = RENAMED.get(name) or _in_layer(name)
        made[new] = value.T.contiguous() if new in TRANSPOSED and value.ndim == 2 else value
    return _joined(made)


def _in_layer(name: str) -> str:
    found = LAYER.fullmatch(name)
    if not found:
        return name
    tower, number, inside, kind = found.groups()
    return f"{TOWERS[tower]}.resblocks.{number}.{IN_A_LAYER.get(inside, inside)}.{kind}"


def _joined(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Query, key and value are one matrix in torch's attention, in this order."""
    for first in [name for name in state if ".self_attn.q_proj." in name]:
        names = [first.replace(".q_proj.", f".{part}_proj.") for part in "qkv"]
        if all(name in state and state[name].ndim == state[first].ndim for name in names):
            joined = torch.cat([state.pop(name) for name in names])
            state[re.sub(r"self_attn\.q_proj\.", "attn.in_proj_", first)] = joined
    return state
