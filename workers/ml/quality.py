"""How a picture measures up before anyone looks at it: size, shape, blur and blankness."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.ml.pictures import decode

COPY = 512  # px, longer side of the grey copy: the same picture measures alike at every upload size
TILE = 16  # px
UNIFORM = 4.0  # grey levels: a tile that varies less shows nothing but background and noise

Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Quality:
    """Measures of one picture; thresholds are applied elsewhere."""

    width: int  # px
    height: int  # px
    aspect: float  # width / height
    sharpness: float  # variance of the Laplacian, grey levels squared; below about 20 looks blurred
    blankness: float  # share of 16 x 16 px tiles that are near-uniform, 0 to 1
    entropy: float  # bits of the grey histogram, 0 to 8
    brightness: float  # mean grey level, 0 to 255


def measure(jpeg: bytes) -> Quality:
    """Measure a JPEG. Raises OSError when it can't be decoded.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000).
    """
    with Image.open(io.BytesIO(jpeg)) as picture:
        width, height = picture.size
    grey = _grey_copy(jpeg)
    return Quality(
        width=width,
        height=height,
        aspect=width / height,
        sharpness=_laplacian_variance(grey),
        blankness=_uniform_share(grey),
        entropy=_entropy(grey),
        brightness=float(grey.mean()),
    )


def _grey_copy(jpeg: bytes) -> Grey:
    image = decode(jpeg, at_least=COPY, mode="L")
    image.thumbnail((COPY, COPY), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32)


def _laplacian_variance(grey: Grey) -> float:
    if min(grey.shape) < 3:
        return 0.0
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    return float(laplacian.var())


def _uniform_share(grey: Grey) -> float:
    rows, columns = (max(side // TILE, 1) for side in grey.shape)
    whole = grey[: rows * TILE, : columns * TILE]
    tiles = whole.reshape(rows, whole.shape[0] // rows, columns, whole.shape[1] // columns)
    return float((tiles.std(axis=(1, 3)) < UNIFORM).mean())


def _entropy(grey: Grey) -> float:
    counts = np.bincount(grey.astype(np.uint8).ravel(), minlength=256)
    share = counts[counts > 0] / grey.size
    return float(-(share * np.log2(share)).sum()) + 0.0
