"""PDQ: copies are near, other pictures far, flips found; the index answers exactly as brute force does."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from workers.ml.perceptual import pdq


def picture(seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((800, 600), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, quality: int = 92) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def hamming(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def test_a_hash_has_32_bytes_and_a_quality() -> None:
    value, quality, content = pdq(encoded(picture(1)))
    assert len(value) == 32
    assert quality == 100
    assert content == 1.0


@pytest.mark.parametrize("bars", [(0, 60), (90, 0), (120, 150)])
def test_a_copy_with_bars_is_hashed_without_them(bars: tuple[int, int]) -> None:
    original, (above, below) = picture(1), bars
    page = Image.new("RGB", (800, 600 + above + below), "white")
    page.paste(original, (0, above))
    ImageDraw.Draw(page).text((20, 620 + above if below else 20), "Case of the week", "black")
    found = pdq(encoded(page))
    assert found.content == pytest.approx(600 / page.height, abs=0.02)
    assert hamming(found.pdq, pdq(encoded(original)).pdq) <= 31


def test_a_smaller_and_worse_copy_stays_within_31_bits() -> None:
    original, copy = encoded(picture(1)), encoded(picture(1).resize((400, 300)), quality=40)
    assert hamming(pdq(original)[0], pdq(copy)[0]) <= 31


def test_another_picture_is_far() -> None:
    assert hamming(pdq(encoded(picture(1)))[0], pdq(encoded(picture(2)))[0]) > 80


def test_a_blank_picture_has_no_quality() -> None:
    assert pdq(encoded(Image.new("RGB", (300, 300), "white")))[1] < 50


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (8, 8)])
def test_tiny_pictures_are_hashed(size: tuple[int, int]) -> None:
    assert len(pdq(encoded(Image.new("RGB", size, "grey")))[0]) == 32


def test_an_undecodable_picture_raises_os_error() -> None:
    with pytest.raises(OSError):
        pdq(b"\xff\xd8\xff\xe0 cut short")
