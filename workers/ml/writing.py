"""Writing burned into a picture, by PP-OCRv6 with the weights that rapidocr carries (onnxruntime, one thread).

Lines are looked for on a copy of at most 960 px and read at up to 2,000 px, so letters lower than about 1.2 % of the
picture's longer side may be missed; so are those that hardly differ from what is behind them (bench/README.md).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from workers.ml.pictures import decode

COPY = 2000  # px, longer side
LOOKED_FOR = 960  # px, longer side
SURE = 0.7  # the mean score of a line's letters from which it is read: bench/README.md


@dataclass(frozen=True)
class Line:
    """A line of writing: what it says, where it is in fractions of the picture, and how sure it was read, 0 to 1."""

    text: str
    x: float
    y: float
    width: float
    height: float
    score: float

    def goes_on(self, other: "Line") -> bool:
        """Whether `other` stands to the right of it on the same line."""
        shared = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return shared >= 0.5 * min(self.height, other.height) and other.x >= self.x


def find(jpeg: bytes) -> list[Line]:
    """The lines in a picture from top to bottom. Raises OSError when it can't be decoded."""
    picture = decode(jpeg, at_least=COPY)
    picture.thumbnail((COPY, COPY), Image.Resampling.BOX)
    read = _reader()(np.asarray(picture)[..., ::-1])
    if read.boxes is None or read.txts is None:
        return []
    lines = zip(read.txts, read.boxes, read.scores, strict=True)
    return [_line(text, corners, score, picture.size) for text, corners, score in lines if score >= SURE]


def _line(text: str, corners: Any, score: float, size: tuple[int, int]) -> Line:
    """From four corners (x, y) in pixels, which are not upright where the writing is not."""
    low, high = np.clip(corners.min(axis=0) / size, 0, 1), np.clip(corners.max(axis=0) / size, 0, 1)
    (x, y), (width, height) = low.tolist(), (high - low).tolist()
    return Line(text, x, y, width, height, min(1.0, float(score)))


@cache
def _reader() -> Any:
    from rapidocr import RapidOCR

    threads = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}  # pictures beside each other use the other cores
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": LOOKED_FOR,
        }
        | {f"EngineConfig.onnxruntime.{name}": count for name, count in threads.items()}
    )
