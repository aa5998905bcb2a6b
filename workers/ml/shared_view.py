"""Whether two pictures show the same view: one is a crop of the other, has a frame around it, is turned or smaller.

Points that look alike (ORB: Rublee et al. 2011) give the turn, scale and shift between the two, if there is one
(RANSAC). Tissue repeats itself, and screens have the same buttons around other pictures, so this alone proves
nothing: one picture is laid over the other, and where they overlap their grey levels must go up and down together.
"""

from copy import copy
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.ml.pictures import decode

LOOK = 480  # px, longer side of the copy that is looked at
POINTS = 500
UNLIKE_NEXT = 0.85  # the nearest point is taken when it is that much nearer than the second nearest
NEAR = 4.0  # px between where a point is and where it should be
FEWEST = 10  # points that agree on one turn, scale and shift
SMALLEST, LARGEST = 0.3, 3.4  # scale between the copies
WINDOW = 25  # px, side of the square within which grey levels are compared
FLAT = 4.0  # levels: what varies less says nothing
ALIKE = 0.6  # correlation of a square

Grey = NDArray[np.uint8]
Box = tuple[float, float, float, float]


class Points(NamedTuple):
    """Where they are (float32 [n, 2], x and y in px) and what they look like (uint8 [n, 32])."""

    at: NDArray[np.float32]
    looks: NDArray[np.uint8]


class Sight:
    """A picture as it is compared: its grey copy (uint8 [height, width]) and the points found in it."""

    def __init__(self, jpeg: bytes) -> None:
        """Raises OSError for an undecodable picture."""
        image = decode(jpeg, at_least=LOOK, mode="L")
        image.thumbnail((LOOK, LOOK))
        self.grey: Grey = np.asarray(image, dtype=np.uint8)

    @cached_property
    def points(self) -> Points:
        return _points(self.grey)

    @cached_property
    def mirrored(self) -> "Sight":
        """Of the same picture from left to right."""
        other = copy(self)
        other.grey = np.ascontiguousarray(self.grey[:, ::-1])
        other.__dict__.pop("points", None)
        return other


class View(NamedTuple):
    """What two pictures share: where it lies in each (x, y, width, height as fractions) and how far they agree.

    `covers` are the shares of the first and the second picture that it takes up, `agrees` that of its structure that
    is alike in both, `points` how many led to it.
    """

    covers: tuple[float, float]
    agrees: float
    points: int
    is_mirrored: bool
    boxes: tuple[Box, Box]


def shared_view(one: Sight, other: Sight) -> View | None:
    """The view that two pictures share; None where no turn, scale and shift lays one over the other."""
    as_they_are = _laid_over(one, other)
    if as_they_are and as_they_are.agrees >= ALIKE:
        return as_they_are
    mirrored = _laid_over(one.mirrored, other)
    return _mirrored(mirrored) if mirrored and mirrored.agrees >= ALIKE else as_they_are


def _points(grey: Grey) -> Points:
    finder = cv2.ORB.create(nfeatures=POINTS, edgeThreshold=20, fastThreshold=6)
    at, looks = finder.detectAndCompute(grey, None)
    if looks is None:
        return Points(np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8))
    return Points(np.asarray(cv2.KeyPoint.convert(at), np.float32), np.asarray(looks, np.uint8))


def _laid_over(one: Sight, other: Sight) -> View | None:
    laid, points = _turn_scale_and_shift(one.points, other.points)
    if laid is None:
        return None
    scale = float(np.hypot(laid[0, 0], laid[1, 0]))
    if not SMALLEST <= scale <= LARGEST:
        return None
    if scale < 1:  # compared at the scale of the one that shows more with fewer pixels
        view = _compared(other.grey, one.grey, np.asarray(cv2.invertAffineTransform(laid)), points)
        return view and view._replace(covers=view.covers[::-1], boxes=view.boxes[::-1])
    return _compared(one.grey, other.grey, laid, points)


def _turn_scale_and_shift(one: Points, other: Points) -> tuple[NDArray[np.float64] | None, int]:
    """Where each point of the one lies in the other (float64 [2, 3]), and how many of them say so."""
    if min(len(one.at), len(other.at)) < FEWEST:
        return None, 0
    nearest = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(one.looks, other.looks, k=2)
    sure = [two[0] for two in nearest if len(two) == 2 and two[0].distance < UNLIKE_NEXT * two[1].distance]
    if len(sure) < FEWEST:
        return None, 0
    start, end = one.at[[pair.queryIdx for pair in sure]], other.at[[pair.trainIdx for pair in sure]]
    laid, kept = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=NEAR)
    # None where no two points agree, whatever the types say
    points = int(np.sum(kept)) if laid is not None else 0
    return (np.asarray(laid, np.float64), points) if points >= FEWEST else (None, 0)


def _compared(one: Grey, other: Grey, laid: NDArray[np.float64], points: int) -> View | None:
    """The other one as it looks in the place of the one, and how far they agree where both are."""
    size, its_size = one.shape[::-1], other.shape[::-1]
    back = cv2.WARP_INVERSE_MAP
    over = np.asarray(cv2.warpAffine(other, laid, size, flags=back | cv2.INTER_LINEAR), np.uint8)
    inside = cv2.warpAffine(np.full_like(other, 255), laid, size, flags=back | cv2.INTER_NEAREST) > 0
    its_inside = cv2.warpAffine(np.full_like(one, 255), laid, its_size, flags=cv2.INTER_NEAREST) > 0
    if not inside.any() or not its_inside.any():
        return None
    covers = float(inside.mean()), float(its_inside.mean())
    return View(covers, _agreement(one, over, inside), points, False, (_box(inside), _box(its_inside)))


def _mirrored(view: View) -> View:
    """A view of the mirrored picture as it lies in the picture as it is."""
    (x, y, width, height), other = view.boxes
    return view._replace(is_mirrored=True, boxes=((round(1 - x - width, 4), y, width, height), other))


def _agreement(one: Grey, other: Grey, inside: NDArray[np.bool_]) -> float:
    """The share of the squares with structure in which the two correlate."""
    a, b = (np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5)) for grey in (one, other))
    whole = cv2.erode(inside.astype(np.uint8), np.ones((WINDOW, WINDOW), np.uint8), borderValue=0) > 0

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.blur(values, (WINDOW, WINDOW)))

    a_mean, b_mean = mean(a), mean(b)
    a_var, b_var = mean(a * a) - a_mean**2, mean(b * b) - b_mean**2
    both = mean(a * b) - a_mean * b_mean
    structured = whole & (np.maximum(a_var, b_var) > FLAT**2)
    if not structured.any():
        return 0.0
    alike = both / np.sqrt(np.maximum(a_var * b_var, 1e-6)) >= ALIKE
    return float(alike[structured].mean())


def _box(inside: NDArray[np.bool_]) -> Box:
    """The least box around what is inside."""
    (height, width), (x, y, across, down) = inside.shape, cv2.boundingRect(inside.astype(np.uint8))
    return round(x / width, 4), round(y / height, 4), round(across / width, 4), round(down / height, 4)
