"""A CLIP in Hugging Face's layout, drawn at random, and what it says computed by the layout's own names."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

VISION: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 64,
    "patch_size": 16,
    "hidden_act": "quick_gelu",
}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "hidden_act": "quick_gelu",
    "eos_token_id": 2,
}
CONFIG: dict[str, Any] = {
    "architectures": ["CLIPModel"],
    "model_type": "clip",
    "projection_dim": 24,
    "text_config": TEXT,
    "vision_config": VISION,
}
PREPROCESSOR = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3], "resample": 2, "size": 64}


def drawn_state(seed: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    state = {
        "logit_scale": torch.tensor(2.6592),
        "visual_projection.weight": drawn(24, 48),
        "text_projection.weight": drawn(24, 32),
        "vision_model.embeddings.class_embedding": drawn(48),
        "vision_model.embeddings.patch_embedding.weight": drawn(48, 3, 16, 16),
        "vision_model.embeddings.position_embedding.weight": drawn(17, 48),
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
        "text_model.embeddings.token_embedding.weight": drawn(49408, 32),
        "text_model.embeddings.position_embedding.weight": drawn(77, 32),
        "text_model.embeddings.position_ids": torch.arange(77)[None],
    }
    for norm, width in (("vision_model.pre_layrnorm", 48), ("vision_model.post_layernorm", 48)):
        state |= {f"{norm}.weight": 1 + drawn(width) / 5, f"{norm}.bias": drawn(width)}
    state |= {"text_model.final_layer_norm.weight": 1 + drawn(32) / 5, "text_model.final_layer_norm.bias": drawn(32)}
    for tower, part in (("vision_model", VISION), ("text_model", TEXT)):
        width, inner = part["hidden_size"], part["intermediate_size"]
        for number in range(part["num_hidden_layers"]):
            layer = f"{tower}.encoder.layers.{number}"
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                state |= {
                    f"{layer}.self_attn.{name}.weight": drawn(width, width),
                    f"{layer}.self_attn.{name}.bias": drawn(width),
                }
            for name in ("layer_norm1", "layer_norm2"):
                state |= {f"{layer}.{name}.weight": 1 + drawn(width) / 5, f"{layer}.{name}.bias": drawn(width)}
            state |= {f"{layer}.mlp.fc1.weight": drawn(inner, width), f"{layer}.mlp.fc1.bias": drawn(inner)}
            state |= {f"{layer}.mlp.fc2.weight": drawn(width, inner), f"{layer}.mlp.fc2.bias": drawn(width)}
    return state


def write_folder(folder: Path, state: dict[str, Tensor], *, as_bin: bool = False, config: Any = CONFIG) -> Path:
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    if as_bin:
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(state, folder / "model.safetensors")
    return folder


class Reference:
    """What the layout's `CLIPModel` computes, written from its description and not from open_clip."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def image(self, pixels: Tensor) -> Tensor:
        """[n, 3, 64, 64] → [n, 24]: the normalised class token after the last layer, projected."""
        patches = functional.conv2d(pixels, self.state["vision_model.embeddings.patch_embedding.weight"], stride=16)
        tokens = patches.flatten(2).transpose(1, 2)
        first = self.state["vision_model.embeddings.class_embedding"].expand(len(tokens), 1, -1)
        held = torch.cat([first, tokens], dim=1) + self.state["vision_model.embeddings.position_embedding.weight"]
        held = self._layers("vision_model", self._norm("vision_model.pre_layrnorm", held), VISION, causal=False)
        pooled = self._norm("vision_model.post_layernorm", held[:, 0])
        return pooled @ self.state["visual_projection.weight"].T

    def text(self, ids: Tensor) -> Tensor:
        """[n, 77] ids, the end token being the largest → [n, 24]."""
        held = self.state["text_model.embeddings.token_embedding.weight"][ids]
        held = held + self.state["text_model.embeddings.position_embedding.weight"][: ids.shape[1]]
        held = self._norm("text_model.final_layer_norm", self._layers("text_model", held, TEXT, causal=True))
        pooled = held[torch.arange(len(ids)), ids.argmax(dim=-1)]
        return pooled @ self.state["text_projection.weight"].T

    def _layers(self, tower: str, held: Tensor, part: dict[str, Any], *, causal: bool) -> Tensor:
        for number in range(part["num_hidden_layers"]):
            layer = f"{tower}.encoder.layers.{number}"
            inside = self._norm(f"{layer}.layer_norm1", held)
            held = held + self._attention(f"{layer}.self_attn", inside, part["num_attention_heads"], causal=causal)
            inside = self._linear(f"{layer}.mlp.fc1", self._norm(f"{layer}.layer_norm2", held))
            inside = inside * torch.sigmoid(1.702 * inside)
            held = held + self._linear(f"{layer}.mlp.fc2", inside)
        return held

    def _attention(self, name: str, held: Tensor, heads: int, *, causal: bool) -> Tensor:
        count, length, width = held.shape
        query, key, value = (
            self._linear(f"{name}.{part}_proj", held).view(count, length, heads, width // heads).transpose(1, 2)
            for part in "qkv"
        )
        scores = query @ key.transpose(-1, -2) / (width // heads) ** 0.5
        if causal:
            scores = scores + torch.full((length, length), float("-inf")).triu(1)
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(count, length, width)
        return self._linear(f"{name}.out_proj", mixed)

    def _linear(self, name: str, held: Tensor) -> Tensor:
        return nn.functional.linear(held, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def _norm(self, name: str, held: Tensor) -> Tensor:
        return functional.layer_norm(held, held.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"])
