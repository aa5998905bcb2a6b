"""What the encoders' page, its jobs and the embedding stage read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVarTuple

from sqlalchemy import ColumnElement, Select, and_, any_, exists, func, literal, not_, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased
from sqlalchemy.types import BigInteger

from app import jobs
from app.encoders import figures
from app.encoders.policies import INDEX_FROM, INDEXABLE_WIDTH, index_name
from app.operations.tallies import kept
from app.prefilter import queries as stage_queries
from app.tables import (
    Candidate,
    CandidateState,
    Classifier,
    Embedding,
    Encoder,
    Evaluation,
    Event,
    Image,
    Job,
    JobState,
    Label,
    Run,
    RunEpoch,
    Snapshot,
    Stage,
)

Row = TypeVarTuple("Row")
MOST_FAILED = 5  # that a page lists
COUNTS = "embeddings"  # the tally's name
KINDS = ("register_encoder", "switch_encoder", "index_encoder", "delete_encoder", "package_model")


@dataclass(frozen=True)
class Uses:
    """What stands on an encoder: stages and classifiers by their names, runs and evaluations by their ids."""

    stages: list[str] = field(default_factory=list)
    classifiers: list[str] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.stages or self.classifiers or self.runs or self.evaluations)

    def said(self, titles: Mapping[str, str]) -> str:
        stages = [f"the stage {titles.get(name, name)}" for name in self.stages]
        heads = [f"the classifier {name}" for name in self.classifiers]
        told = [f"evaluation {number}" for number in self.evaluations]
        return ", ".join([*stages, *heads, *(f"run {number}" for number in self.runs), *told])


@dataclass(frozen=True)
class Shown:
    """An encoder as its page shows it. `index` is ready, broken, few, wide or missing.

    `run` made it, on the `snapshot` of that number; `metrics` are those of the run's best epoch; it learned from
    `withdrawn` pairs that were withdrawn since.
    """

    encoder: Encoder
    vectors: int
    index: str
    uses: Uses
    run: Run | None
    snapshot: int | None
    metrics: Mapping[str, Any]
    withdrawn: int

    @property
    def in_use(self) -> bool:
        return "embedding" in self.uses.stages

    @property
    def figures(self) -> list[figures.Figure]:
        return figures.figures_of(self.run.report, self.metrics, self.run.best_epoch) if self.run else []

    @property
    def zero_shot(self) -> float | None:
        return figures.zero_shot(self.run.report) if self.run else None

    @property
    def recall(self) -> float | None:
        return figures.recall(self.run.report, self.metrics) if self.run else None


def shown(session: Session) -> list[Shown]:
    """Every encoder, the one in use first, then the newest."""
    rows = list(session.scalars(select(Encoder).order_by(Encoder.id.desc())))
    return sorted(_shown(session, rows), key=lambda one: not one.in_use)


def one_shown(session: Session, encoder_id: int) -> Shown:
    """Raises NotFound."""
    (one,) = _shown(session, [stage_queries.encoder(session, encoder_id)])
    return one


def _shown(session: Session, rows: Sequence[Encoder]) -> list[Shown]:
    counts = kept(session, COUNTS, _count_vectors)
    ids = [row.id for row in rows]
    made, touched = _made_by(session, ids), withdrawn(session, ids)
    found = []
    for row in rows:
        vectors = counts.get(str(row.id), 0)
        index, stands = _index(session, row, vectors), uses(session, row.id)
        run, snapshot, metrics = made.get(row.id, (None, None, {}))
        found.append(Shown(row, vectors, index, stands, run, snapshot, metrics, touched.get(row.id, 0)))
    return found


def _index(session: Session, encoder: Encoder, vectors: int) -> str:
    index = index_state(session, encoder.id)
    if index == "missing" and encoder.width > INDEXABLE_WIDTH:
        return "wide"
    return "few" if index == "missing" and vectors < INDEX_FROM else index


def _made_by(session: Session, encoder_ids: Sequence[int]) -> dict[int, tuple[Run, int | None, Mapping[str, Any]]]:
    """The run that made each encoder, its snapshot's number and the validation of its best epoch."""
    best = and_(RunEpoch.run_id == Run.id, RunEpoch.epoch == Run.best_epoch)
    rows = session.execute(
        select(Run, Snapshot.number, RunEpoch.metrics)
        .outerjoin(Snapshot, Snapshot.id == Run.snapshot_id)
        .outerjoin(RunEpoch, best)
        .where(Run.encoder_id.in_(encoder_ids))
        .order_by(Run.id)
    )
    return {run.encoder_id: (run, number, metrics or {}) for run, number, metrics in rows}


@dataclass(frozen=True)
class Step:
    """One run of those that led to a model, and what it started from; the newest first."""

    run: Run
    snapshot: int | None
    base: Encoder | None


def line(session: Session, encoder_id: int) -> list[Step]:
    """The runs behind a model: the one that made it, the one that made its base, and so on."""
    steps: list[Step] = []
    at: int | None = encoder_id
    while at is not None:
        found = _made_by(session, [at]).get(at)
        if found is None:
            break
        base = session.get(Encoder, found[0].base_id) if found[0].base_id else None
        steps.append(Step(found[0], found[1], base))
        at = base.id if base else None
    return steps


def withdrawn(session: Session, encoder_ids: Sequence[int]) -> dict[int, int]:
    """How many pairs that a model or one of its bases learned from were withdrawn since; none is not in it."""
    statement = text(
        """WITH RECURSIVE line (model, encoder_id) AS (
            SELECT id, id FROM unnest(CAST(:ids AS bigint[])) AS id
            UNION SELECT line.model, run.base_id FROM line JOIN run USING (encoder_id) WHERE run.base_id IS NOT NULL
        ), gone AS (
            SELECT member.snapshot_id, member.candidate_id FROM candidate
            JOIN snapshot_member member ON member.candidate_id = candidate.id AND member.split = 'train'
            WHERE candidate.state = 'withdrawn'
        )
        SELECT line.model, count(DISTINCT gone.candidate_id) FROM line
        JOIN run USING (encoder_id) JOIN gone ON gone.snapshot_id = run.snapshot_id GROUP BY line.model"""
    )
    return {model: count for model, count in session.execute(statement, {"ids": list(encoder_ids)})}


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
    runs = select(Run.id).where(Run.base_id == encoder_id).order_by(Run.id)
    told = select(Evaluation.id).where(Evaluation.encoder_id == encoder_id).order_by(Evaluation.id)
    return Uses(*(list(session.scalars(statement)) for statement in (in_force, heads, runs, told)))


def names_folder(session: Session, folder: str, but: int) -> bool:
    """Whether another encoder than `but` has its package in a folder."""
    others = select(Encoder.id).where(Encoder.package == folder, Encoder.id != but)
    return session.scalar(select(others.exists())) or False


def registered_by(session: Session, job_id: int) -> Encoder:
    """The encoder that a job registered."""
    name = select(Event.subject_id).where(Event.job_id == job_id, Event.act == "encoder.registered").scalar_subquery()
    return session.scalars(select(Encoder).where(Encoder.name == name)).one()


# --- jobs ---------------------------------------------------------------------------------------


def open_jobs(session: Session, encoder_id: int | None = None) -> list[Job]:
    """The encoders' jobs that wait or run, oldest first; of one encoder only its own."""
    statement = select(Job).where(_about(encoder_id), Job.state.in_(jobs.OPEN)).order_by(Job.id)
    return list(session.scalars(statement))


def failed_jobs(session: Session, encoder_id: int | None = None) -> list[Job]:
    """The encoders' jobs that failed in the last week and that nobody asked for again since, the newest first."""
    later = aliased(Job)
    again = exists().where(later.kind == Job.kind, later.arguments == Job.arguments, later.id > Job.id)
    recent = Job.created_at > func.clock_timestamp() - timedelta(days=7)
    failed = (Job.state == JobState.FAILED) & recent & ~again
    return list(
        session.scalars(select(Job).where(_about(encoder_id), failed).order_by(Job.id.desc()).limit(MOST_FAILED))
    )


def _about(encoder_id: int | None) -> ColumnElement[bool]:
    ours = Job.kind.in_(KINDS)
    return ours if encoder_id is None else ours & (Job.arguments["encoder"].as_integer() == encoder_id)


def open_job(session: Session, kind: str, encoder_id: int) -> Job | None:
    about = (Job.kind == kind) & (Job.arguments["encoder"].as_integer() == encoder_id)
    return session.scalars(select(Job).where(about, Job.state.in_(jobs.OPEN)).limit(1)).one_or_none()


def stopped_index_job(session: Session, encoder_id: int) -> bool:
    """Whether the last build of an encoder's index failed or was stopped."""
    about = (Job.kind == "index_encoder") & (Job.arguments["encoder"].as_integer() == encoder_id)
    state = session.scalar(select(Job.state).where(about).order_by(Job.id.desc()).limit(1))
    return state in (JobState.FAILED, JobState.CANCELLED)
