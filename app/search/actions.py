"""Asking a worker for a vector to search by, and keeping a list of results to review."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.config import settings
from app.errors import Conflict
from app.publish import publish_file
from app.search import queries
from app.tables import Encoder, Job, QueryVector, Queue, WorkQueue


def key_of(words: str) -> str:
    """Under which a text's vector is kept."""
    return hashlib.sha256(" ".join(words.split()).encode()).hexdigest()


def waiting_picture(sha256: str) -> Path:
    """Where a picture to search by waits for its worker. The dot: what is left of it is tidied away in a day."""
    return settings().uploads_path / f".search-{sha256}"


def want_text(session: Session, actor: Actor, encoder: Encoder, words: str) -> QueryVector:
    """The row of a text's vector; a worker is asked for it where nobody has asked before."""
    sha256 = key_of(words)
    known = queries.query_vector(session, encoder.id, sha256)
    return known or _ask(session, actor, encoder, sha256, " ".join(words.split()))


def want_picture(session: Session, actor: Actor, encoder: Encoder, data: bytes) -> QueryVector:
    """The row of a picture's vector. The picture is kept as a file until its vector is there."""
    sha256 = hashlib.sha256(data).hexdigest()
    known = queries.query_vector(session, encoder.id, sha256)
    if known and (known.vec is not None or is_open(session, known)):
        return known
    with publish_file(waiting_picture(sha256)) as draft:
        draft.file.write(data)
    return _ask(session, actor, encoder, sha256, None)


def ask_again(session: Session, actor: Actor, encoder: Encoder, sha256: str) -> None:
    """Another try at a vector that could not be made. Raises Conflict when nothing is there to make it of."""
    known = queries.query_vector(session, encoder.id, sha256)
    if known is None or (known.text is None and not waiting_picture(sha256).exists()):
        raise Conflict("What you searched by is no longer kept.", "Search again.")
    if known.vec is None and not is_open(session, known):
        _ask(session, actor, encoder, sha256, known.text)


def is_open(session: Session, row: QueryVector) -> bool:
    job = session.get(Job, row.job_id) if row.job_id else None
    return job is not None and job.state in jobs.OPEN


def _ask(session: Session, actor: Actor, encoder: Encoder, sha256: str, words: str | None) -> QueryVector:
    values = {"encoder_id": encoder.id, "sha256": sha256}
    session.execute(insert(QueryVector).values(text=words, **values).on_conflict_do_nothing())
    arguments = {"encoder": encoder.id, "sha256": sha256}
    job = jobs.submit(
        session,
        "embed_query",
        WorkQueue.GPU,
        arguments,
        dedupe=f"embed_query:{encoder.id}:{sha256}",
        requested_by=actor.user_id,
    )
    session.execute(update(QueryVector).filter_by(**values).values(job_id=job.id))
    return session.get_one(QueryVector, (encoder.id, sha256), populate_existing=True)


def save_list(session: Session, actor: Actor, candidate_ids: Sequence[int]) -> Queue:
    """This person's list to review, in this order; it replaces the one they had.

    The log keeps that they chose: what someone picks to judge is no random sample.
    """
    chosen = {"person": actor.user_id, "candidates": list(candidate_ids)}
    statement = insert(Queue).values(name=f"Search results of person {actor.user_id}", filter=chosen)
    statement = statement.on_conflict_do_update(index_elements=["name"], set_={"filter": chosen})
    queue = session.scalars(statement.returning(Queue), execution_options={"populate_existing": True}).one()
    details = {"candidates": len(candidate_ids)}
    jobs.record(session, "review.list_chosen", "queue", queue.id, user_id=actor.user_id, details=details)
    return queue
