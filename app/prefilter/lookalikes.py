"""Pictures that show one view: which of all are compared, and what was seen of them.

Nearest vectors only propose; a worker then looks at the pictures themselves (`workers/ml/shared_view.py`).
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Select, cast, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.prefilter import pdq
from app.prefilter.grouping import Match
from app.tables import Embedding, Encoder, Image, ImageMatch

LIKELY = 8  # pictures that one is compared with
LIKELY_FROM = 0.6  # cosine
NEAREST = 48  # of which the likely ones are chosen: its copies by hash are nearest, and known
SEARCH = text("SELECT set_config('hnsw.ef_search', '100', true)")


class Likely(NamedTuple):
    image_id: int
    sha256: str
    cosine: float


def likely(session: Session, encoder: Encoder, image_id: int, hash_: int | None, radius: int) -> list[Likely]:
    """Those that may show the same view as this one, the nearest first; not those that are known to be copies.

    Approximate where the vectors have an index: `bench shared-views` gives the share of the nearest that are found.
    """
    mine = session.scalar(select(Embedding.vec).filter_by(encoder_id=encoder.id, image_id=image_id))
    if mine is None:
        return []
    session.execute(SEARCH)
    near_by = nearest(encoder, mine).subquery()
    rows = session.execute(
        select(Image, 1 - near_by.c.distance)
        .join(near_by, near_by.c.image_id == Image.id)
        .where(Image.id != image_id, near_by.c.distance <= 1 - LIKELY_FROM)
        .order_by(near_by.c.distance, Image.sha256)
    ).all()
    known = matched(session, [image_id])
    far = [
        Likely(image.id, image.sha256, float(cosine))
        for image, cosine in rows
        if image.id not in known and not _is_near(hash_, pdq.telling(image.pdq, image.pdq_quality), radius)
    ]
    return far[:LIKELY]


def nearest(encoder: Encoder, vector: Any) -> Select[int, float]:
    """Image and distance of the vectors that are nearest to one.

    The condition and the cast are spelled, with literals, as in the index (`workers/indexes.py`).
    """
    distance = cast(Embedding.vec, VECTOR(encoder.width)).cosine_distance(vector)
    of_encoder = Embedding.encoder_id == literal(encoder.id, Embedding.encoder_id.type, literal_execute=True)
    found = select(Embedding.image_id, distance.label("distance"))
    return found.where(of_encoder).order_by(distance).limit(NEAREST)


def _is_near(one: int | None, other: int | None, radius: int) -> bool:
    return one is not None and other is not None and pdq.distance(one, other)[0] <= radius


def matched(session: Session, image_ids: Collection[int]) -> set[int]:
    """The images that were seen to show a view of one of these."""
    ends = ((ImageMatch.image_a, ImageMatch.image_b), (ImageMatch.image_b, ImageMatch.image_a))
    one, other = (select(there).where(here.in_(image_ids)) for here, there in ends)
    return set(session.scalars(one.union(other)))


def save(session: Session, matches: Iterable[Match]) -> None:
    """Writes views that were seen; of two images that were seen before, the new sight holds."""
    for match in sorted(matches, key=lambda match: match.images):
        seen = {"cosine": match.cosine, "agrees": match.agrees, "evidence": match.evidence}
        seen |= dict(zip(("covers_a", "covers_b"), match.covers, strict=True))
        a, b = match.images
        statement = insert(ImageMatch).values(image_a=a, image_b=b, **seen)
        session.execute(statement.on_conflict_do_update(index_elements=["image_a", "image_b"], set_=seen))


def matches(session: Session, image_ids: Collection[int]) -> list[Match]:
    """The views that are shared among these images, as far as they make copies."""
    rows = session.scalars(
        select(ImageMatch).where(ImageMatch.image_a.in_(image_ids), ImageMatch.image_b.in_(image_ids))
    )
    seen = [
        Match((row.image_a, row.image_b), row.cosine, row.agrees, (row.covers_a, row.covers_b), row.evidence)
        for row in rows
    ]
    return [match for match in seen if match.is_copy]
