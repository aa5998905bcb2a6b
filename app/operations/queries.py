"""What home, the system page and the job pages read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, func, select, text, tuple_
from sqlalchemy.orm import Session, aliased

from app.errors import NotFound
from app.operations.funnel import Funnel, funnel
from app.operations.policies import QueueState, unserved
from app.operations.sentences import SOURCE_CHANGES, job_label
from app.operations.tallies import kept
from app.presence import WORKER_ALIVE
from app.prompts import queries as prompts
from app.tables import (
    Candidate,
    CandidateState,
    Encoder,
    EntryOutcome,
    Event,
    Import,
    ImportEntry,
    Job,
    JobState,
    Review,
    ReviewKind,
    Snapshot,
    SnapshotMember,
    User,
    Worker,
    WorkQueue,
)

STOPPED_WITHIN = timedelta(days=7)


def ping(session: Session) -> None:
    """Raises what the database's absence raises."""
    session.execute(select(1))


def database_facts(session: Session) -> tuple[str, str, int]:
    """PostgreSQL's version, pgvector's, and the database's size in bytes."""
    row = session.execute(
        text(
            """SELECT split_part(current_setting('server_version'), ' ', 1),
            (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
            pg_database_size(current_database())"""
        )
    ).one()
    return row[0], row[1], row[2]


def encoders(session: Session) -> Sequence[Encoder]:
    return session.scalars(select(Encoder).order_by(Encoder.id)).all()


# --- workers and queues -------------------------------------------------------------------------


@dataclass(frozen=True)
class LiveWorker:
    """A worker process that was seen in the last seconds; `beat` is how many ago."""

    worker: Worker
    doing: str
    job_id: int | None
    beat: float


def live_workers(session: Session) -> list[LiveWorker]:
    now = func.clock_timestamp()
    rows = session.execute(
        select(Worker, Job.id, Job.kind, Job.arguments, func.extract("epoch", now - Worker.seen_at))
        .outerjoin(Job, (Job.id == Worker.job_id) & (Job.state == JobState.RUNNING))
        .where(Worker.seen_at > now - WORKER_ALIVE)
        .order_by(Worker.host, Worker.pid)
    )
    return [
        LiveWorker(worker, job_label(kind, arguments) if kind else "", job_id, float(beat))
        for worker, job_id, kind, arguments, beat in rows
    ]


def queue_states(session: Session) -> list[QueueState]:
    """Every queue with its live workers and the jobs that wait and are due."""
    due = (Job.state == JobState.QUEUED) & (Job.not_before <= func.clock_timestamp())
    rows = session.execute(select(Job.queue, func.count(), func.min(Job.created_at)).where(due).group_by(Job.queue))
    waiting = {queue: (count, oldest) for queue, count, oldest in rows}
    alive = select(Worker.queues).where(Worker.seen_at > func.clock_timestamp() - WORKER_ALIVE)
    served = [queue for queues in session.scalars(alive) for queue in queues]
    return [QueueState(queue, served.count(queue.value), *waiting.get(queue, (0, None))) for queue in WorkQueue]


# --- jobs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShownJob:
    job: Job
    label: str
    by: str


def _shown_jobs(session: Session, *conditions: ColumnElement[bool], limit: int) -> list[ShownJob]:
    rows = session.execute(
        select(Job, func.coalesce(User.name, "system"))
        .outerjoin(User, User.id == Job.requested_by)
        .where(*conditions)
        .order_by(Job.id.desc())
        .limit(limit)
    )
    return [ShownJob(job, job_label(job.kind, job.arguments), by) for job, by in rows]


def open_jobs(session: Session, limit: int = 30) -> list[ShownJob]:
    """Jobs that run or wait, the running ones first."""
    running = _shown_jobs(session, Job.state == JobState.RUNNING, limit=limit)
    return running + _shown_jobs(session, Job.state == JobState.QUEUED, limit=limit)


def _nobody_went_on() -> ColumnElement[bool]:
    """No retry was made of it, and no later job of the same key has done what it should have."""
    later = aliased(Job)
    retried = later.retry_of == Job.id
    done_since = (later.dedupe == Job.dedupe) & (later.id > Job.id) & (later.state == JobState.SUCCEEDED)
    return ~select(later.id).where(retried | done_since).exists()


def stopped_jobs(session: Session, limit: int = 20) -> list[ShownJob]:
    """Jobs of the last week that failed or were stopped and that nobody went on with."""
    recent = Job.finished_at > func.clock_timestamp() - STOPPED_WITHIN
    ended = Job.state.in_([JobState.FAILED, JobState.CANCELLED])
    return _shown_jobs(session, ended, recent, _nobody_went_on(), limit=limit)


def shown_job(session: Session, job_id: int) -> ShownJob:
    """Raises NotFound."""
    found = _shown_jobs(session, Job.id == job_id, limit=1)
    if not found:
        raise NotFound(f"There is no job {job_id}.")
    return found[0]


def retry_of(session: Session, job_id: int) -> int | None:
    """The job that goes on with this one."""
    statement = select(Job.id).where(Job.retry_of == job_id).order_by(Job.id.desc()).limit(1)
    return session.scalar(statement)


def import_of(session: Session, job_id: int) -> int | None:
    return session.scalar(select(Import.id).where(Import.job_id == job_id).limit(1))


# --- home ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """Something that waits for an admin; `route` and the rest say where to look."""

    icon: str
    text: str
    detail: str
    route: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""


@dataclass(frozen=True)
class ReviewerFigures:
    """A reviewer's last 7 days, and their decisions a day over the last 14 with the oldest first."""

    name: str
    decisions: int
    accepted: float | None
    seconds: float | None
    seen_at: datetime | None
    days: list[int]


@dataclass(frozen=True)
class Overview:
    """What an admin's home shows."""

    funnel: Funnel
    waiting: int
    snapshot: int | None
    since_snapshot: int
    empty_on: date | None
    needs: list[Need]
    jobs: list[ShownJob]
    queues: list[QueueState]
    reviewers: list[ReviewerFigures]

    @property
    def unserved(self) -> set[WorkQueue]:
        return {queue.queue for queue in unserved(self.queues)}


def overview(session: Session) -> Overview:
    counts = kept(session, "funnel", _count_funnel)
    queues = queue_states(session)
    figures = reviewers(session)
    snapshot, members = newest_snapshot(session)
    waiting = counts.get("queued", 0)
    return Overview(
        funnel=funnel(counts),
        waiting=waiting,
        snapshot=snapshot,
        since_snapshot=counts.get("accepted", 0) - members,
        empty_on=_empty_on(session, waiting, sum(person.decisions for person in figures)),
        needs=needs(session, counts, queues),
        jobs=open_jobs(session, 5)[:5],
        queues=queues,
        reviewers=figures,
    )


def _count_funnel(session: Session) -> dict[str, int]:
    """Candidates by state and by the stage that stopped them, and distinct images, all of one moment."""
    by_state, by_stage = Candidate.state, Candidate.stopped_by
    sets = func.grouping_sets(tuple_(by_state, by_stage), tuple_(by_state), tuple_())
    images = func.count(func.distinct(Candidate.image_id))
    rows = session.execute(
        select(by_state, by_stage, func.grouping(by_state, by_stage), func.count(), images)
        .where(Candidate.state != CandidateState.WITHDRAWN)
        .group_by(sets)
    )
    counts: dict[str, int] = {}
    for state, stage, level, pairs, pictures in rows:
        if level == 0 and stage:
            counts[f"{state.value}:{stage}"] = pairs
        elif level == 1:
            counts[state.value], counts[f"images:{state.value}"] = pairs, pictures
        elif level == 3:
            counts["images"] = pictures
    return counts


def newest_snapshot(session: Session) -> tuple[int | None, int]:
    """The newest snapshot's number and how many pairs it holds."""
    newest = session.execute(
        select(Snapshot.id, Snapshot.number).order_by(Snapshot.number.desc()).limit(1)
    ).one_or_none()
    if newest is None:
        return None, 0
    members = session.scalar(select(func.count()).where(SnapshotMember.snapshot_id == newest[0]))
    return newest[1], members or 0


def _empty_on(session: Session, waiting: int, decided_in_a_week: int) -> date | None:
    """When the queue is empty if the next weeks are like the last one."""
    if not waiting or not decided_in_a_week:
        return None
    days = waiting * 7 / decided_in_a_week
    today: datetime = session.scalars(select(func.clock_timestamp())).one()
    return (today + timedelta(days=days)).date() if days < 3650 else None


def needs(session: Session, counts: Mapping[str, int], queues: Sequence[QueueState]) -> list[Need]:
    """What waits for an admin, the worst first."""
    found = [_unserved_need(queue) for queue in unserved(queues)]
    stopped = stopped_jobs(session)
    if stopped:
        found.append(Need("alert", _many(len(stopped), "job") + " stopped", stopped[0].label, "system"))
    held = sum(count for name, count in counts.items() if name.startswith("flagged:"))
    if held:
        title, detail = _many(held, "candidate") + " held", "A patient may be recognised. Release or reject."
        found.append(Need("shield", title, detail, "held"))
    if flagged := counts.get("flagged", 0) - held:
        title = _many(flagged, "flagged candidate")
        found.append(Need("flag", title, "Accept, reject or send back.", "candidates", query="state=flagged"))
    if conflicted := counts.get("conflicted", 0):
        title, detail = _many(conflicted, "disagreement"), "Two reviewers decided differently."
        found.append(Need("columns", title, detail, "candidates", query="state=conflicted"))
    return found + _spent_budget(session) + _source_changes(session) + _refused(session)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _unserved_need(queue: QueueState) -> Need:
    waiting = f"{_many(queue.waiting, 'job')} {'waits' if queue.waiting == 1 else 'wait'}. {queue.command}"
    return Need("alert", f"No worker serves “{queue.queue.value}”", waiting, "system")


def _spent_budget(session: Session) -> list[Need]:
    """The language model is asked nothing more, and candidates wait for it or went on without it."""
    waiting = prompts.pace(session).waiting if prompts.is_spent(session) else 0
    if not waiting:
        return []
    what_to_do = f"{_many(waiting, 'candidate')} {'waits' if waiting == 1 else 'wait'}. Raise it, or count from now on."
    return [Need("clock", "The language model’s budget is spent", what_to_do, "prompts")]


def _source_changes(session: Session) -> list[Need]:
    """Captions that the last week's imports found changed after people had decided on them."""
    lately = Event.at > func.clock_timestamp() - STOPPED_WITHIN
    count = session.scalar(select(func.count()).where(Event.act == "candidate.source_changed", lately)) or 0
    if not count:
        return []
    title = _many(count, "caption") + " changed at the source after review"
    query = urlencode({"what": SOURCE_CHANGES})
    return [Need("edit", title, "Send back to the queue what no longer fits.", "activity", query=query)]


def _refused(session: Session) -> list[Need]:
    """Imports of the last week that refused something and that nobody took back or tried again."""
    again = aliased(Import)
    rows = session.execute(
        select(Import.id, func.count())
        .join(ImportEntry, ImportEntry.import_id == Import.id)
        .where(
            ImportEntry.outcome == EntryOutcome.REFUSED,
            Import.created_at > func.clock_timestamp() - STOPPED_WITHIN,
            Import.taken_back_at.is_(None),
            ~select(again.id).where(again.retry_of == Import.id).exists(),
        )
        .group_by(Import.id)
        .order_by(Import.id.desc())
        .limit(3)
    )
    return [
        Need(
            "upload",
            f"Import {id_} refused {_many(count, 'row')}",
            "See why, and try them again.",
            "import_page",
            {"import_id": id_},
        )
        for id_, count in rows
    ]


def reviewers(session: Session) -> list[ReviewerFigures]:
    """Everyone who decided something in the last 14 days, the busiest of the last 7 first."""
    now = func.clock_timestamp()
    undo = aliased(Review)
    stands = ~select(undo.id).where(undo.supersedes == Review.id).exists()
    given = (Review.kind != ReviewKind.UNDO) & stands
    this_week = Review.at > now - timedelta(days=7)
    rows = session.execute(
        select(
            User.id,
            User.name,
            func.count().filter(this_week),
            func.count().filter(this_week & (Review.kind == ReviewKind.ACCEPT)),
            func.percentile_cont(0.5).within_group(Review.seconds).filter(this_week),
            User.seen_at,
        )
        .join(User, User.id == Review.user_id)
        .where(given, Review.at > func.date_trunc("day", now) - timedelta(days=13))
        .group_by(User.id)
        .order_by(func.count().filter(this_week).desc(), User.name)
    ).all()
    days = _days(session, given)
    return [
        ReviewerFigures(name, count, accepted / count if count else None, seconds, seen_at, days[id_])
        for id_, name, count, accepted, seconds, seen_at in rows
    ]


def _days(session: Session, given: ColumnElement[bool]) -> dict[int, list[int]]:
    """User → decisions on each of the last 14 days."""
    first = func.date_trunc("day", func.clock_timestamp()) - timedelta(days=13)
    number = func.extract("day", func.date_trunc("day", Review.at) - first)
    rows = session.execute(
        select(Review.user_id, number, func.count()).where(given, Review.at >= first).group_by(Review.user_id, number)
    )
    found: dict[int, list[int]] = {}
    for user_id, day, count in rows:
        found.setdefault(user_id, [0] * 14)[int(day)] = count
    return found
