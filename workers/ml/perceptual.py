"""Perceptual sameness by PDQ (Meta's ThreatExchange): 256-bit hashes."""

from typing import NamedTuple

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from workers.ml import panels
from workers.ml.pictures import decode

LOOK = 400  # px, longer side of the copy on which borders and bars are looked for

# px, both sides of the copy that is hashed. PDQ smooths it over 3 px and keeps the middle of every 5: both odd, so
# the hash of a mirrored or turned picture is that of the picture with its bits moved. On copies of 512 px, as the
# reference implementation makes them, it smooths over 4 and keeps one beside the middle, and a quarter of the
# pictures turned by 180° are missed.
COPY = 320


class Hash(NamedTuple):
    """The 32 bytes, their quality from 0 to 100, and the share of the picture that they are of."""

    pdq: bytes
    quality: int
    content: float


def pdq(jpeg: bytes) -> Hash:
    """The PDQ hash of a picture without its borders and bars, so that a copy with a caption bar has the same.

    Copies are within about 31 bits of each other. Below quality 50 (blank or nearly blank pictures)
    the hash says little and should not group anything. Raises OSError for an undecodable picture.
    """
    image = decode(jpeg, at_least=2 * COPY)
    box = content(image)
    bits, quality = pdqhash.compute(_square(image.crop(box)))
    share = (box[2] - box[0]) * (box[3] - box[1]) / (image.width * image.height)
    return Hash(_packed(bits), int(quality), share)


def content(image: Image.Image) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom in px) of what is no border and no bar; off their edges, which JPEG smears."""
    small = image.copy()
    small.thumbnail((LOOK, LOOK), Image.Resampling.BOX)
    area, bars = panels.trim(np.asarray(small, dtype=np.float32))
    if not bars:
        return (0, 0, *image.size)
    across, down = image.width / small.width, image.height / small.height
    left, right = area.left + (area.left > 0), area.right - (area.right < small.width)
    top, bottom = area.top + (area.top > 0), area.bottom - (area.bottom < small.height)
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _square(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 [320, 320, 3]; PDQ makes any picture square, so nothing is lost by its shape."""
    smaller = min(image.size) > COPY
    resized = image.resize((COPY, COPY), Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8)


def _packed(bits: NDArray[np.int64]) -> bytes:
    return np.packbits(bits.astype(np.uint8)).tobytes()
