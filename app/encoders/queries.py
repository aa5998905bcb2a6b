"""What the encoders' page, its jobs and the embedding stage read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVarTuple

from sqlalchemy import ColumnElement, Select, and_, any_, exists, func, literal, not_, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger

from app import jobs
from app.encoders.policies import INDEX_FROM, INDEXABLE_WIDTH, index_name
from app.operations.tallies import kept
from app.tables import (
    Candidate,
    CandidateState,
    Classifier,
    Embedding,
    Encoder,
    Event,
    Image,
    Job,
    JobState,
    Label,
    Stage,
)

Row = TypeVarTuple("Row")
COUNTS = "embeddings"  # the tally's name
KINDS = ("register_encoder", "switch_encoder", "index_encoder", "delete_encoder")


@dataclass(frozen=True)
class Uses:
    """What stands on an encoder: stages by their names, and classifiers, of which one may be in use."""

    stages: list[str] = field(default_factory=list)
    classifiers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """An encoder as its page shows it. `index` is ready, broken, few, wide or missing."""

    encoder: Encoder
    vectors: int
    index: str
    uses: Uses
    is_deletable: bool

    @property
    def in_use(self) -> bool:
        return "embedding" in self.uses.stages


def shown(session: Session) -> list[Shown]:
    """Every encoder, the one in use first."""
    counts = kept(session, COUNTS, _count_vectors)
    made = [_shown(session, row, counts.get(str(row.id), 0)) for row in session.scalars(select(Encoder))]
    return sorted(made, key=lambda one: (not one.in_use, one.encoder.id))


def _shown(session: Session, encoder: Encoder, vectors: int) -> Shown:
    found = uses(session, encoder.id)
    index = index_state(session, encoder.id)
    if index == "missing" and encoder.width > INDEXABLE_WIDTH:
        index = "wide"
    elif index == "missing" and vectors < INDEX_FROM:
        index = "few"
    return Shown(encoder, vectors, index, found, not found.stages and not found.classifiers)


def _count_vectors(session: Session) -> dict[str, int]:
    rows = session.execute(select(Embedding.encoder_id, func.count()).group_by(Embedding.encoder_id))
    images = session.scalar(select(func.count()).select_from(Image).where(_wanted())) or 0
    return {"images": images} | {str(encoder_id): count for encoder_id, count in rows}


def images(session: Session) -> int:
    """How many images an encoder should have a vector of; at most 5 s old."""
    return kept(session, COUNTS, _count_vectors)["images"]


def _wanted() -> ColumnElement[bool]:
    """Images that someone may still ask about: of a candidate that is not withdrawn, or of a label set."""
    alive = exists().where(Candidate.image_id == Image.id, Candidate.state != CandidateState.WITHDRAWN)
    return or_(alive, Image.id.in_(select(Label.image_id)))


def without_vector(
    session: Session, encoder_id: int, after: int, limit: int, but: Sequence[int] = ()
) -> list[tuple[int, str]]:
    """(id, SHA-256) of the next images behind `after` that have no vector under an encoder, without those in `but`."""
    statement = _missing(select(Image.id, Image.sha256), encoder_id).where(Image.id > after)
    if but:
        statement = statement.where(not_(Image.id == any_(literal(list(but), ARRAY(BigInteger)))))
    return [(id_, sha256) for id_, sha256 in session.execute(statement.order_by(Image.id).limit(limit))]


def count_without_vector(session: Session, encoder_id: int) -> int:
    return session.scalar(_missing(select(func.count()).select_from(Image), encoder_id)) or 0


def _missing(statement: Select[*Row], encoder_id: int) -> Select[*Row]:
    has = exists().where(Embedding.image_id == Image.id, Embedding.encoder_id == encoder_id)
    return statement.where(and_(_wanted(), ~has))


def has_vectors(session: Session, encoder_id: int, count: int) -> bool:
    """Whether an encoder has at least so many; reads no more than needed."""
    some = select(literal(1)).where(Embedding.encoder_id == encoder_id).limit(count).subquery()
    return (session.scalar(select(func.count()).select_from(some)) or 0) >= count


def index_state(session: Session, encoder_id: int) -> str:
    """`ready`, `broken` (a build was cut off, and no search uses it) or `missing`."""
    statement = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    valid = session.scalar(statement, {"name": index_name(encoder_id)})
    return "missing" if valid is None else "ready" if valid else "broken"


def uses(session: Session, encoder_id: int) -> Uses:
    in_force = select(Stage.name).where(Stage.setting["encoder"].as_integer() == encoder_id).order_by(Stage.name)
    heads = select(Classifier.name).where(Classifier.encoder_id == encoder_id).order_by(Classifier.id)
    return Uses(list(session.scalars(in_force)), list(session.scalars(heads)))


def registered_by(session: Session, job_id: int) -> Encoder:
    """The encoder that a job registered."""
    name = select(Event.subject_id).where(Event.job_id == job_id, Event.act == "encoder.registered").scalar_subquery()
    return session.scalars(select(Encoder).where(Encoder.name == name)).one()


# --- jobs ---------------------------------------------------------------------------------------


def open_jobs(session: Session) -> list[Job]:
    """The encoders' jobs that wait or run, oldest first."""
    statement = select(Job).where(Job.kind.in_(KINDS), Job.state.in_(jobs.OPEN)).order_by(Job.id)
    return list(session.scalars(statement))


def last_failed(session: Session) -> Job | None:
    """The newest of the encoders' jobs, if it failed."""
    newest = session.scalars(select(Job).where(Job.kind.in_(KINDS)).order_by(Job.id.desc()).limit(1)).one_or_none()
    return newest if newest and newest.state is JobState.FAILED else None


def open_job(session: Session, kind: str, encoder_id: int) -> Job | None:
    about = (Job.kind == kind) & (Job.arguments["encoder"].as_integer() == encoder_id)
    return session.scalars(select(Job).where(about, Job.state.in_(jobs.OPEN)).limit(1)).one_or_none()


def stopped_index_job(session: Session, encoder_id: int) -> bool:
    """Whether the last build of an encoder's index failed or was stopped."""
    about = (Job.kind == "index_encoder") & (Job.arguments["encoder"].as_integer() == encoder_id)
    state = session.scalar(select(Job.state).where(about).order_by(Job.id.desc()).limit(1))
    return state in (JobState.FAILED, JobState.CANCELLED)
