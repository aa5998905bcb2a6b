"""What the sameness stage finds of pictures that were changed before they were posted again, and what it mistakes."""

import io
from collections.abc import Callable
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from app.demo.pictures import FIELDS, SITES, SLIDES, Camera, Studio, download_wheels
from app.prefilter.copies import SURE
from bench.figures import Figure
from bench.ground import Ground
from bench.sameness import RADIUS, SEED, as_words, distances
from tests.services import ROOT

PICTURES = 300
INK, PAPER = "#1d1d1f", "white"

Change = Callable[[Image.Image], Image.Image]


def run(ground: Ground) -> list[Figure]:
    """A figure a change: the share of changed micrographs that are within the radius of their own original."""
    originals = micrographs(ground.count(PICTURES, least=40))
    known = as_words([hashed(picture, 90) for picture in originals])
    return [figure(name, [change(picture) for picture in originals], known) for name, change in CHANGES.items()]


def micrographs(count: int) -> list[Image.Image]:
    """Views of real slides as the sample posts show them, each of another place, stretch or magnification."""
    wheels = ROOT / "tests" / ".cache" / "wheels"
    download_wheels(wheels)
    studio = Studio(wheels, SEED)
    in_skin = [f"{site} {field}" for site in SITES for field in FIELDS["skin"]]
    elsewhere = [f"{slide} {field}" for slide in SLIDES for field in FIELDS[slide]]
    taken = [studio.take(words, Camera()) for words in islice(cycle(in_skin + elsewhere), count)]
    return [Image.open(io.BytesIO(picture.data)).convert("RGB") for picture in taken]


def figure(name: str, changed: list[Image.Image], known: NDArray[np.uint64]) -> Figure:
    hashes = [hashed(picture, 75) for picture in changed]
    apart = np.array([distances(known, hash_) for hash_ in hashes])  # [changed, originals]
    own = np.diag(apart)
    upright = [(view ^ int.from_bytes(words.tobytes())).bit_count() for view, words in zip(hashes, known, strict=True)]
    others = apart[~np.eye(len(changed), dtype=bool)]
    compared = (
        f"{share(np.array(upright) <= RADIUS):.0f} % upright only, {share(own <= SURE):.0f} % within {SURE} bits; "
        f"{int((others <= RADIUS).sum())} of {others.size:,} others taken for it, the nearest {others.min()} bits away"
    )
    return Figure(f"{name}: found", share(own <= RADIUS), "%", compared)


def share(found: NDArray[np.bool_]) -> float:
    return 100 * float(found.mean())


def hashed(picture: Image.Image, quality: int) -> int:
    """The hash that the stage finds of the picture as JPEG of this quality."""
    from workers.ml.perceptual import pdq as computed

    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return int.from_bytes(computed(buffer.getvalue()).pdq)


# --- changes ------------------------------------------------------------------------------------


def recompressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=30)
    return Image.open(buffer).convert("RGB")


def resized(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def cropped(part: float) -> Change:
    """Cuts `part` of the width and the height off, half of it at each side."""

    def change(picture: Image.Image) -> Image.Image:
        left, top = round(picture.width * part / 2), round(picture.height * part / 2)
        return picture.crop((left, top, picture.width - left, picture.height - top))

    return change


def turned(turn: Image.Transpose) -> Change:
    return lambda picture: picture.transpose(turn)


def recoloured(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Color(ImageEnhance.Brightness(picture).enhance(1.15)).enhance(1.4)


def watermarked(picture: Image.Image) -> Image.Image:
    marked = picture.copy()
    font = ImageFont.load_default(picture.width // 18)
    at = (picture.width // 2, picture.height // 2)
    ImageDraw.Draw(marked).text(at, "@path_demo", "white", font, anchor="mm", stroke_width=2, stroke_fill=INK)
    return marked


def with_arrow(picture: Image.Image) -> Image.Image:
    marked = picture.copy()
    x, y, long = picture.width // 2, picture.height // 2, picture.width // 6
    drawing = ImageDraw.Draw(marked)
    drawing.line((x + long, y + long, x, y), INK, max(4, long // 12))
    drawing.polygon(((x, y), (x + long // 3, y + long // 8), (x + long // 8, y + long // 3)), INK)
    return marked


def framed(top: float, bottom: float, sides: float = 0.0) -> Change:
    """Puts bars with text around, as shares of the picture's height and width: a caption bar, a phone's screenshot."""

    def change(picture: Image.Image) -> Image.Image:
        above, below, beside = round(picture.height * top), round(picture.height * bottom), round(picture.width * sides)
        page = Image.new("RGB", (picture.width + 2 * beside, picture.height + above + below), PAPER)
        page.paste(picture, (beside, above))
        drawing = ImageDraw.Draw(page)
        font = ImageFont.load_default(max(12, picture.width // 28))
        for y, height in ((0, above), (above + picture.height, below)):
            if height:
                drawing.text(
                    (picture.width // 30, y + height // 2), "path_demo   Case of the week", INK, font, anchor="lm"
                )
        return page

    return change


CHANGES: dict[str, Change] = {
    "Compressed again": recompressed,
    "Half the size": resized,
    "Mirrored": turned(Image.Transpose.FLIP_LEFT_RIGHT),
    "Turned by 90°": turned(Image.Transpose.ROTATE_90),
    "Turned by 180°": turned(Image.Transpose.ROTATE_180),
    "Brighter and more colourful": recoloured,
    "Watermark across": watermarked,
    "Arrow drawn on it": with_arrow,
    "2 % cropped off": cropped(0.02),
    "5 % cropped off": cropped(0.05),
    "10 % cropped off": cropped(0.10),
    "20 % cropped off": cropped(0.20),
    "30 % cropped off": cropped(0.30),
    "Caption bar of 5 % below": framed(0, 0.05),
    "Caption bar of 15 % below": framed(0, 0.15),
    "Screenshot with interface": framed(0.18, 0.30, 0.02),
}
