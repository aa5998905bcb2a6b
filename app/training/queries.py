"""Runs, read: the list, one run with its curves, and what a new one may start from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Double, Select, cast, func, or_, select
from sqlalchemy.orm import Session, aliased

from app import jobs
from app.encoders import queries as encoder_queries
from app.errors import NotFound
from app.snapshots import queries as snapshot_queries
from app.tables import Encoder, EncoderKind, Job, JobState, Run, RunEpoch, RunStep, Snapshot, User, WaitReason
from app.training.estimates import Rate
from app.training.settings import TrainingSettings

PAGE = 25
POINTS = 1_000
CURVES = ("loss", "learning_rate", "logit_scale", "pairs_per_second", "memory", "gpu_memory")


@dataclass(frozen=True)
class ShownRun:
    """A run with the names behind its ids; its state is that of its newest job."""

    run: Run
    job: Job
    snapshot: Snapshot | None
    base: Encoder | None
    model: Encoder | None
    by: str

    @property
    def settings(self) -> TrainingSettings:
        return TrainingSettings.from_json(self.run.settings)

    @property
    def data(self) -> str:
        return snapshot_queries.name(self.snapshot) if self.snapshot else "the practice set"

    @property
    def start(self) -> str:
        return self.base.name if self.base else self.run.architecture.removesuffix(".json")

    @property
    def goes_on_from(self) -> int | None:
        """The run with whose last epoch it began."""
        earlier: int | None = self.run.report.get("goes_on_from")
        return earlier

    @property
    def is_open(self) -> bool:
        return self.job.state in jobs.OPEN

    @property
    def steps_per_epoch(self) -> int:
        """0 until the worker has counted."""
        return (self.job.total or 0) // self.settings.epochs


def _shown() -> Select[Run, Job, Snapshot, Encoder, Encoder, str]:
    base, model = aliased(Encoder), aliased(Encoder)
    return (
        select(Run, Job, Snapshot, base, model, func.coalesce(User.name, "the shell"))
        .join(Job, Job.id == Run.job_id)
        .outerjoin(Snapshot, Snapshot.id == Run.snapshot_id)
        .outerjoin(base, base.id == Run.base_id)
        .outerjoin(model, model.id == Run.encoder_id)
        .outerjoin(User, User.id == Run.made_by)
        .execution_options(populate_existing=True)
    )


def newest(session: Session, before: int | None = None, limit: int = PAGE + 1) -> list[ShownRun]:
    statement = _shown().order_by(Run.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Run.id < before)
    return [ShownRun(*row) for row in session.execute(statement)]


def shown(session: Session, run_id: int) -> ShownRun:
    """Raises NotFound."""
    row = session.execute(_shown().where(Run.id == run_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.", "The list has all of them.")
    return ShownRun(*row)


def several(session: Session, run_ids: Sequence[int]) -> list[ShownRun]:
    """Those that are there, in the order asked for."""
    found = {row[0].id: ShownRun(*row) for row in session.execute(_shown().where(Run.id.in_(run_ids)))}
    return [found[run_id] for run_id in dict.fromkeys(run_ids) if run_id in found]


def swept_with(session: Session, run: Run) -> list[int]:
    """The runs of the same sweep, this one among them; empty where it stands alone."""
    if run.sweep is None:
        return []
    return list(session.scalars(select(Run.id).where(Run.sweep == run.sweep).order_by(Run.id)))


# --- curves -------------------------------------------------------------------------------------


def epochs(session: Session, run_ids: Sequence[int]) -> dict[int, list[RunEpoch]]:
    """Validation by run, oldest epoch first."""
    found: dict[int, list[RunEpoch]] = {run_id: [] for run_id in run_ids}
    statement = select(RunEpoch).where(RunEpoch.run_id.in_(run_ids)).order_by(RunEpoch.run_id, RunEpoch.epoch)
    for row in session.scalars(statement):
        found[row.run_id].append(row)
    return found


def is_written(session: Session, run_id: int, step: int, at: str) -> bool:
    """Whether a step still stands as it was written `at`. A trainer that begins again deletes all behind its border,
    so every step before one that stands is the same too.
    """
    written = session.scalar(select(RunStep.at).where(RunStep.run_id == run_id, RunStep.step == step))
    return written is not None and written.isoformat() == at


def curves(session: Session, run: Run, after: int = -1) -> dict[str, list[float | None]]:
    """Columns of the steps behind `after`: each where they are few, means of equally many where they are more.

    What is not finite is None, as JSON has no word for it.
    """
    wanted = (RunStep.run_id == run.id) & (RunStep.step > after)
    low, high = session.execute(select(func.min(RunStep.step), func.max(RunStep.step)).where(wanted)).one()
    stride = 1 if low is None else max(1, math.ceil((high - low + 1) / POINTS))
    bucket = (RunStep.step - (low or 0)) // stride
    means = [func.avg(cast(getattr(RunStep, name), Double)) for name in CURVES]  # of whole numbers slower by far
    rows = session.execute(select(func.max(RunStep.step), *means).where(wanted).group_by(bucket).order_by(bucket)).all()
    return {
        name: [float(row[at]) if row[at] is not None and math.isfinite(row[at]) else None for row in rows]
        for at, name in enumerate(("step", *CURVES))
    }


def last_step(session: Session, run: Run) -> RunStep | None:
    statement = select(RunStep).where(RunStep.run_id == run.id).order_by(RunStep.step.desc()).limit(1)
    return session.scalars(statement).one_or_none()


# --- what a new run starts from ------------------------------------------------------------------


def snapshots(session: Session) -> list[Snapshot]:
    """Those whose files are written, newest first."""
    return [one for one in snapshot_queries.newest(session) if one.built_at]


def bases(session: Session) -> list[Encoder]:
    """Registered CLIPs, newest first."""
    clips = (Encoder.kind == EncoderKind.IMAGE_TEXT) & (Encoder.source == "open_clip")
    return list(session.scalars(select(Encoder).where(clips).order_by(Encoder.id.desc())))


def is_deleted(session: Session, base: Encoder) -> bool:
    """Whether a job deletes it now."""
    return encoder_queries.open_job(session, "delete_encoder", base.id) is not None


def equal_open_run(session: Session, run: Run) -> Run | None:
    """A run of the same data, start and settings that waits or runs."""
    same = (
        Run.snapshot_id.is_not_distinct_from(run.snapshot_id),
        Run.base_id.is_not_distinct_from(run.base_id),
        Run.architecture == run.architecture,
        Run.settings == run.settings,
        Run.report["goes_on_from"].as_integer().is_not_distinct_from(run.report.get("goes_on_from")),
    )
    statement = select(Run).join(Job, Job.id == Run.job_id).where(*same, Job.state.in_(jobs.OPEN)).order_by(Run.id)
    return session.scalars(statement.limit(1)).first()


def rate(session: Session, settings: TrainingSettings, base: Encoder | None, architecture: str) -> Rate | None:
    """What the newest run of the same network and batch reached: the median of its steps."""
    network = Run.architecture == architecture
    if base is not None:
        alike = select(Encoder.id).where(Encoder.parameters == base.parameters, Encoder.parameters > 0)
        network = or_(Run.base_id == base.id, Run.base_id.in_(alike))
    stepped = select(RunStep.run_id).where(RunStep.run_id == Run.id).exists()
    batch = Run.settings["batch_size"].as_integer() == settings.batch_size
    run = session.scalars(select(Run).where(network, batch, stepped).order_by(Run.id.desc()).limit(1)).one_or_none()
    if run is None:
        return None
    reached = speed(session, run.id)
    return Rate(run.id, reached, str(run.report.get("device", ""))) if reached else None


def speed(session: Session, run_id: int) -> float | None:
    """Pairs a second: the median of a run's steps."""
    middle = func.percentile_cont(0.5).within_group(RunStep.pairs_per_second)
    return session.scalar(select(middle).where(RunStep.run_id == run_id)) or None


def last_device(session: Session) -> tuple[str, int]:
    """What the newest run that started trained on, "cpu" or "cuda", and with how many processes; "" before any."""
    known = Run.report["device_kind"].astext != ""
    report = session.scalar(select(Run.report).where(known).order_by(Run.id.desc()).limit(1)) or {}
    return str(report.get("device_kind", "")), int(report.get("processes", 1))


def training_on(session: Session, gpu: str) -> int | None:
    """The run that trains on a GPU now, by the GPU's own number; with several, the trainer tells its first one."""
    is_there = Run.report["gpu"].astext == gpu
    running = select(Run.id).join(Job, Job.id == Run.job_id).where(Job.state == JobState.RUNNING, is_there)
    return session.scalar(running.limit(1))


def has_any(session: Session) -> bool:
    return session.scalar(select(select(Run.id).exists())) or False


def next_id(session: Session) -> int:
    return (session.scalar(select(func.max(Run.id))) or 0) + 1


def in_turn(session: Session, run_id: int | None = None) -> list[int]:
    """The open runs: as launched, but the nth of a sweep behind all runs that are no sweep's or its first to (n-1)th.

    Those that wait for the disk hold nobody up; `run_id` is always among them if it is open.
    """
    other = aliased(Run)
    of_sweep = select(func.count()).where(other.sweep == Run.sweep, other.id < Run.id).scalar_subquery()
    counted = or_(Run.id == run_id, Job.wait_reason.is_distinct_from(WaitReason.DISK))
    statement = (
        select(Run.id)
        .join(Job, Job.arguments["run"].as_integer() == Run.id)
        .where(Job.kind == "finetune", Job.state.in_(jobs.OPEN), counted)
        .order_by(of_sweep, Job.id)
    )
    return list(session.scalars(statement))


def ahead(session: Session, run_id: int | None = None) -> list[ShownRun]:
    """The runs whose turn comes before an open one's; without one, all that are in turn."""
    order = in_turn(session, run_id)
    if run_id is not None:
        order = order[: order.index(run_id)] if run_id in order else []  # it may have ended meanwhile
    return several(session, order)


def pace(session: Session, run: Run) -> float | None:
    """Seconds a step: the median of the last 200, so that no pause between two of them counts."""
    newest = select(RunStep.pairs_per_second).where(RunStep.run_id == run.id).order_by(RunStep.step.desc()).limit(200)
    rates = newest.subquery()
    reached = session.scalar(select(func.percentile_cont(0.5).within_group(rates.c.pairs_per_second)))
    settings = TrainingSettings.from_json(run.settings)
    pairs = settings.batch_size * settings.accumulate * int(run.report.get("processes", 1))
    return pairs / reached if reached else None


def last_done(session: Session, than: Run) -> int | None:
    """The newest finished run before this one: what it is first compared with."""
    statement = select(Run.id).join(Job, Job.id == Run.job_id).where(Job.state == JobState.SUCCEEDED, Run.id < than.id)
    return session.scalar(statement.order_by(Run.id.desc()).limit(1))
