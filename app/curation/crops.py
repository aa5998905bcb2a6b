"""What a reviewer may have published in place of the picture: it without borders and bars, or with parts covered.

The original stays. The published copy is made when it is taken, so that a snapshot finds it by its hash like any
picture.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image as Picture

from app.curation.queries import Found
from app.errors import Invalid
from app.prefilter.privacy import Action, doing
from app.storage import blobs
from app.tables import Image

FORM = re.compile(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})")
BESIDE = 0.15  # of a box's shorter side: what is covered around it, as boxes cut off the ends of letters
COVER = "black"


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


def read_masks(text: str) -> tuple[Crop, ...]:
    """Parts to cover as a form carries them, with `;` between. Raises ValueError."""
    return tuple(read_crop(part) for part in text.split(";")) if text else ()


def masks_in_draft(fields: Mapping[str, Any]) -> tuple[Crop, ...] | None:
    """The parts to cover that someone ticked, as a draft or a review keeps them; None where neither says.

    A review that covered nothing says nothing: perhaps nothing was offered then.
    """
    kept = fields.get("masks", fields.get("crop"))
    if isinstance(kept, dict):
        return tuple(Crop(**mask) for mask in kept.get("masks", ())) or None
    return read_masks(kept) if "masks" in fields else None


def in_draft(fields: Mapping[str, Any]) -> Crop | None:
    """The crop that someone ticked, as a draft's fields keep it: as the form carries it, or as a review keeps it."""
    kept = fields.get("crop")
    if isinstance(kept, dict):
        return Crop(*(kept[side] for side in ("x", "y", "width", "height")))
    return read_crop(kept) if kept else None


def offered(panels: Found | None, image: Image) -> Crop | None:
    """The crop that the panels stage offers; its box is in fractions of the picture."""
    box = panels.evidence.get("crop") if panels and panels.outcome == "ok" else None
    if not isinstance(box, dict):
        return None
    left, top = round(box["x"] * image.width), round(box["y"] * image.height)
    right, bottom = (box["x"] + box["width"]) * image.width, (box["y"] + box["height"]) * image.height
    crop = Crop(left, top, min(round(right), image.width) - left, min(round(bottom), image.height) - top)
    return crop if min(crop.width, crop.height) > 0 else None


def masks_offered(
    writing: Found | None, faces: Found | None, actions: Mapping[str, Mapping[str, str]], image: Image
) -> list[Crop]:
    """The parts that are offered to be covered: where writing or a face is of a kind that is to be taken out, or held.

    `actions` say by stage what is done about each kind. What was held is reviewed only once an admin released it,
    and it is still there then.
    """
    wanted = {stage: doing(actions.get(stage, {}), Action.REDACT, Action.HOLD) for stage in ("writing", "faces")}
    found = [one for one in (writing, faces) if one and one.outcome == "ok"]
    boxes = [box for one in found for box in _boxes(one) if box["kind"] in wanted[one.stage]]
    masks = dict.fromkeys(_mask(box, image) for box in boxes)
    return [mask for mask in masks if min(mask.width, mask.height) > 0]


def _boxes(found: Found) -> list[dict[str, Any]]:
    listed = found.evidence.get("boxes")
    return listed if isinstance(listed, list) else []


def _mask(box: Mapping[str, Any], image: Image) -> Crop:
    beside = BESIDE * min(box["width"] * image.width, box["height"] * image.height)
    left, top = max(0, int(box["x"] * image.width - beside)), max(0, int(box["y"] * image.height - beside))
    right, bottom = (box["x"] + box["width"]) * image.width + beside, (box["y"] + box["height"]) * image.height + beside
    return Crop(left, top, min(round(right), image.width) - left, min(round(bottom), image.height) - top)


@dataclass(frozen=True)
class OnOffer:
    """What may be published in place of a picture."""

    crop: Crop | None
    masks: Sequence[Crop]


def take(crop: Crop | None, masks: Sequence[Crop], on_offer: OnOffer, image: Image) -> dict[str, Any]:
    """Makes and stores the published copy: its part of the original, what is covered, its SHA-256 and size in bytes.

    Raises Invalid for what is not on offer (any more), FileNotFoundError without the original.
    """
    if crop and crop != on_offer.crop:
        changed = "The crop on offer has changed. Look at the picture again."
        raise Invalid(changed, fields={"crop": changed})
    if masks and set(masks) != set(on_offer.masks):
        changed = "What can be covered has changed. Look at the picture again."
        raise Invalid(changed, fields={"masks": changed})
    part = crop or Crop(0, 0, image.width, image.height)
    data = _copy(blobs().get(image.sha256), part, masks)
    covered = {"masks": [asdict(mask) for mask in masks]} if masks else {}
    return {**asdict(part), **covered, "sha256": blobs().put(data), "size": len(data)}


def _copy(jpeg: bytes, crop: Crop, masks: Sequence[Crop]) -> bytes:
    """As the import writes a picture whose pixels changed: JPEG q95 4:4:4, without metadata."""
    buffer = io.BytesIO()
    with Picture.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        whole = picture.convert("RGB")
    for mask in masks:
        whole.paste(COVER, (mask.x, mask.y, mask.x + mask.width, mask.y + mask.height))
    part = whole.crop((crop.x, crop.y, crop.x + crop.width, crop.y + crop.height))
    part.info.clear()
    part.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
