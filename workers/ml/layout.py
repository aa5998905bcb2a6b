"""Where the image lies in a posted picture, and what lies around and upon it."""

from dataclasses import dataclass

from workers.ml import overlays, panels
from workers.ml.panels import Area, Box, Pixels

CROP_CONFIDENCE = 0.6  # of every bar that a crop would cut off


@dataclass(frozen=True)
class Layout:
    """What was found, and the image without its borders and bars, offered as a crop, where there are any."""

    boxes: list[Box]
    crop: Box | None


def find(jpeg: bytes) -> Layout:
    """Borders, interface bars, panels, arrows and lettering of a JPEG. Raises OSError when it can't be decoded."""
    pixels = panels.working_copy(jpeg)
    area, bars = panels.trim(pixels)
    parts = panels.split(pixels, area)
    return Layout([*bars, *parts, *overlays.find(pixels, area)], _crop(pixels, area, bars))


def _crop(pixels: Pixels, area: Area, bars: list[Box]) -> Box | None:
    """The whole area as a panel of its own, kept off the bars' edges, which JPEG smears."""
    if not bars or min(bar.confidence for bar in bars) < CROP_CONFIDENCE:
        return None
    height, width = pixels.shape[:2]
    inner = Area(
        area.top + (area.top > 0),
        area.bottom - (area.bottom < height),
        area.left + (area.left > 0),
        area.right - (area.right < width),
    )
    return inner.box("panel", pixels, min(bar.confidence for bar in bars))
