"""Drawn pictures whose captions name what is on them: a set with known truth, the same for the same seed.

Colour, shape, count, texture, place and background are drawn at random, so that a caption tells most pictures
apart; the ground under them varies so strongly that no two are alike to a perceptual hash either.
"""

import io
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]
Box = tuple[float, float, float, float]

COLOURS: dict[str, Rgb] = {
    "red": (225, 30, 35),
    "green": (25, 165, 60),
    "blue": (35, 70, 230),
    "yellow": (250, 220, 30),
    "purple": (135, 40, 175),
    "orange": (250, 125, 20),
    "cyan": (30, 205, 220),
    "pink": (250, 125, 190),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
TEXTURES = ("plain", "striped", "dotted")
PLACES = {"left": (0.3, 0.5), "right": (0.7, 0.5), "top": (0.5, 0.3), "bottom": (0.5, 0.7), "middle": (0.5, 0.5)}
BACKGROUNDS: dict[str, Rgb] = {"black": (45, 45, 45), "grey": (125, 125, 125), "white": (210, 210, 210)}
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}
PLURALS = {"cross": "crosses"}
WORDINGS = (
    "{count} {texture} {colour} {shape} at the {place} of a {background} ground",
    "a {background} picture with {count} {texture} {shape} in {colour}, {where}",
    "drawn on {background}: {count} {colour} {shape}, {texture}, {where}",
    "{where} there {verb} {count} {colour} {shape} with a {texture} fill on {background} paper",
    "{colour} {shape}, {count} of them, {texture}, placed at the {place}; the background is {background}",
)
INK: Rgb = (15, 15, 15)  # stripes and dots


@dataclass(frozen=True)
class Truth:
    """What a picture shows."""

    colour: str
    shape: str
    count: int
    texture: str
    place: str
    background: str


@dataclass(frozen=True)
class Pair:
    """A picture, a caption that names all of its truth, and the truth."""

    picture: Image.Image
    caption: str
    truth: Truth

    @property
    def jpeg(self) -> bytes:
        buffer = io.BytesIO()
        self.picture.save(buffer, "JPEG", quality=90)
        return buffer.getvalue()


def pairs(count: int, seed: int, size: int, /, **fixed: Any) -> Iterator[Pair]:
    """`count` pairs with pictures of `size` × `size` px; `fixed` parts of the truth are the same on all of them."""
    for number in range(count):
        yield pair(number, seed, size, **fixed)


def pair(number: int, seed: int, size: int, /, **fixed: Any) -> Pair:
    """The pair of that number, whichever others are drawn."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311  # variety, not secrecy
    drawn: dict[str, Any] = {
        "colour": chance.choice(list(COLOURS)),
        "shape": chance.choice(SHAPES),
        "count": chance.choice(list(COUNTS)),
        "texture": chance.choice(TEXTURES),
        "place": chance.choice(list(PLACES)),
        "background": chance.choice(list(BACKGROUNDS)),
    }
    truth = Truth(**(drawn | fixed))
    return Pair(picture(truth, chance, size), caption(truth, chance.choice(WORDINGS)), truth)


def caption(truth: Truth, wording: str) -> str:
    """A wording filled in, as a sentence."""
    many = truth.count > 1
    plural = PLURALS.get(truth.shape, f"{truth.shape}s")
    text = wording.format(
        count=COUNTS[truth.count],
        colour=truth.colour,
        shape=plural if many else truth.shape,
        texture=truth.texture,
        place=truth.place,
        where="in the middle" if truth.place == "middle" else f"at the {truth.place}",
        background=truth.background,
        verb="are" if many else "is",
    )
    return f"{text[0].upper()}{text[1:]}."


def zero_shot_classes(*parts: str) -> dict[tuple[Any, ...], str]:
    """Truth → class name, for the parts that are asked for: "red circle" for colour and shape."""
    names: dict[str, Callable[[Any], str]] = {"count": lambda count: COUNTS[count]}
    values: dict[str, list[Any]] = {"colour": list(COLOURS), "shape": list(SHAPES), "count": list(COUNTS)}
    found: list[tuple[Any, ...]] = [()]
    for part in parts:
        found = [(*before, value) for before in found for value in values[part]]
    return {key: " ".join(names.get(part, str)(value) for part, value in zip(parts, key, strict=True)) for key in found}


# --- drawing ------------------------------------------------------------------------------------


def picture(truth: Truth, chance: random.Random, size: int) -> Image.Image:
    """An RGB picture; where exactly, how large and on what ground is drawn from `chance`."""
    noise = np.random.default_rng(chance.getrandbits(64))
    ground = _ground(BACKGROUNDS[truth.background], noise, size)
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    for box in _boxes(truth, chance, size):
        _SHAPE[truth.shape](draw, box)
    fill = Image.new("RGB", (size, size), COLOURS[truth.colour])
    _texture(fill, truth.texture, size)
    ground.paste(fill, mask=mask)
    grain = noise.normal(0, 6, (size, size, 1))
    return Image.fromarray(np.clip(np.asarray(ground) + grain, 0, 255).astype(np.uint8))


def _ground(colour: Rgb, noise: np.random.Generator, size: int) -> Image.Image:
    """Clouds of grey around the background's own."""
    cells: NDArray[np.float64] = noise.uniform(-45, 45, (8, 8))
    clouds = Image.fromarray(cells.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    grey = np.asarray(colour, np.float64) + np.asarray(clouds)[:, :, None]
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def _boxes(truth: Truth, chance: random.Random, size: int) -> Iterator[Box]:
    """A box a shape, around the place, apart from each other."""
    across, down = PLACES[truth.place]
    side = size * chance.uniform(0.21, 0.25) * (1.5 if truth.count == 1 else 1.0)
    slots = {1: ((0, 0),), 2: ((-1, 0), (1, 0)), 3: ((-1, 1), (1, 1), (0, -1)), 4: ((-1, -1), (1, -1), (-1, 1), (1, 1))}
    for column, row in slots[truth.count]:
        x = size * across + 0.6 * side * column + chance.uniform(-0.05, 0.05) * side
        y = size * down + 0.6 * side * row + chance.uniform(-0.05, 0.05) * side
        yield x - side / 2, y - side / 2, x + side / 2, y + side / 2


def _texture(fill: Image.Image, texture: str, size: int) -> None:
    draw, step = ImageDraw.Draw(fill), max(4, size // 16)
    if texture == "striped":
        for x in range(0, size, step):
            draw.rectangle((x, 0, x + step // 3, size), fill=INK)
    elif texture == "dotted":
        for x in range(0, size, step):
            for y in range(0, size, step):
                draw.ellipse((x, y, x + step // 2, y + step // 2), fill=INK)


def _polygon(draw: ImageDraw.ImageDraw, box: Box, corners: int, inner: float) -> None:
    """A star of `corners` points whose inner corners are `inner` of the way out; without them a plain polygon."""
    x, y, radius = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2
    turns = 2 * corners if inner else corners
    points = []
    for number in range(turns):
        reach = radius * (inner if inner and number % 2 else 1.0)
        angle = 2 * math.pi * number / turns - math.pi / 2
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    draw.polygon(points, fill=255)


def _ring(draw: ImageDraw.ImageDraw, box: Box) -> None:
    width = round((box[2] - box[0]) * 0.22)
    draw.ellipse(box, outline=255, width=width)


def _cross(draw: ImageDraw.ImageDraw, box: Box) -> None:
    third = (box[2] - box[0]) / 3
    draw.rectangle((box[0] + third, box[1], box[2] - third, box[3]), fill=255)
    draw.rectangle((box[0], box[1] + third, box[2], box[3] - third), fill=255)


_SHAPE: dict[str, Callable[[ImageDraw.ImageDraw, Box], None]] = {
    "circle": lambda draw, box: draw.ellipse(box, fill=255),
    "square": lambda draw, box: draw.rectangle(box, fill=255),
    "triangle": lambda draw, box: _polygon(draw, box, 3, 0),
    "star": lambda draw, box: _polygon(draw, box, 5, 0.45),
    "ring": _ring,
    "cross": _cross,
}
