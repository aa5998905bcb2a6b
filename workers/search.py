"""The vector of what someone searches by: a text, or a picture that they sent."""

from datetime import timedelta

from sqlalchemy import delete, func, update
from sqlalchemy.orm import Session

from app.db import transaction
from app.errors import Invalid
from app.intake.pictures import PictureCleaner, PictureRefused
from app.intake.reasons import sentence_for
from app.jobs import RunningJob
from app.prefilter import queries
from app.search.actions import waiting_picture
from app.search.queries import query_vector
from app.tables import QueryVector
from workers.vectors import Vectors, load

KEPT = timedelta(days=30)


def run_embed_query(job: RunningJob) -> None:
    """Embeds a text or picture; with its vector there, neither is kept. Arguments: encoder, sha256.

    Raises Invalid for a picture that can't be taken, WeightsUnavailable.
    """
    sha256: str = job.arguments["sha256"]
    with transaction() as session:
        encoder = queries.encoder(session, job.arguments["encoder"])
        row = query_vector(session, encoder.id, sha256)
    if row is None or row.vec is not None:
        return
    network = load(encoder)
    made = network.embed_images([_sent_picture(sha256)]) if row.text is None else network.embed_texts([row.text])
    with job.step() as session:
        _keep(session, encoder.id, sha256, made)
    waiting_picture(sha256).unlink(missing_ok=True)


def _sent_picture(sha256: str) -> bytes:
    """The picture decoded and written anew in a child process under limits, as imports do."""
    path = waiting_picture(sha256)
    if not path.exists():
        raise Invalid("The picture is no longer kept.", "Choose it again.")
    try:
        with PictureCleaner(processes=1) as cleaner:
            return cleaner.clean(path.read_bytes()).data
    except PictureRefused as refused:
        path.unlink(missing_ok=True)
        raise Invalid(f"{sentence_for(refused.reason)} {refused.detail}".strip()) from refused


def _keep(session: Session, encoder_id: int, sha256: str, made: Vectors) -> None:
    """Stores a vector [1, width], and drops those that were asked for a month ago."""
    row = (QueryVector.encoder_id == encoder_id) & (QueryVector.sha256 == sha256)
    session.execute(update(QueryVector).where(row).values(vec=made[0], text=None))
    session.execute(delete(QueryVector).where(QueryVector.created_at < func.clock_timestamp() - KEPT))
