"""How well a picture and its caption belong together under a CLIP: cosine, rank among other captions, turned views."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from workers.ml.pictures import decode
from workers.ml.vectors import Vectors

WEIGHT = 2.5
TURNS = (90, 180, 270)
HARD = 15  # negatives: the captions of others that are nearest to the own one


@dataclass(frozen=True)
class Alignment:
    """The raw figures of one pair; `score` maps them to 0 to 1.

    `rank` of the own caption among `negatives` others for the upright picture, from 1; equal ones count half
    (expected rank). `turned` are the cosines at 90, 180 and 270°; `agreement` is the share of those views
    at which the own caption ranks no worse than upright, which a caption of the picture's matter should (RS5M's idea).
    """

    cosine: float
    turned: tuple[float, ...]
    negatives: int
    rank: float | None
    agreement: float | None

    @property
    def score(self) -> float:
        """CLIPScore (Hessel et al., EMNLP 2021): 2.5 × the cosine, negative ones 0; cut at 1."""
        return min(1.0, WEIGHT * max(self.cosine, 0.0)) if np.isfinite(self.cosine) else float("nan")


def align(views: Vectors, own: Vectors, others: Vectors) -> Alignment:
    """The alignment of one pair.

    `views` [4, d] are the picture upright and turned by 90, 180, 270°; `own` [d] its caption, `others` [n, d] captions
    of other posts, of which the nearest 15 to the own one are the hard negatives. All rows are unit vectors.
    """
    negatives = others[np.argsort(-(others @ own), kind="stable")[:HARD]]
    cosines = views @ own
    ranks = [_rank(cosine, view @ negatives.T) for cosine, view in zip(cosines, views, strict=True)]
    turned = [rank <= ranks[0] for rank in ranks[1:]]
    return Alignment(
        cosine=float(cosines[0]),
        turned=tuple(float(cosine) for cosine in cosines[1:]),
        negatives=len(negatives),
        rank=ranks[0] if len(negatives) else None,
        agreement=sum(turned) / len(turned) if len(negatives) else None,
    )


def _rank(own: float, others: Vectors) -> float:
    return 1 + float((others > own).sum()) + float((others == own).sum()) / 2


def turned_copies(jpeg: bytes, size: int) -> list[bytes]:
    """The picture turned by 90, 180 and 270°, as JPEGs of at least 2 × `size` px where it has them.

    Raises OSError when it can't be decoded.
    """
    picture = decode(jpeg, at_least=2 * size)
    return [_encoded(picture.rotate(degrees, expand=True)) for degrees in TURNS]


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
