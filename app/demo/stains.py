"""Special stains imitated on H&E and DAB micrographs by colour deconvolution: for show, not for diagnosis.

Method: Ruifrok & Johnston, Anal Quant Cytol Histol 2001 - unmix optical density into dyes, mix other dyes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Density = NDArray[np.floating[Any]]
Recolour = Callable[[Image.Image], Image.Image]

WHITE = 243.0  # grey level of bare glass
TISSUE_SMOOTHING = 18.0  # px at 0.5 µm/px: wider than a nucleus, narrower than an epithelium


def _dye(red: float, green: float, blue: float) -> Density:
    vector: Density = np.array([red, green, blue], dtype=np.float32)
    length: float = float(np.linalg.norm(vector))
    return vector / np.float32(length)


# Optical density per channel of each dye.
HAEMATOXYLIN = _dye(0.65, 0.70, 0.29)
EOSIN = _dye(0.07, 0.99, 0.11)
DAB = _dye(0.27, 0.57, 0.78)
AEC = _dye(0.27, 0.83, 0.72)
SCHIFF = _dye(0.20, 0.93, 0.42)
ANILINE_BLUE = _dye(0.85, 0.50, 0.12)
LIGHT_GREEN = _dye(0.90, 0.22, 0.42)
PONCEAU = _dye(0.12, 0.90, 0.55)
IRON_HAEMATOXYLIN = _dye(0.66, 0.60, 0.46)
AZURE = _dye(0.78, 0.58, 0.14)
PALE_EOSIN = _dye(0.15, 0.75, 0.30)
PICRIC = _dye(0.03, 0.22, 0.98)
FUCHSIN = _dye(0.08, 0.85, 0.50)


def _unmix(image: Image.Image, first: Density, second: Density) -> tuple[Density, Density]:
    """Concentrations [h, w] of two dyes; what neither explains is left out."""
    rgb = np.asarray(image.convert("RGB"), dtype=np.float32)
    density = -np.log10(np.clip(rgb, 2, WHITE) / np.float32(WHITE))
    mixing = np.stack([first, second, _dye(*np.cross(first, second))])
    amounts = np.clip(density @ np.linalg.inv(mixing).astype(np.float32), 0, None)
    return amounts[..., 0], amounts[..., 1]


def _mix(*parts: tuple[Density, Density]) -> Image.Image:
    density = np.sum([amount[..., None] * dye for amount, dye in parts], axis=0)
    rgb = WHITE * np.power(np.float32(10), -density)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def _epithelium(nuclear: Density, plasma: Density) -> Density:
    """How much each pixel [h, w] lies in epithelium, 0 to 1: haematoxylin prevails over a wide patch."""
    blue, pink = _smooth(nuclear), _smooth(plasma)
    share = blue / (blue + pink + np.float32(0.02))
    certain: Density = np.clip((share - np.float32(0.53)) / np.float32(0.12), 0, 1)
    return certain


def _smooth(amount: Density) -> Density:
    grey = Image.fromarray(np.clip(amount * 120, 0, 255).astype(np.uint8))
    blurred: Density = np.asarray(grey.filter(ImageFilter.GaussianBlur(TISSUE_SMOOTHING)), dtype=np.float32)
    return blurred / np.float32(120)


def _nuclei(nuclear: Density) -> Density:
    """Haematoxylin beyond the faint blue that cytoplasm takes."""
    dense: Density = np.clip(nuclear - np.float32(0.3), 0, None)
    return dense


def _pas(image: Image.Image) -> Image.Image:
    nuclear, plasma = _unmix(image, HAEMATOXYLIN, EOSIN)
    return _mix((_nuclei(nuclear), HAEMATOXYLIN), (plasma * 0.7 + np.minimum(nuclear, 0.3) * 0.5, SCHIFF))


def _trichrome(image: Image.Image, collagen: Density = ANILINE_BLUE) -> Image.Image:
    nuclear, plasma = _unmix(image, HAEMATOXYLIN, EOSIN)
    epithelium = _epithelium(nuclear, plasma)
    red = epithelium * (plasma + nuclear * 0.45)
    return _mix(
        (_nuclei(nuclear) * 1.2, IRON_HAEMATOXYLIN),
        (red * 0.9, PONCEAU),
        ((1 - epithelium) * plasma * 1.1, collagen),
    )


def _green_trichrome(image: Image.Image) -> Image.Image:
    return _trichrome(image, LIGHT_GREEN)


def _van_gieson(image: Image.Image) -> Image.Image:
    nuclear, plasma = _unmix(image, HAEMATOXYLIN, EOSIN)
    epithelium = _epithelium(nuclear, plasma)
    return _mix(
        (_nuclei(nuclear) * 1.1, IRON_HAEMATOXYLIN),
        (epithelium * (plasma + 0.5 * nuclear), PICRIC),
        ((1 - epithelium) * plasma * 1.1, FUCHSIN),
    )


def _giemsa(image: Image.Image) -> Image.Image:
    nuclear, plasma = _unmix(image, HAEMATOXYLIN, EOSIN)
    return _mix((_nuclei(nuclear) + nuclear * 0.3, AZURE), (plasma * 0.5, PALE_EOSIN))


def _nuclear_dab(image: Image.Image) -> Image.Image:
    """Brown nuclei in the epithelium and blue ones elsewhere, as of an antibody to p63."""
    nuclear, plasma = _unmix(image, HAEMATOXYLIN, EOSIN)
    epithelium = _epithelium(nuclear, plasma)
    nuclei = _nuclei(nuclear)
    blue = nuclei * (1 - epithelium) * 0.8 + nuclear * 0.1
    return _mix((nuclei * epithelium * 1.7, DAB), (blue, HAEMATOXYLIN))


def _keratin_dab(image: Image.Image) -> Image.Image:
    """Brown cytoplasm of the epithelium and blue nuclei, as of an antibody to cytokeratins."""
    nuclear, plasma = _unmix(image, HAEMATOXYLIN, EOSIN)
    epithelium = _epithelium(nuclear, plasma)
    return _mix(
        ((np.minimum(nuclear, 0.5) * 0.5 + plasma * 0.8) * epithelium * 1.3, DAB),
        (_nuclei(nuclear) * (0.9 - 0.5 * epithelium) + plasma * 0.05, HAEMATOXYLIN),
    )


def _aec(image: Image.Image) -> Image.Image:
    blue, brown = _unmix(image, HAEMATOXYLIN, DAB)
    return _mix((blue * 0.9, HAEMATOXYLIN), (brown * 1.1, AEC))


STAINS: dict[str, Recolour] = {
    "pas": _pas,
    "trichrome": _trichrome,
    "green-trichrome": _green_trichrome,
    "van-gieson": _van_gieson,
    "giemsa": _giemsa,
    "p63": _nuclear_dab,
    "keratin": _keratin_dab,
    "aec": _aec,  # from DAB; all others from H&E
}
