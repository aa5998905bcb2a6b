"""Pictures as they are posted, with known truth: collages, screenshots, borders, arrows and lettering drawn on views.

The truth is a list of (kind, box), boxes in fractions of the picture: x, y, width, height.
"""

import io
import math
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Fraction4 = tuple[float, float, float, float]
Truth = list[tuple[str, Fraction4]]
Drawn = tuple[Image.Image, Truth]

GROUNDS = ("white", "black", "#fafafa", "#121212", "#22304a", "#f1e9dc")
INKS = ("black", "white", "#ffee00", "#00e5ff", "#22dd22", "#ff2020")
WORDS = ("PathCases", "@path_demo_01", "Dr. Alder 2024", "HE x200", "Case 17 - answer", "www.example.org")


def collage(views: Sequence[Image.Image], chance: random.Random, gutter: int | None = None) -> Drawn:
    """Two to six views in a grid, with gutters of one colour or edge to edge."""
    columns, rows = chance.choice([(2, 1), (1, 2), (2, 2), (3, 1), (3, 2)])
    gap = chance.choice([0, 0, 4, 8, 16, 24]) if gutter is None else gutter
    cell = (chance.randint(320, 480), chance.randint(320, 480))
    size = (columns * cell[0] + (columns - 1) * gap, rows * cell[1] + (rows - 1) * gap)
    picture, truth = Image.new("RGB", size, chance.choice(GROUNDS)), []
    for number in range(columns * rows):
        left, top = (number % columns) * (cell[0] + gap), (number // columns) * (cell[1] + gap)
        picture.paste(fitted(views[number % len(views)], cell, chance), (left, top))
        truth.append(("panel", _fraction((left, top, left + cell[0], top + cell[1]), size)))
    return picture, truth


def fitted(view: Image.Image, cell: tuple[int, int], chance: random.Random) -> Image.Image:
    """A part of the view with the cell's shape."""
    scale = min(view.width / cell[0], view.height / cell[1]) * chance.uniform(0.6, 1.0)
    width, height = int(cell[0] * scale), int(cell[1] * scale)
    left, top = chance.randint(0, view.width - width), chance.randint(0, view.height - height)
    return view.crop((left, top, left + width, top + height)).resize(cell, Image.Resampling.LANCZOS)


def bordered(view: Image.Image, chance: random.Random) -> Drawn:
    """Bars of one colour above and below, at the sides, or all around."""
    sides = chance.choice(["rows", "columns", "all"])
    wide = round(view.width * chance.uniform(0.06, 0.3)) if sides != "rows" else 0
    high = round(view.height * chance.uniform(0.06, 0.3)) if sides != "columns" else 0
    size = (view.width + 2 * wide, view.height + 2 * high)
    picture = Image.new("RGB", size, chance.choice(GROUNDS))
    picture.paste(view, (wide, high))
    bars = [(0, 0, size[0], high), (0, size[1] - high, size[0], size[1])] if high else []
    inner = (high, size[1] - high)
    bars += [(0, inner[0], wide, inner[1]), (size[0] - wide, inner[0], size[0], inner[1])] if wide else []
    return picture, [("border", _fraction(bar, size)) for bar in bars]


def screenshot(view: Image.Image, chance: random.Random) -> Drawn:
    """A phone's screen: a status bar and a name above the image, icons and text below it."""
    ground, ink = chance.choice([("white", "#262626"), ("black", "#f5f5f5"), ("#121212", "#f0f0f0")])
    view = view.resize((1080, round(1080 * view.height / view.width)))
    above, below = chance.randint(150, 300), chance.randint(220, 700)
    picture = Image.new("RGB", (1080, above + view.height + below), ground)
    picture.paste(view, (0, above))
    draw = ImageDraw.Draw(picture)
    draw.text((60, 24), "9:41", ink, font(34))
    draw.text((900, 24), "5G  87%", ink, font(34))
    draw.ellipse((40, above - 90, 110, above - 20), fill="#b06ab3")
    draw.text((130, above - 76), chance.choice(WORDS), ink, font(36))
    foot = above + view.height
    for number in range(4):
        draw.ellipse((40 + 110 * number, foot + 30, 100 + 110 * number, foot + 90), outline=ink, width=6)
    for number, line in enumerate(("Liked by pathologist and others", *["What is your diagnosis? " * 2] * 6)):
        if foot + 130 + 50 * number < picture.height - 50:
            draw.text((40, foot + 120 + 50 * number), line, ink, font(32))
    bars = [(0, 0, 1080, above), (0, foot, 1080, picture.height)]
    return picture, [("interface", _fraction(bar, picture.size)) for bar in bars]


def arrowed(view: Image.Image, chance: random.Random) -> Drawn:
    """One to three arrows of one ink."""
    picture, truth, ink = view.copy(), [], chance.choice(INKS)
    draw, side = ImageDraw.Draw(picture), max(view.size)
    for number in range(chance.randint(1, 3)):
        length, angle = side * chance.uniform(0.08, 0.18), chance.uniform(0, 2 * math.pi)
        middle = (view.width * (number + 0.5) / 3, view.height * chance.uniform(0.25, 0.75))
        points = _arrow(middle, length, angle)
        draw.polygon(points, fill=ink)
        xs, ys = [x for x, _ in points], [y for _, y in points]
        truth.append(("arrow", _fraction((min(xs), min(ys), max(xs), max(ys)), view.size)))
    return picture, truth


def _arrow(middle: tuple[float, float], length: float, angle: float) -> list[tuple[float, float]]:
    half, shaft, head = length / 2, length * 0.07, length * 0.2
    outline = ((-half, -shaft), (half - 2 * head, -shaft), (half - 2 * head, -head), (half, 0))
    whole = [*outline, *((x, -y) for x, y in reversed(outline[:-1]))]
    turn = (math.cos(angle), math.sin(angle))
    return [(middle[0] + x * turn[0] - y * turn[1], middle[1] + x * turn[1] + y * turn[0]) for x, y in whole]


def lettered(view: Image.Image, chance: random.Random) -> Drawn:
    """A line of words in one opaque ink."""
    picture, words = view.copy(), chance.choice(WORDS)
    draw, kind = ImageDraw.Draw(picture), font(round(max(view.size) * chance.uniform(0.028, 0.06)))
    left, top, right, bottom = draw.textbbox((0, 0), words, font=kind)
    x = chance.uniform(0.03, 0.97 - min(0.9, (right - left) / view.width)) * view.width
    y = chance.choice([0.04, 0.9]) * (view.height - bottom)
    draw.text((x, y), words, chance.choice(INKS), font=kind)
    return picture, [("lettering", _fraction((x + left, y + top, x + right, y + bottom), view.size))]


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that Pillow carries."""
    return ImageFont.load_default(size)


def jpeg(picture: Image.Image, quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _fraction(box: tuple[float, float, float, float], size: tuple[int, int]) -> Fraction4:
    left, top, right, bottom = box
    return left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1]
