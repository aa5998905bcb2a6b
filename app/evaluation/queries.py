"""What the pages, the report, the shell and the jobs of evaluation read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, Text, cast, column, func, or_, select, true, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, aliased

from app import jobs
from app.errors import Conflict, Invalid, NotFound
from app.evaluation.metrics import counted
from app.evaluation.policies import KS, TITLES, Task, protocol
from app.tables import (
    ClassPrompts,
    Encoder,
    Evaluation,
    EvaluationSet,
    Job,
    JobState,
    Snapshot,
    User,
    Weights,
)

# --- sets ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetShown:
    """A set with the job that read it last, who registered it, and how many evaluations it has."""

    row: EvaluationSet
    job: Job | None
    by: str
    evaluations: int

    @property
    def is_busy(self) -> bool:
        return self.job is not None and self.job.state in jobs.OPEN

    @property
    def waits_for_yes(self) -> bool:
        """Its counts differ from the published ones and nobody has said to go on."""
        return bool(self.row.items_sha256) and self.row.ready_at is None


def _sets() -> Any:
    count = select(func.count()).where(Evaluation.set_id == EvaluationSet.id).scalar_subquery()
    return (
        select(EvaluationSet, Job, func.coalesce(User.name, "the shell"), count)
        .outerjoin(Job, Job.id == EvaluationSet.job_id)
        .outerjoin(User, User.id == EvaluationSet.made_by)
    )


def sets(session: Session) -> list[SetShown]:
    return [SetShown(*row) for row in session.execute(_sets().order_by(EvaluationSet.name))]


def set_shown(session: Session, set_id: int) -> SetShown:
    """Raises NotFound."""
    row = session.execute(_sets().where(EvaluationSet.id == set_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no evaluation set {set_id}.")
    return SetShown(*row)


def set_row(session: Session, set_id: int) -> EvaluationSet:
    """Raises NotFound."""
    return set_shown(session, set_id).row


def set_rows(session: Session) -> dict[int, EvaluationSet]:
    """Every set by its id."""
    return {row.id: row for row in session.scalars(select(EvaluationSet))}


def ready_sets(session: Session) -> list[EvaluationSet]:
    """Those that models may be measured on."""
    statement = select(EvaluationSet).where(EvaluationSet.ready_at.is_not(None)).order_by(EvaluationSet.name)
    return list(session.scalars(statement))


def set_named(session: Session, name: str) -> EvaluationSet:
    """A ready one. Raises Invalid, which names those that are there."""
    found = {one.name: one for one in ready_sets(session)}
    if name not in found:
        raise Invalid(f"There is no set {name} that is ready.", f"There are: {', '.join(found) or 'none yet'}.")
    return found[name]


# --- wordings -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wording:
    """A version of how a layout's classes are worded, who wrote it, and how many evaluations used it."""

    row: ClassPrompts
    by: str
    evaluations: int


def wordings(session: Session, layout: str) -> list[Wording]:
    """A layout's versions, the newest first."""
    count = select(func.count()).where(Evaluation.prompts_id == ClassPrompts.id).scalar_subquery()
    rows = session.execute(
        select(ClassPrompts, func.coalesce(User.name, "the app"), count)
        .outerjoin(User, User.id == ClassPrompts.made_by)
        .where(ClassPrompts.layout == layout)
        .order_by(ClassPrompts.version.desc())
    )
    return [Wording(*row) for row in rows]


def wording(session: Session, wording_id: int) -> ClassPrompts:
    """Raises NotFound."""
    found = session.get(ClassPrompts, wording_id)
    if found is None:
        raise NotFound(f"There is no wording {wording_id}.")
    return found


def newest_wording(session: Session, layout: str, version: int = 0) -> ClassPrompts | None:
    """The newest version of a layout, or the one asked for."""
    statement = select(ClassPrompts).where(ClassPrompts.layout == layout).order_by(ClassPrompts.version.desc()).limit(1)
    return session.scalars(statement.where(ClassPrompts.version == version) if version else statement).one_or_none()


def used_in(session: Session, wording_id: int) -> list[tuple[int, str, str]]:
    """(Evaluation, model, set) of the evaluations with a wording, the newest first."""
    rows = session.execute(
        select(Evaluation.id, Encoder.name, EvaluationSet.name)
        .join(Encoder, Encoder.id == Evaluation.encoder_id)
        .join(EvaluationSet, EvaluationSet.id == Evaluation.set_id)
        .where(Evaluation.prompts_id == wording_id)
        .order_by(Evaluation.id.desc())
        .limit(50)
    )
    return [(id_, model, on) for id_, model, on in rows]


# --- models and snapshots -----------------------------------------------------------------------


def models(session: Session) -> list[Encoder]:
    return list(session.scalars(select(Encoder).order_by(Encoder.id)))


def model_named(session: Session, name: str) -> Encoder:
    """Raises Invalid, which names those that are there."""
    found = {one.name: one for one in models(session)}
    if name not in found:
        raise Invalid(f"There is no model {name}.", f"There are: {', '.join(found) or 'none yet'}.")
    return found[name]


def model_like(session: Session, checksum: str, spec: Mapping[str, Any]) -> Encoder | None:
    """The model with these weights; of random ones, which no file tells, that of the same network and seed."""
    same = select(Encoder).where(Encoder.checksum == checksum).order_by(Encoder.id)
    if not checksum:
        drawn = (Encoder.weights == Weights.RANDOM) & (Encoder.seed == spec.get("seed"))
        same = same.where(drawn, Encoder.source == spec.get("source"), Encoder.model == spec.get("model"))
    return session.scalars(same).first()


def snapshots(session: Session) -> list[Snapshot]:
    """Those whose files are written, the newest first."""
    return list(
        session.scalars(select(Snapshot).where(Snapshot.built_at.is_not(None)).order_by(Snapshot.number.desc()))
    )


# --- evaluations --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """An evaluation with the names of what it is about."""

    row: Evaluation
    encoder: Encoder
    set: EvaluationSet | None
    snapshot: Snapshot | None
    wording: ClassPrompts | None
    job: Job | None
    by: str

    @property
    def on(self) -> str:
        return self.set.name if self.set else f"v{self.snapshot.number:04d}" if self.snapshot else ""

    @property
    def title(self) -> str:
        return f"{self.encoder.name} on {self.on}"

    @property
    def task_title(self) -> str:
        return TITLES[self.row.task]

    @property
    def protocol(self) -> str:
        return protocol(self.row.task, self.row.settings)

    @property
    def is_open(self) -> bool:
        return self.row.finished_at is None and self.job is not None and self.job.state in jobs.OPEN


def _shown() -> Any:
    return (
        select(Evaluation, Encoder, EvaluationSet, Snapshot, ClassPrompts, Job, func.coalesce(User.name, "the shell"))
        .join(Encoder, Encoder.id == Evaluation.encoder_id)
        .outerjoin(EvaluationSet, EvaluationSet.id == Evaluation.set_id)
        .outerjoin(Snapshot, Snapshot.id == Evaluation.snapshot_id)
        .outerjoin(ClassPrompts, ClassPrompts.id == Evaluation.prompts_id)
        .outerjoin(Job, Job.id == Evaluation.job_id)
        .outerjoin(User, User.id == Evaluation.made_by)
    )


def evaluation(session: Session, evaluation_id: int) -> Shown:
    """Raises NotFound."""
    row = session.execute(_shown().where(Evaluation.id == evaluation_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no evaluation {evaluation_id}.")
    return Shown(*row)


def finished(session: Session, evaluation_id: int) -> Shown:
    """One that has its figures. Raises NotFound, Conflict."""
    found = evaluation(session, evaluation_id)
    if found.row.finished_at is None:
        raise Conflict("This evaluation has no figures yet.", "Its page shows how far it is.")
    return found


def all_finished(session: Session) -> list[Shown]:
    """Every evaluation with figures, for a report."""
    rows = session.execute(_shown().where(Evaluation.finished_at.is_not(None)).order_by(Evaluation.id))
    return [Shown(*row) for row in rows]


def existing(session: Session, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], tuple[Evaluation, Job | None]]:
    """What is there already, by (model, fingerprint of target, task and settings)."""
    rows = session.execute(
        select(Evaluation, Job)
        .outerjoin(Job, Job.id == Evaluation.job_id)
        .where(tuple_(Evaluation.encoder_id, Evaluation.settings_sha256).in_(keys))
        .order_by(Evaluation.id)
    )
    return {(row.encoder_id, row.settings_sha256): (row, job) for row, job in rows}


def peers(session: Session, row: Evaluation) -> list[Evaluation]:
    """Finished evaluations of other models with the same items and settings."""
    same_target = or_(Evaluation.set_id == row.set_id, Evaluation.snapshot_id == row.snapshot_id)
    statement = select(Evaluation).where(
        same_target,
        Evaluation.task == row.task,
        Evaluation.settings_sha256 == row.settings_sha256,
        Evaluation.encoder_id != row.encoder_id,
        Evaluation.finished_at.is_not(None),
    )
    return list(session.scalars(statement.order_by(Evaluation.id)))


@dataclass(frozen=True)
class Measured:
    """One cell of the matrix: an evaluation, its state, and its figure under one metric.

    `own` is what it stored of itself less the baseline (difference, low, high, p, test), `theirs` what the
    baseline stored of itself less this one.
    """

    id: int
    encoder_id: int
    model: str
    weights: Weights
    set_id: int | None
    on: str
    task: Task
    settings: dict[str, Any]
    settings_sha256: str
    state: JobState | None
    is_finished: bool
    figure: dict[str, float] | None
    chance: float | None
    own: list[Any] | None = None
    theirs: list[Any] | None = None
    n: int = 0
    touched: int = 0  # items that the model's training pairs hold


def measured(session: Session, task: Task, metric: str, baseline: int | None = None) -> list[Measured]:
    """Every evaluation of a task with its figure under `metric`, and its difference from a model, in one query."""
    base = aliased(Evaluation)
    kept, of_base = (_parts(row) for row in (Evaluation, base))
    own = kept.c.against[metric][cast(base.id, Text)]
    rows = session.execute(
        select(
            Evaluation.id,
            Evaluation.encoder_id,
            Encoder.name,
            Encoder.weights,
            Evaluation.set_id,
            func.coalesce(EvaluationSet.name, func.concat("v", func.to_char(Snapshot.number, "FM0000"))),
            Evaluation.task,
            Evaluation.settings,
            Evaluation.settings_sha256,
            Job.state,
            Evaluation.finished_at.is_not(None),
            kept.c.figures[metric],
            kept.c.chance[metric].as_float(),
            own,
            of_base.c.against[metric][cast(Evaluation.id, Text)],
            func.coalesce(kept.c[counted(metric)], 0),
            func.coalesce(kept.c.contamination["items"].as_integer(), 0),
        )
        .select_from(Evaluation)
        .join(kept, true())
        .join(Encoder, Encoder.id == Evaluation.encoder_id)
        .outerjoin(EvaluationSet, EvaluationSet.id == Evaluation.set_id)
        .outerjoin(Snapshot, Snapshot.id == Evaluation.snapshot_id)
        .outerjoin(Job, Job.id == Evaluation.job_id)
        .outerjoin(base, (base.encoder_id == baseline) & (base.settings_sha256 == Evaluation.settings_sha256))
        .outerjoin(of_base, own.is_(None))
        .where(Evaluation.task == task)
        .order_by(Evaluation.id)
    )
    return [Measured(*row) for row in rows]


def ks(session: Session, task: Task) -> Sequence[int]:
    """The pictures a class that few-shot was measured with; what may be asked for where it was not measured yet."""
    if task is not Task.FEW_SHOT:
        return KS
    few_shot = (Evaluation.task == Task.FEW_SHOT) & Evaluation.finished_at.is_not(None)
    found = session.scalars(select(Evaluation.settings["ks"]).where(few_shot).distinct())
    return sorted({k for some in found for k in some}) or KS


def _parts(row: type[Evaluation]) -> Any:
    """The parts of an evaluation's metrics that the matrix reads, unpacked once a row and not once a part."""
    parts = [column(name, JSONB) for name in ("figures", "chance", "against", "contamination")]
    counts = [column(name, Integer) for name in ("n", "strict_n")]
    record = func.jsonb_to_record(row.metrics).table_valued(*parts, *counts)
    return record.render_derived(with_types=True).lateral()
