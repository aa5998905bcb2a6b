"""Drawn pictures: pink ones full of dark dots, as tissue is, and ones of a horizon, as photographs are."""

import io
import random

from PIL import Image, ImageDraw


def tissue(seed: int) -> bytes:
    rng = random.Random(seed)
    picture = Image.new("RGB", (256, 256), (233, 190 + rng.randrange(20), 213))
    draw = ImageDraw.Draw(picture)
    for _ in range(400):
        x, y, r = rng.randrange(256), rng.randrange(256), rng.randrange(2, 6)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(90 + rng.randrange(40), 50, 130 + rng.randrange(40)))
    return _jpeg(picture)


def landscape(seed: int) -> bytes:
    rng = random.Random(seed)
    picture = Image.new("RGB", (256, 256), (120, 170 + rng.randrange(40), 235))
    draw = ImageDraw.Draw(picture)
    horizon = rng.randrange(90, 170)
    draw.rectangle((0, horizon, 256, 256), fill=(60 + rng.randrange(40), 120, 50))
    draw.polygon([(40, horizon), (rng.randrange(90, 140), 30), (200, horizon)], fill=(110, 100, 95))
    return _jpeg(picture)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
