"""Quality measures move in the direction that their names promise."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from workers.ml.quality import measure


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()


def texture(width: int = 600, height: int = 400) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def test_size_and_aspect_are_those_of_the_picture_itself() -> None:
    quality = measure(encoded(texture(1200, 400)))
    assert (quality.width, quality.height, quality.aspect) == (1200, 400, 3.0)


def test_blur_lowers_sharpness() -> None:
    sharp, blurred = texture(), texture().filter(ImageFilter.GaussianBlur(6))
    assert measure(encoded(sharp)).sharpness > 50 * measure(encoded(blurred)).sharpness


def test_sharpness_of_a_large_upload_is_comparable_with_that_of_its_small_copy() -> None:
    large = texture(512, 384).resize((2048, 1536), Image.Resampling.BICUBIC)
    small = large.resize((1024, 768), Image.Resampling.BOX)
    ratio = measure(encoded(large)).sharpness / measure(encoded(small)).sharpness
    assert 0.5 < ratio < 2


def test_a_blank_picture_is_blank() -> None:
    quality = measure(encoded(Image.new("RGB", (400, 300), (240, 235, 240))))
    assert (quality.blankness, quality.sharpness, quality.entropy) == (1.0, 0.0, 0.0)
    assert quality.brightness == pytest.approx(236, abs=2)


def test_half_a_blank_picture_is_half_blank() -> None:
    image = Image.new("RGB", (512, 512), "white")
    image.paste(texture(512, 256), (0, 0))
    assert measure(encoded(image)).blankness == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (2, 2), (17, 15), (5000, 8)])
def test_odd_sizes_are_measured(size: tuple[int, int]) -> None:
    quality = measure(encoded(Image.new("RGB", size, "grey")))
    assert (quality.width, quality.height) == size
    assert 0 <= quality.blankness <= 1


def test_the_same_bytes_measure_the_same() -> None:
    data = encoded(texture())
    assert measure(data) == measure(data)


def test_an_undecodable_picture_raises_os_error() -> None:
    with pytest.raises(OSError):
        measure(encoded(texture())[:500])
