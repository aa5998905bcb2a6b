"""Encoders and vectors as workers leave them."""

from collections.abc import Sequence

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.prefilter import actions as prefilter
from app.search import actions
from app.tables import Candidate, Embedding, Encoder, EncoderKind, QueryVector, Weights


def an_encoder(
    session: Session,
    name: str = "Tiny",
    width: int = 2,
    kind: EncoderKind = EncoderKind.IMAGE_TEXT,
    weights: Weights = Weights.TRAINED,
) -> Encoder:
    """An encoder in use."""
    encoder = Encoder(name=name, source="open_clip", model=name, width=width, kind=kind, weights=weights)
    session.add(encoder)
    session.flush()
    prefilter.use_encoder(session, encoder.id)
    return encoder


def embed(session: Session, encoder: Encoder, candidate_id: int, vec: Sequence[float]) -> None:
    """Stores the vector of a candidate's picture."""
    image_id = session.get_one(Candidate, candidate_id).image_id
    session.execute(insert(Embedding).values(image_id=image_id, encoder_id=encoder.id, vec=list(vec)))


def remember(session: Session, encoder: Encoder, words: str, vec: Sequence[float]) -> None:
    """Stores the vector of words that someone searched by."""
    sha256 = actions.key_of(words)
    session.execute(insert(QueryVector).values(encoder_id=encoder.id, sha256=sha256, vec=list(vec)))
