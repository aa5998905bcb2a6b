"""CLIP in Hugging Face's layout, as PLIP is published: the same vectors under open_clip's names, or a refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from tests.workers.ml.hugging_face_clip import CONFIG, TEXT, Reference, drawn_state, write_folder
from workers.ml import clips
from workers.ml.encoder import EncoderSpec, load_encoder
from workers.ml.weights import BadWeights


@pytest.mark.parametrize("as_bin", [False, True])
def test_its_vectors_are_those_of_the_layout_s_own_model(as_bin: bool, tmp_path: Path) -> None:
    state = drawn_state()
    clip = clips.from_folder(write_folder(tmp_path / "plip", state, as_bin=as_bin))
    reference, model = Reference(state), clip.model.eval()
    pixels = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    ids = open_clip.get_tokenizer("ViT-B-32")(["an H&E image of skin", "", "word " * 200])
    with torch.inference_mode():
        torch.testing.assert_close(model.encode_image(pixels), reference.image(pixels), atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(model.encode_text(ids), reference.text(ids), atol=2e-5, rtol=1e-4)
    assert float(model.logit_scale.detach()) == pytest.approx(2.6592)
    assert torch.equal(clip.tokenizer(["an H&E image of skin"]), ids[:1])


def test_activation_and_preprocessing_are_those_of_its_config(tmp_path: Path) -> None:
    clip = clips.from_folder(write_folder(tmp_path / "plip", drawn_state()))
    assert clip.quick_gelu
    assert (tuple(clip.preprocess.mean), tuple(clip.preprocess.std)) == ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    assert (clip.preprocess.interpolation, clip.preprocess.input_size) == ("bilinear", (3, 64, 64))
    plain = CONFIG | {part: CONFIG[part] | {"hidden_act": "gelu"} for part in ("text_config", "vision_config")}
    assert not clips.from_folder(write_folder(tmp_path / "other", drawn_state(), config=plain)).quick_gelu


def test_what_a_config_leaves_out_is_as_openai_s_vit_b_32_has_it() -> None:
    from workers.ml.hugging_face import model_config

    known = open_clip.get_model_config("ViT-B-32-quickgelu")
    made = model_config({"model_type": "clip"})
    assert (made["embed_dim"], made["quick_gelu"]) == (known["embed_dim"], known["quick_gelu"])
    for part in ("vision_cfg", "text_cfg"):
        assert {name: made[part][name] for name in known[part]} == known[part]
    assert (made["vision_cfg"]["head_width"], made["vision_cfg"]["mlp_ratio"]) == (64, 4)


def changed(part: str, **values: Any) -> dict[str, Any]:
    return CONFIG | {part: CONFIG[part] | values}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CONFIG | {"model_type": "siglip"}, "of the type siglip; only clip is read"),
        (CONFIG | {"model_type": None}, "only clip is read"),
        (changed("text_config", hidden_act="gelu"), "quick_gelu or gelu"),
        (
            changed("vision_config", hidden_act="relu") | {"text_config": TEXT | {"hidden_act": "relu"}},
            "activation relu",
        ),
        (changed("text_config", vocab_size=30522), "has 30522 words; CLIP's tokenizer has 49408"),
        (changed("vision_config", num_hidden_layers=10**9), "asks for layers 1000000000"),
        (changed("vision_config", hidden_size=10**12, num_attention_heads=10**10), "asks for width"),
        (changed("vision_config", hidden_size="wide"), "hidden_size wide; a whole number"),
        (
            changed("vision_config", hidden_size=16_384, num_attention_heads=128, num_hidden_layers=250),
            "memory is free",
        ),
        (changed("vision_config", num_hidden_layers=1), "unexpected: visual.transformer.resblocks.1"),
        (changed("vision_config", image_size=128), "17 × 48 in the file and 65 × 48 in the model"),
        ({"model_type": "clip", "vision_config": [1]}, "vision_config is no object"),
    ],
)
def test_a_config_that_is_foreign_or_absurd_is_refused(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "plip", drawn_state(), config=config)
    with pytest.raises(BadWeights, match=said):
        clips.from_folder(folder)


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")


def _outside(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_weights, r"no weights: .* in parts \(model\.safetensors\.index\.json\)"),
        (_outside, "no weights"),
        (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds no object"),
        (lambda folder: (folder / "config.json").write_text(" " * 1_000_001), "larger than a config can be"),
        (lambda folder: (folder / "config.json").unlink(), "is no model: it has neither"),
        (lambda folder: (folder / "preprocessor_config.json").write_text('{"resample": 99}'), "resampling"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(spoil: Callable[[Path], Any], said: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "plip", drawn_state())
    spoil(folder)
    with pytest.raises(BadWeights, match=said):
        clips.from_folder(folder)


def test_as_an_encoder_it_reads_pictures_and_texts(tmp_path: Path) -> None:
    from tests.workers.ml.test_encoder import jpeg

    folder = write_folder(tmp_path / "plip", drawn_state())
    encoder = load_encoder(EncoderSpec("open_clip", f"local-dir:{folder}"))
    assert (encoder.name, encoder.width, encoder.weights, encoder.quick_gelu) == ("plip", 24, "trained", True)
    assert encoder.embed_images([jpeg(1)]).shape == encoder.embed_texts(["skin"]).shape == (1, 24)
    assert encoder.file == str(folder / "model.safetensors")
