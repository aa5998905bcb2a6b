"""What of a picture is not the image: borders, interface bars, the gutters between panels.

All of it is straight lines across the whole width or height, so it is looked for line by line on a copy of at
most 800 px. Arrows and lettering, which lie in the image, are `workers.ml.overlays`'.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.ml.pictures import decode

COPY = 800  # px, longer side
NEAR = 12  # grey levels: how far JPEG moves a drawn, uniform colour
BAR = 0.03  # of the side: a narrower edge is not worth a crop
LEFT = 0.2  # of the side: what must be left of the image beside its bars
DROP = 0.5  # share of a line's pixels that change at the straight inner edge of a bar or gutter
GUTTER = 0.1  # of the side, at most
PANEL = 0.12  # of the side, at least
BLOCKS = 16  # parts of a line, each of which may see the seam between two panels without a gutter
SEAM = 2.2  # how much larger the step across a seam is than those near it; textures reach 1.8 (bench/panels.py)
SEEN = 0.7  # share of a line's parts that see a seam
MARKED = 0.985  # a line of a bar with less of its colour holds letters or icons

Pixels = NDArray[np.float32]  # [height, width, 3], 0 to 255
Kind = Literal["border", "interface", "panel", "arrow", "lettering"]


@dataclass(frozen=True)
class Box:
    """A part of a picture in fractions of its width and height, and how sure it is, 0 to 1."""

    kind: Kind
    x: float
    y: float
    width: float
    height: float
    confidence: float


@dataclass(frozen=True)
class Area:
    """Rows `top` to `bottom` and columns `left` to `right` (exclusive) of an array."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def sides(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    def of(self, pixels: Pixels) -> Pixels:
        return pixels[self.top : self.bottom, self.left : self.right]

    def box(self, kind: Kind, pixels: Pixels, confidence: float) -> Box:
        height, width = pixels.shape[:2]
        rows, columns = self.sides
        return Box(
            kind, self.left / width, self.top / height, columns / width, rows / height, min(1.0, max(0.0, confidence))
        )


def working_copy(jpeg: bytes) -> Pixels:
    """The picture at no more than 800 px. Raises OSError when it can't be decoded."""
    image = decode(jpeg, at_least=COPY)
    image.thumbnail((COPY, COPY), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32)


def highest(pixels: Pixels) -> NDArray[np.float32]:
    """The largest of the three channels; ten times as fast as `max(axis=2)`."""
    return np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])


# --- borders and bars ---------------------------------------------------------------------------


def trim(pixels: Pixels) -> tuple[Area, list[Box]]:
    """The image without its borders and interface bars, and those as boxes."""
    rows, columns = pixels.shape[:2]
    area, boxes = Area(0, rows, 0, columns), []
    for side in ("top", "bottom", "left", "right") * 2:  # twice: a bar may only show once another is off
        bar = _bar(_seen_from(area.of(pixels), side))
        if bar is None:
            continue
        depth, is_marked, confidence = bar
        cut, area = _cut(area, side, depth)
        boxes.append(cut.box("interface" if is_marked else "border", pixels, confidence))
    return area, boxes


def _seen_from(view: Pixels, side: str) -> Pixels:
    """The view turned so that `side` is at the top."""
    turned = view.transpose(1, 0, 2) if side in ("left", "right") else view
    return turned[::-1] if side in ("bottom", "right") else turned


def _bar(view: Pixels) -> tuple[int, bool, float] | None:
    """(depth in lines, whether something is written on it, confidence) of a bar along the top.

    A bar has one colour, shared by most of each of its lines, and ends at a straight edge. Glass beside tissue
    has the colour, and no edge.
    """
    lines = len(view)
    share = _share_of(view, np.median(view[:2], axis=(0, 1)))
    other = np.flatnonzero(share < DROP)
    if share[0] < 0.9 or not len(other):
        return None
    depth = int(other[0])
    if depth < max(BAR * lines, 5) or lines - depth < LEFT * lines:
        return None
    before, after = float(share[: depth - 2][-2:].mean()), float(share[depth + 2 : depth + 6].mean())
    if before - after < DROP:
        return None
    is_marked = float((share[: depth - 2] < MARKED).mean()) > 0.05
    return depth, is_marked, before - after


def _share_of(view: Pixels, colour: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each line, the share of its pixels that have the colour."""
    return np.asarray((highest(np.abs(view - colour)) <= NEAR).mean(axis=1))


def _cut(area: Area, side: str, depth: int) -> tuple[Area, Area]:
    """The bar and what is left."""
    top, bottom, left, right = area.top, area.bottom, area.left, area.right
    match side:
        case "top":
            return Area(top, top + depth, left, right), Area(top + depth, bottom, left, right)
        case "bottom":
            return Area(bottom - depth, bottom, left, right), Area(top, bottom - depth, left, right)
        case "left":
            return Area(top, bottom, left, left + depth), Area(top, bottom, left + depth, right)
        case _:
            return Area(top, bottom, right - depth, right), Area(top, bottom, left, right - depth)


# --- panels -------------------------------------------------------------------------------------


def split(pixels: Pixels, area: Area) -> list[Box]:
    """The panels of a collage, cut along its gutters and seams again and again (XY cut); none for a single image."""
    panels = list(_panels(pixels, area, 1.0, least=tuple(int(PANEL * side) for side in area.sides)))
    return panels if len(panels) > 1 else []


def _panels(pixels: Pixels, area: Area, sure: float, least: tuple[int, ...]) -> Iterator[Box]:
    for along_rows in (True, False):
        view = area.of(pixels) if along_rows else area.of(pixels).transpose(1, 0, 2)
        gaps = _kept(_gaps(view), len(view), least[0 if along_rows else 1])
        if gaps:
            for part, confidence in _between(area, gaps, along_rows):
                yield from _panels(pixels, part, min(sure, confidence), least)
            return
    yield area.box("panel", pixels, sure)


Gap = tuple[int, int, float]  # first line, line behind the last, confidence


def _kept(gaps: list[Gap], lines: int, least: int) -> list[Gap]:
    """Gaps that leave panels of at least `least` lines on both sides, the surest first taken."""
    kept: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: -gap[2]):
        borders = [0, lines, *(line for other in kept for line in other[:2])]
        if all(min(abs(gap[0] - line), abs(gap[1] - line)) >= least for line in borders):
            kept.append(gap)
    return sorted(kept)


def _between(area: Area, gaps: list[Gap], along_rows: bool) -> Iterator[tuple[Area, float]]:
    start = 0
    for first, behind, confidence in [*gaps, (area.sides[0 if along_rows else 1], 0, gaps[-1][2])]:
        if along_rows:
            yield Area(area.top + start, area.top + first, area.left, area.right), confidence
        else:
            yield Area(area.top, area.bottom, area.left + start, area.left + first), confidence
        start = behind


def _gaps(view: Pixels) -> list[Gap]:
    return [*_gutters(view), *_seams(view)]


def _gutters(view: Pixels) -> Iterator[Gap]:
    """Runs of lines of one colour with a straight edge on both sides."""
    colours = np.median(view, axis=1, keepdims=True)
    uniform = (highest(np.abs(view - colours)) <= NEAR).mean(axis=1) >= 0.97
    edges = np.flatnonzero(np.diff(np.concatenate([[0], uniform.astype(np.int8), [0]])))
    for first, behind in zip(edges[::2], edges[1::2], strict=True):
        if first < 4 or behind > len(view) - 4 or behind - first > max(GUTTER * len(view), 4):
            continue
        colour = colours[(first + behind) // 2]
        outside = max(_share_of(view[[first - 3]], colour)[0], _share_of(view[[behind + 2]], colour)[0])
        if 1 - outside >= DROP:
            yield int(first), int(behind), 1 - float(outside)


def _seams(view: Pixels) -> Iterator[Gap]:
    """Lines at which the image changes along the whole line much more than it does nearby."""
    columns = view.shape[1] // BLOCKS * BLOCKS
    if len(view) < 32 or not columns:
        return
    steps = highest(np.abs(np.diff(view[:, :columns], axis=0)))
    blocks = steps.reshape(len(steps), BLOCKS, -1).mean(axis=2)
    nearby = _local_median(blocks)
    seen = ((blocks > SEAM * nearby) & (blocks > nearby + 8)).mean(axis=1)
    for line in np.flatnonzero(seen >= SEEN):
        if seen[line] == seen[max(0, line - 4) : line + 5].max():
            yield int(line) + 1, int(line) + 1, float(seen[line]) * 0.9


def _local_median(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each line the median of the 16 lines around it, the two on each side left out."""
    padded = np.pad(blocks, ((10, 10), (0, 0)), mode="reflect")
    offsets = [offset for offset in range(-10, 11) if abs(offset) > 2]
    around = np.stack([padded[10 + offset : 10 + offset + len(blocks)] for offset in offsets])
    return np.asarray(np.median(around, axis=0), dtype=np.float32)
