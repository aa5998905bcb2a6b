"""The crop that a reviewer may take: the picture without its borders and bars, as a picture of its own.

The original stays. A crop is made when it is taken, so that a snapshot finds it by its hash like any picture.
"""

import io
import re
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image as Picture

from app.curation.queries import Found
from app.errors import Invalid
from app.storage import blobs
from app.tables import Image

FORM = re.compile(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})")


@dataclass(frozen=True)
class Crop:
    """A part of a picture, in pixels of the original."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        """As a form carries it."""
        return f"{self.x},{self.y},{self.width},{self.height}"


def read_crop(text: str) -> Crop:
    """Raises ValueError for anything but four whole numbers."""
    found = FORM.fullmatch(text)
    if not found:
        raise ValueError("A crop is four whole numbers.")
    return Crop(*map(int, found.groups()))


def offered(panels: Found | None, image: Image) -> Crop | None:
    """The crop that the panels stage offers; its box is in fractions of the picture."""
    box = panels.evidence.get("crop") if panels and panels.outcome == "ok" else None
    if not isinstance(box, dict):
        return None
    left, top = round(box["x"] * image.width), round(box["y"] * image.height)
    right, bottom = (box["x"] + box["width"]) * image.width, (box["y"] + box["height"]) * image.height
    crop = Crop(left, top, min(round(right), image.width) - left, min(round(bottom), image.height) - top)
    return crop if min(crop.width, crop.height) > 0 else None


def take(wanted: Crop, panels: Found | None, image: Image) -> dict[str, Any]:
    """Makes and stores the crop's picture: its box, SHA-256 and size in bytes.

    Raises Invalid when it is not the one on offer (any more), FileNotFoundError without the original.
    """
    if wanted != offered(panels, image):
        changed = "The crop on offer has changed. Look at the picture again."
        raise Invalid(changed, fields={"crop": changed})
    data = _cropped(blobs().get(image.sha256), wanted)
    return {**asdict(wanted), "sha256": blobs().put(data), "size": len(data)}


def _cropped(jpeg: bytes, crop: Crop) -> bytes:
    """As the import writes a picture whose pixels changed: JPEG q95 4:4:4, without metadata."""
    buffer = io.BytesIO()
    with Picture.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        part = picture.convert("RGB").crop((crop.x, crop.y, crop.x + crop.width, crop.y + crop.height))
    part.info.clear()
    part.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
