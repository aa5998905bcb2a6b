"""Pictures for the sample posts: views cut out of the carried pictures, as different cameras take them."""

import io
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from app.demo.stains import STAINS
from app.demo.wheels import download_wheels, read_pictures

__all__ = ["Camera", "Picture", "Studio", "download_wheels"]

Box = tuple[int, int, int, int]
Label = Literal["histology", "other"]

# Where on the skin slide (2220 x 2967 px, 0.5 µm/px) the centre of a view of each structure may lie.
SITES: dict[str, Box] = {
    "overview": (1000, 900, 1400, 2100),
    "plug": (1330, 1150, 1600, 1700),
    "epithelium": (1120, 1000, 1320, 1750),
    "follicle": (1170, 1950, 1370, 2350),
    "strand": (800, 1500, 960, 2450),
    "bulb": (620, 2500, 780, 2850),
    "collagen": (980, 2350, 1300, 2700),
    "pigment": (1560, 2350, 1720, 2800),
    "surface": (1050, 250, 1450, 800),
    "infiltrate": (1000, 850, 1140, 1250),
    "lymphatic": (1080, 2700, 1200, 2800),
    "margin": (1650, 1000, 1900, 1300),
}
SLIDES = ("papillary", "pleomorphic", "glands")

# Longer side of a square view in px of its slide, by magnification.
FIELDS: dict[str, dict[str, int]] = {
    "skin": {"10x": 1900, "20x": 980, "40x": 540},
    "papillary": {"20x": 255, "40x": 195},
    "pleomorphic": {"20x": 380, "40x": 280},
    "glands": {"10x": 500, "20x": 410, "40x": 300},
}
ASPECTS = (1.0, 1.0, 1.0, 0.8, 0.8, 1.25, 4 / 3, 1.6)
SIDES = (480, 600, 640, 720, 750, 828, 900, 1080, 1080, 1080, 1350, 1440)  # px, longer side
FAULTS = ("blurry", "blank", "dark", "tiny")
TRIALS = 16
PAPER_AND_INK = (("#22304a", "#f4efe4"), ("#f1e9dc", "#5b2333"), ("#dfe9e6", "#17423b"))


@dataclass(frozen=True)
class Picture:
    """One JPEG, and what it shows; no label when it is no good for learning."""

    data: bytes
    width: int
    height: int
    origin: str  # the carried picture it is a view of
    label: Label | None


@dataclass(frozen=True)
class Camera:
    """How one account's pictures look: lamp colour, processing, frame, watermark."""

    lamp: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0
    eyepiece: bool = False  # a phone held to the microscope: a round field in black
    watermark: str = ""

    def process(self, view: Image.Image) -> Image.Image:
        """The view as this camera renders it."""
        view = ImageEnhance.Color(view).enhance(self.saturation)
        view = ImageEnhance.Contrast(view).enhance(self.contrast)
        return view.point([min(255, round(level * gain)) for gain in self.lamp for level in range(256)])

    def finish(self, view: Image.Image) -> Image.Image:
        """The eyepiece's black surround and the watermark, on the picture at its final size."""
        if self.eyepiece:
            view = _through_eyepiece(view)
        if self.watermark:
            size = max(16, view.width // 32)
            at = (view.width - size, view.height - size)
            font = ImageFont.load_default(size)
            ImageDraw.Draw(view).text(
                at, self.watermark, "#46465a", font, anchor="rs", stroke_width=2, stroke_fill="white"
            )
        return view


class Studio:
    """Takes pictures of what the wheels carry, each of another view. The same calls give the same bytes.

    A picture is asked for in words: `SITE MAGNIFICATION [STAIN] [FAULT]` for a micrograph,
    `SUBJECT [FAULT]` for a photograph, `card TEXT` for a card with text.
    """

    def __init__(self, wheels: Path, seed: int) -> None:
        self._sources = read_pictures(wheels)
        self._tissue = np.asarray(self._sources["skin"].reduce(8).convert("HSV"))[..., 1] > 30
        self._random = random.Random(seed)  # noqa: S311  # variety, not secrecy
        self._taken: dict[str, list[Box]] = {}

    def take(self, words: str, camera: Camera) -> Picture:
        """One picture. Raises KeyError for a magnification or subject that is not carried."""
        subject, *details = words.split()
        fault = next((word for word in details if word in FAULTS), None)
        label: Label = "histology" if subject in SITES or subject in SLIDES else "other"
        if subject == "card":
            view = self._card(words.removeprefix("card "))
        elif label == "histology":
            view = self._micrograph(subject, details, camera)
        else:
            view = self._photograph(subject)
        origin = "skin" if subject in SITES else subject
        if fault:
            return self._encode(_spoil(view, fault), origin, None)
        return self._encode(view, origin, label)

    def retake(self, picture: Picture, change: str) -> Picture:
        """A picture as another account posts it again. `change`: exact, or a word that `_changed` knows."""
        if change == "exact":
            return picture
        image = Image.open(io.BytesIO(picture.data)).convert("RGB")
        return self._encode(_changed(image, change), picture.origin, picture.label, quality=74)

    def _micrograph(self, subject: str, details: list[str], camera: Camera) -> Image.Image:
        slide = "skin" if subject in SITES else subject
        box = self._aim(slide, subject, FIELDS[slide][details[0]])
        view = self._sources[slide].crop(box)
        for stain in details[1:]:
            view = STAINS[stain](view) if stain in STAINS else view
        turn = self._random.choice([None, *Image.Transpose])
        view = camera.process(view if turn is None else view.transpose(turn))
        return camera.finish(self._sized(view, at_most=2.4))

    def _aim(self, slide: str, subject: str, field: int) -> Box:
        """Of some random views of the structure, the one with most tissue farthest from those taken."""
        taken = self._taken.setdefault(slide, [])
        size = self._sources[slide].size
        where = SITES.get(subject, (0, 0, *size))
        trials = [self._aimed(where, field, size) for _ in range(TRIALS)]
        best = max(trials, key=lambda box: self._worth(slide, box))
        taken.append(best)
        return best

    def _aimed(self, where: Box, field: int, limit: tuple[int, int]) -> Box:
        reach, aspect = field * self._random.uniform(0.88, 1.12), self._random.choice(ASPECTS)
        width = min(round(reach * math.sqrt(aspect)), limit[0])
        height = min(round(reach / math.sqrt(aspect)), limit[1])
        left = self._random.randint(where[0], where[2]) - width // 2
        top = self._random.randint(where[1], where[3]) - height // 2
        left, top = min(max(left, 0), limit[0] - width), min(max(top, 0), limit[1] - height)
        return left, top, left + width, top + height

    def _worth(self, slide: str, box: Box) -> float:
        novelty = min((_apart(box, other) for other in self._taken[slide]), default=1.0)
        if slide != "skin":
            return novelty
        left, top, right, bottom = (side // 8 for side in box)
        return novelty * float(self._tissue[top:bottom, left:right].mean())

    def _photograph(self, subject: str) -> Image.Image:
        source = self._sources[subject]
        width, height = (round(side * self._random.uniform(0.82, 0.98)) for side in source.size)
        left = self._random.randint(0, source.width - width)
        top = self._random.randint(0, source.height - height)
        view = source.crop((left, top, left + width, top + height))
        view = ImageEnhance.Brightness(view).enhance(self._random.uniform(0.9, 1.15))
        return self._sized(view, at_most=3.0)

    def _card(self, text: str) -> Image.Image:
        paper, ink = self._random.choice(PAPER_AND_INK)
        card = Image.new("RGB", (1080, 1080), paper)
        drawing = ImageDraw.Draw(card)
        drawing.rectangle((60, 60, 1020, 1020), outline=ink, width=6)
        font = ImageFont.load_default(72)
        drawing.multiline_text((540, 540), text, ink, font, anchor="mm", align="center", spacing=28)
        return card

    def _sized(self, view: Image.Image, at_most: float) -> Image.Image:
        longer = max(view.size)
        side = max(480, min(self._random.choice(SIDES), round(longer * at_most)))
        width, height = (max(1, round(length * side / longer)) for length in view.size)
        return view.resize((width, height), Image.Resampling.LANCZOS)

    def _encode(self, image: Image.Image, origin: str, label: Label | None, quality: int | None = None) -> Picture:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality or self._random.randint(70, 95), optimize=True)
        return Picture(buffer.getvalue(), *image.size, origin, label)


def _apart(one: Box, other: Box) -> float:
    """0 for the same view to 1 for views that share nothing: 1 - intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return 1 - shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _through_eyepiece(view: Image.Image) -> Image.Image:
    side = min(view.size)
    left, top = (view.width - side) // 2, (view.height - side) // 2
    field = Image.new("L", view.size, 0)
    ImageDraw.Draw(field).ellipse((left + 6, top + 6, left + side - 6, top + side - 6), fill=255)
    soft = field.filter(ImageFilter.GaussianBlur(side / 110))
    return Image.composite(view, Image.new("RGB", view.size, (8, 8, 10)), soft)


def _spoil(view: Image.Image, fault: str) -> Image.Image:
    match fault:
        case "blurry":
            return view.filter(ImageFilter.GaussianBlur(max(view.size) / 75))
        case "blank":
            return view.resize((2, 2), Image.Resampling.BOX).resize(view.size, Image.Resampling.BICUBIC)
        case "dark":
            return ImageEnhance.Brightness(view).enhance(0.08)
        case _:  # tiny
            view.thumbnail((150, 150))
            return view


def _changed(image: Image.Image, change: str) -> Image.Image:
    width, height = image.size
    match change:
        case "reencoded":
            return image
        case "smaller":
            return image.resize((round(width * 0.7), round(height * 0.7)), Image.Resampling.LANCZOS)
        case "cropped":
            return image.crop((width // 40, height // 30, width - width // 30, height - height // 40))
        case "flipped":
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        case "bordered":
            framed = Image.new("RGB", (width + width // 8, height + height // 8), "white")
            framed.paste(image, (width // 16, height // 16))
            return framed
    raise ValueError(f"No such change: {change}")
