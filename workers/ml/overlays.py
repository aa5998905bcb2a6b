"""What is drawn upon an image: arrows and lettering, in an opaque colour that stains do not have.

Classical: connected parts of one ink, and their shape. What is half transparent, in the colour of the tissue or
smaller than about 1 % of the picture is not found; words are not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.ml.panels import Area, Box, Pixels, highest

Mask = NDArray[np.bool_]

ARROW_AREA = (0.0004, 0.03)  # of the picture
ARROW_LIKENESS = 0.8
ARROW_LENGTH = 0.05  # of the longer side, at least
LETTER = (0.012, 0.1)  # of the longer side
LETTERS = 5  # in a line, at least
BINS = 16


def find(pixels: Pixels, area: Area) -> list[Box]:
    """Arrows and lines of letters inside `area` of a working copy, as boxes of the whole picture."""
    found: list[Box] = []
    for mask in _inks(area.of(pixels)):
        parts = list(_parts(mask, max(pixels.shape[:2])))
        found += [_box(part, area, pixels, "arrow", sure) for part in parts if (sure := _arrow(part, pixels)) > 0]
        found += [_lettering(line, area, pixels) for line in _lines(parts)]
    return _without_repeats(found)


def _inks(view: Pixels) -> Iterator[Mask]:
    """Masks [h, w] of the colours that people draw with."""
    high, low = highest(view), -highest(-view)
    yield high <= 60
    yield low >= 240
    vivid = (high >= 150) & (high - low >= 0.7 * high)
    red, green, blue = (view[..., channel] >= (high + low) / 2 for channel in range(3))
    for wanted in ((1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 0)):  # yellow, green, cyan, blue, red
        yield vivid & (red == wanted[0]) & (green == wanted[1]) & (blue == wanted[2])


@dataclass(frozen=True)
class _Part:
    """A connected part of one ink: where it lies, and its pixels [rows, columns]."""

    rows: slice
    columns: slice
    mask: Mask

    @property
    def height(self) -> int:
        return int(self.rows.stop - self.rows.start)

    @property
    def width(self) -> int:
        return int(self.columns.stop - self.columns.start)


def _parts(mask: Mask, side: int) -> Iterator[_Part]:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels, count), start=1):
        part = _Part(rows, columns, labels[rows, columns] == number)
        touches = not (rows.start and columns.start and rows.stop < mask.shape[0] and columns.stop < mask.shape[1])
        if not touches and LETTER[0] * side <= max(part.height, part.width) <= side / 2:
            yield part


# --- arrows -------------------------------------------------------------------------------------


def _arrow(part: _Part, pixels: Pixels) -> float:
    """The likeness of a part that is large enough to tell and small enough to point at something."""
    side, share = max(pixels.shape[:2]), float(part.mask.sum()) / (pixels.shape[0] * pixels.shape[1])
    if max(part.height, part.width) < ARROW_LENGTH * side or not ARROW_AREA[0] <= share <= ARROW_AREA[1]:
        return 0.0
    likeness = arrow_likeness(part.mask)
    return likeness if likeness >= ARROW_LIKENESS else 0.0


def arrow_likeness(mask: Mask) -> float:
    """How much a shape [rows, columns] is an arrow, 0 to 1: a straight shaft with a wider head that tapers.

    0 for anything without a shaft, a head or a point. Seen along its longest axis; 1 is mirrored in that axis.
    """
    along, across = _axes(mask)
    if not len(along) or np.ptp(along) < 12:
        return 0.0
    place = np.minimum(((along - along.min()) / np.ptp(along) * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    if not counts.all():
        return 0.0
    least, most = np.full(BINS, np.inf), np.full(BINS, -np.inf)
    np.minimum.at(least, place, across)
    np.maximum.at(most, place, across)
    widths, middles = most - least + 1, (most + least) / 2
    if widths[: BINS // 2].max() < widths[BINS // 2 :].max():
        widths, middles, counts = widths[::-1], middles[::-1], counts[::-1]
    return _shaft_and_head(widths, middles, counts / (np.ptp(along) / BINS) / widths, float(np.ptp(along)))


def _axes(mask: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the shape's pixels along its longest axis and across it."""
    points = np.argwhere(mask).astype(np.float64)
    if len(points) < 24:
        return np.empty(0), np.empty(0)
    points -= points.mean(axis=0)
    _, axes = np.linalg.eigh(points.T @ points)
    return points @ axes[:, 1], points @ axes[:, 0]


def _shaft_and_head(
    widths: NDArray[np.float64], middles: NDArray[np.float64], filled: NDArray[np.float64], length: float
) -> float:
    """The likeness from the profile [BINS] of a shape whose head, if it is one, comes first."""
    widest = int(widths[: BINS // 2 + 2].argmax())
    shaft = widths[widest + 3 :]
    if widest < 2 or len(shaft) < 5:
        return 0.0
    thickness = float(np.median(shaft))
    is_arrow = (
        thickness <= 0.62 * widths[widest]
        and shaft.max() - shaft.min() <= max(3.0, 0.4 * thickness)
        and widths[0] <= 0.6 * widths[widest]
        and (np.diff(widths[: widest + 1]) >= -1.5).all()
        and 1.3 * widths[widest] <= length
        and np.median(filled[widest + 3 :]) >= 0.7
    )
    if not is_arrow:
        return 0.0
    off_axis = float(np.abs(middles - np.median(middles)).mean() / (widths[widest] / 2))
    return max(0.0, 1 - off_axis)


# --- lettering ----------------------------------------------------------------------------------


def _lines(parts: list[_Part]) -> Iterator[list[_Part]]:
    """Parts of one ink that stand beside each other like letters."""
    waiting = sorted(filter(_is_letter, parts), key=lambda part: part.columns.start)
    while waiting:
        line = [waiting.pop(0)]
        for part in list(waiting):
            if _follows(line[-1], part):
                line.append(part)
                waiting.remove(part)
        if len(line) >= LETTERS and _on_one_base(line) >= 0.6:
            yield line


def _follows(letter: _Part, part: _Part) -> bool:
    lower, taller = sorted((letter.height, part.height))
    overlap = min(letter.rows.stop, part.rows.stop) - max(letter.rows.start, part.rows.start)
    gap = part.columns.start - letter.columns.stop
    return taller <= 1.8 * lower and overlap >= 0.7 * lower and -0.1 * taller <= gap <= 1.6 * taller


def _is_letter(part: _Part) -> bool:
    """Strokes: thin against the letter's size, and neither a dot nor a bar."""
    return 0.15 <= part.mask.mean() <= 0.8 and part.width <= 1.6 * part.height


def _on_one_base(line: list[_Part]) -> float:
    """The share of letters whose foot is on the line's."""
    feet = np.array([part.rows.stop for part in line])
    return float((np.abs(feet - np.median(feet)) <= max(1.0, 0.08 * np.median([p.height for p in line]))).mean())


# --- boxes --------------------------------------------------------------------------------------


def _box(part: _Part, area: Area, pixels: Pixels, kind: str, sure: float) -> Box:
    place = Area(
        area.top + part.rows.start,
        area.top + part.rows.stop,
        area.left + part.columns.start,
        area.left + part.columns.stop,
    )
    return place.box("arrow" if kind == "arrow" else "lettering", pixels, sure)


def _lettering(line: list[_Part], area: Area, pixels: Pixels) -> Box:
    rows = slice(min(part.rows.start for part in line), max(part.rows.stop for part in line))
    columns = slice(line[0].columns.start, max(part.columns.stop for part in line))
    sure = _on_one_base(line) * min(1.0, 0.5 + len(line) / 16)
    return _box(_Part(rows, columns, np.empty((0, 0), bool)), area, pixels, "lettering", sure)


def _without_repeats(boxes: list[Box]) -> list[Box]:
    """Two inks may see the same arrow, its fill and its outline: the surer one stays."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.confidence):
        if all(_overlap(box, other) < 0.5 for other in kept):
            kept.append(box)
    return kept


def _overlap(one: Box, other: Box) -> float:
    """The shared part of the smaller box."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(0.0, width) * max(0.0, height) / smaller if smaller else 0.0
