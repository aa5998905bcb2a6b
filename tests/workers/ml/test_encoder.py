"""Encoders: shapes, unit length, the same vectors in another process, and a quick answer when offline."""

import dataclasses
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workers.ml.encoder import Encoder, EncoderSpec, NotFinite, WeightsUnavailable, load_encoder

TINY = Path(__file__).parents[2] / "tiny_clip.json"
SPEC = EncoderSpec("open_clip", str(TINY), None, seed=7)


def jpeg(seed: int, width: int = 200, height: int = 150, mode: str = "RGB") -> bytes:
    values = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    image = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    image.convert(mode).save(out, "JPEG", quality=92)
    return out.getvalue()


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    return load_encoder(SPEC)


@pytest.fixture(scope="module")
def lite0() -> Encoder:
    return load_encoder(EncoderSpec("efficientnet-lite0"))


def test_a_clip_says_what_it_is(tiny: Encoder) -> None:
    assert (tiny.name, tiny.width, tiny.has_text) == ("tiny_clip/random-7", 32, True)
    assert (tiny.weights, tiny.licence) == ("random", "none")
    assert tiny.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)


def test_pictures_become_unit_vectors_in_their_order(tiny: Encoder) -> None:
    pictures = [jpeg(seed) for seed in range(35)]
    vectors = tiny.embed_images(pictures)
    assert vectors.shape == (35, 32)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for at in (0, 15, 16, 34):
        np.testing.assert_allclose(vectors[at], tiny.embed_images([pictures[at]])[0], atol=1e-4)


def test_texts_become_unit_vectors(tiny: Encoder) -> None:
    vectors = tiny.embed_texts(["colon, H&E", "", "腺癌 🔬", "word " * 500])
    assert vectors.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_in_gives_an_empty_matrix(tiny: Encoder) -> None:
    assert tiny.embed_images([]).shape == (0, 32)
    assert tiny.embed_texts([]).shape == (0, 32)


def test_grey_and_tall_pictures_are_taken(tiny: Encoder) -> None:
    assert tiny.embed_images([jpeg(1, mode="L"), jpeg(2, 20, 400), jpeg(3, 1500, 900)]).shape == (3, 32)


@pytest.mark.parametrize("data", [b"", b"<html>not a picture</html>", jpeg(1)[:300]])
def test_an_undecodable_picture_raises_os_error(tiny: Encoder, data: bytes) -> None:
    with pytest.raises(OSError):
        tiny.embed_images([jpeg(0), data])


def test_reduced_decoding_barely_moves_a_vector(tiny: Encoder) -> None:
    large = jpeg(5, 1600, 1200)
    full = tiny.transform(Image.open(io.BytesIO(large)))
    reduced = tiny.embed_images([large])[0]
    exact = tiny.image_tower(full[None]).detach().numpy()[0]
    assert float(reduced @ (exact / np.linalg.norm(exact))) > 0.999


def test_the_same_spec_gives_the_same_vectors_in_another_process(tiny: Encoder) -> None:
    code = (
        "import json, sys; from workers.ml.encoder import EncoderSpec, load_encoder;"
        f"tiny = load_encoder(EncoderSpec('open_clip', {str(TINY)!r}, None, seed=7));"
        "print(json.dumps([tiny.embed_images([sys.stdin.buffer.read()])[0].tolist(),"
        " tiny.embed_texts(['colon'])[0].tolist()]))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=jpeg(3), capture_output=True, check=True)
    picture, text = json.loads(done.stdout)
    np.testing.assert_allclose(picture, tiny.embed_images([jpeg(3)])[0], atol=1e-6)
    np.testing.assert_allclose(text, tiny.embed_texts(["colon"])[0], atol=1e-6)


def test_another_seed_gives_other_vectors_and_another_name(tiny: Encoder) -> None:
    other = load_encoder(EncoderSpec("open_clip", str(TINY), None, seed=8))
    assert other.name != tiny.name
    assert abs(float(other.embed_images([jpeg(3)])[0] @ tiny.embed_images([jpeg(3)])[0])) < 0.99


def test_loading_leaves_the_random_state_of_the_process_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load_encoder(SPEC)
    assert torch.equal(torch.rand(3), expected)


def test_threads_share_one_encoder(tiny: Encoder) -> None:
    pictures = [[jpeg(seed + 20 * thread) for seed in range(20)] for thread in range(3)]
    expected = [tiny.embed_images(batch) for batch in pictures]
    found: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda at=at: found.update({at: tiny.embed_images(pictures[at])})) for at in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at in range(3):
        np.testing.assert_allclose(found[at], expected[at], atol=1e-5)


def test_a_file_of_weights_is_loaded_as_trained(tiny: Encoder, tmp_path: Path) -> None:
    import open_clip
    from safetensors.torch import save_file

    open_clip.add_model_config(TINY)
    model = open_clip.create_model("tiny_clip", pretrained_text=False)
    weights = tmp_path / "run-1.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, weights)
    loaded = load_encoder(EncoderSpec("open_clip", str(TINY), str(weights)))
    assert (loaded.name, loaded.weights, loaded.licence) == ("tiny_clip/run-1", "trained", "unknown")
    assert abs(float(loaded.embed_images([jpeg(3)])[0] @ tiny.embed_images([jpeg(3)])[0])) < 0.999


def test_an_unknown_set_of_weights_is_unavailable() -> None:
    with pytest.raises(WeightsUnavailable, match="neither a known set"):
        load_encoder(EncoderSpec("open_clip", str(TINY), "no-such-tag"))


def test_weights_that_can_not_be_fetched_are_unavailable_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an unreachable host; what is already in this machine's cache must not be found either."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "/nonexistent")
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}",
    )
    started = time.monotonic()
    with pytest.raises(WeightsUnavailable, match="can't be reached"):
        load_encoder(EncoderSpec("open_clip", "ViT-B-32", "openai"))
    assert time.monotonic() - started < 10


def test_efficientnet_lite0_reads_pictures_only(lite0: Encoder) -> None:
    assert (lite0.width, lite0.has_text, lite0.weights, lite0.licence) == (
        1280,
        False,
        "trained",
        "Apache-2.0",
    )
    with pytest.raises(ValueError, match="pictures only"):
        lite0.embed_texts(["colon"])


def test_efficientnet_lite0_sees_that_a_copy_is_nearer_than_another_picture(lite0: Encoder) -> None:
    picture, copy, other = lite0.embed_images([jpeg(1, 800, 600), jpeg(1, 400, 300), jpeg(2, 800, 600)])
    assert picture.shape == (1280,)
    assert float(picture @ copy) > 0.95 > float(picture @ other)


def test_a_poison_picture_among_256_fails_alone_with_its_reason(tiny: Encoder) -> None:
    pictures = [jpeg(seed % 7) for seed in range(256)]
    pictures[100] = b"<html>not a picture</html>"

    def lost() -> bytes:
        raise FileNotFoundError("blob")

    reads = [(number, lambda data=data: data) for number, data in enumerate(pictures)]
    reads[200] = (200, lost)
    made = list(tiny.embed_each(reads))
    assert [key for key, _ in made] == list(range(256))
    failed = {key: type(vector) for key, vector in made if isinstance(vector, Exception)}
    assert set(failed) == {100, 200}
    assert issubclass(failed[100], OSError)
    assert failed[200] is FileNotFoundError
    expected = tiny.embed_images([pictures[6]])[0]
    np.testing.assert_allclose(made[6][1], expected, atol=1e-5)


def test_a_vector_that_is_not_finite_is_an_error_and_the_others_stay(tiny: Encoder) -> None:
    spoil = {1: float("nan"), 2: float("inf"), 3: 0.0}

    def spoilt(pixels: torch.Tensor) -> torch.Tensor:
        made = tiny.image_tower(pixels)
        for row, value in spoil.items():
            made[row] = value
        return made

    encoder = dataclasses.replace(tiny, image_tower=spoilt)
    made = [vector for _, vector in encoder.embed_each((n, partial(jpeg, n)) for n in range(5))]
    assert [isinstance(vector, NotFinite) for vector in made] == [False, True, True, True, False]


def test_pictures_are_read_as_they_are_needed_and_no_further(tiny: Encoder) -> None:
    asked = 0

    def pictures() -> Iterator[tuple[int, Callable[[], bytes]]]:
        nonlocal asked
        for asked in range(10_000):
            yield asked, partial(jpeg, asked % 5)

    made = tiny.embed_each(pictures())
    for _ in range(20):
        next(made)
    made.close()
    assert asked < 20 + 4 * tiny.batch
