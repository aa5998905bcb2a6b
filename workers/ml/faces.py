"""Faces of people in a picture, by MTCNN (Zhang et al. 2016) with the weights that facenet-pytorch carries.

It looks at a copy of at most 640 px for faces of 20 px or more of that copy, so a face smaller than about 3 % of the
picture's longer side is not found; nor is one seen from behind or wholly from the side.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from PIL import Image
from threadpoolctl import ThreadpoolController

from workers.ml.pictures import decode

COPY = 640  # px, longer side
SMALLEST = 20  # px of the copy
SIDE = 40  # px, shorter side of what is looked at: the network's first pyramid level needs that much
SURE = 0.95  # the network's last score from which a face counts: bench/README.md


@dataclass(frozen=True)
class Face:
    """Where a face is, in fractions of the picture's width and height, and the network's score, 0 to 1."""

    x: float
    y: float
    width: float
    height: float
    score: float


def find(jpeg: bytes) -> list[Face]:
    """The faces in a picture, the surest first. Raises OSError when it can't be decoded."""
    picture = decode(jpeg, at_least=COPY)
    picture.thumbnail((COPY, COPY), Image.Resampling.BOX)
    if min(picture.size) < SIDE:
        return []
    with torch.inference_mode(), _threads().limit(limits=1, user_api="openmp"):
        boxes, scores = _network().detect(picture)
    if boxes is None:
        return []
    found = [_face(box, float(score), picture.size) for box, score in zip(boxes, scores, strict=True) if score >= SURE]
    return sorted(found, key=lambda face: -face.score)


def _face(box: Any, score: float, size: tuple[int, int]) -> Face:
    """A box (left, top, right, bottom in pixels of the copy) that may reach beyond the picture."""
    across, down = ((float(box[axis]), float(box[axis + 2]), size[axis]) for axis in (0, 1))
    (left, right), (top, bottom) = (
        (max(0.0, low) / side, min(high, side) / side) for low, high, side in (across, down)
    )
    return Face(left, top, right - left, bottom - top, min(1.0, score))


@cache
def _threads() -> ThreadpoolController:
    """The network looks at hundreds of small parts: threads that wait for one another cost it ten times its work."""
    return ThreadpoolController()


@cache
def _network() -> Any:
    from facenet_pytorch.models.mtcnn import MTCNN

    return MTCNN(keep_all=True, select_largest=False, min_face_size=SMALLEST).eval()
