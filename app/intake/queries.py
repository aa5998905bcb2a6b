"""What the import pages and the import job read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Row, func, select, tuple_
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.tables import (
    Assignment,
    Author,
    Candidate,
    CandidateState,
    Caption,
    EntryOutcome,
    Event,
    FileOutcome,
    FlagOrigin,
    Image,
    Import,
    ImportEntry,
    ImportFile,
    Job,
    JobState,
    Post,
    Source,
    User,
    Withdrawal,
    WithdrawalKind,
)

S = CandidateState


# --- pages --------------------------------------------------------------------------------------


@dataclass
class Counts:
    """What became of an import's entries; the four parts are all of them. `reasons`: why → how many."""

    taken: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        return self.taken + self.updated + self.unchanged + self.refused


@dataclass
class FileCounts:
    """What became of an import's files; `ignored` and `reasons` say which kinds and why."""

    used: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> int:
        return self.used + sum(self.ignored.values()) + sum(self.reasons.values())


@dataclass(frozen=True)
class Shown:
    """An import as lists and its page show it."""

    run: Import
    source: Source
    job: Job
    by: str
    counts: Counts

    @property
    def is_open(self) -> bool:
        return self.job.state in (JobState.QUEUED, JobState.RUNNING)


def imports(session: Session, before: int | None = None, limit: int = 20) -> list[Shown]:
    """The newest imports, or those before an id."""
    older = Import.id < before if before else None
    rows = _with_job(session, older, limit)
    found = counts(session, [row[0].id for row in rows])
    return [Shown(run, source, job, by, found[run.id]) for run, source, job, by in rows]


def import_by_id(session: Session, import_id: int) -> Shown:
    """Raises NotFound."""
    rows = _with_job(session, Import.id == import_id, 1)
    if not rows:
        raise NotFound(f"There is no import {import_id}.")
    run, source, job, by = rows[0]
    return Shown(run, source, job, by, counts(session, [run.id])[run.id])


def _with_job(
    session: Session, condition: ColumnElement[bool] | None, limit: int
) -> Sequence[Row[Import, Source, Job, str]]:
    statement = (
        select(Import, Source, Job, func.coalesce(User.name, "System"))
        .join(Source, Source.id == Import.source_id)
        .join(Job, Job.id == Import.job_id)
        .outerjoin(User, User.id == Import.made_by)
        .order_by(Import.id.desc())
        .limit(limit)
    )
    return session.execute(statement if condition is None else statement.where(condition)).all()


def counts(session: Session, import_ids: Sequence[int]) -> dict[int, Counts]:
    """Import → its entries by outcome and reason, every asked one there."""
    found = {id_: Counts() for id_ in import_ids}
    rows = session.execute(
        select(ImportEntry.import_id, ImportEntry.outcome, ImportEntry.reason, func.count())
        .where(ImportEntry.import_id.in_(import_ids))
        .group_by(ImportEntry.import_id, ImportEntry.outcome, ImportEntry.reason)
    )
    for id_, outcome, reason, count in rows:
        if outcome is EntryOutcome.REFUSED:
            found[id_].refused += count
            found[id_].reasons[reason or ""] = count
        else:
            setattr(found[id_], outcome.value, count)
    return found


def file_counts(session: Session, import_id: int) -> FileCounts:
    rows = session.execute(
        select(ImportFile.outcome, ImportFile.kind, ImportFile.reason, func.count())
        .where(ImportFile.import_id == import_id)
        .group_by(ImportFile.outcome, ImportFile.kind, ImportFile.reason)
    )
    found = FileCounts()
    for outcome, kind, reason, count in rows:
        if outcome is FileOutcome.USED:
            found.used = count
        elif outcome is FileOutcome.IGNORED:
            found.ignored[kind or ""] = count
        else:
            found.reasons[reason or ""] = count
    return found


@dataclass(frozen=True)
class Taken:
    """What an import brought in: candidates (pairs of an image and a caption), their images and posts.

    `through` are the candidates that the pre-filter is done with.
    """

    pairs: int
    images: int
    posts: int
    through: int


def taken(session: Session, import_id: int) -> Taken:
    row = session.execute(
        select(
            func.count(),
            func.count(func.distinct(Candidate.image_id)),
            func.count(func.distinct(Candidate.post_id)),
            func.count().filter(Candidate.state.not_in([S.INCOMING, S.FILTERING])),
        ).where(Candidate.import_id == import_id)
    ).one()
    return Taken(*row)


def entries(
    session: Session, import_id: int, outcome: EntryOutcome, reason: str = "", after: int = 0, limit: int = 50
) -> Sequence[ImportEntry]:
    """Entries of one outcome (and reason) in the order they were read, behind ordinal `after`."""
    statement = (
        select(ImportEntry)
        .where(
            ImportEntry.import_id == import_id,
            ImportEntry.outcome == outcome,
            ImportEntry.ordinal > after,
        )
        .order_by(ImportEntry.ordinal)
        .limit(limit)
    )
    if reason:
        statement = statement.where(ImportEntry.reason == reason)
    return session.scalars(statement).all()


def files(
    session: Session, import_id: int, outcome: FileOutcome, why: str = "", behind: str = "", limit: int = 50
) -> Sequence[ImportFile]:
    """Files of one outcome (of one kind, or refused for one reason) by name, behind the one whose hash is `behind`."""
    place = (ImportFile.name, ImportFile.name_sha256)
    statement = (
        select(ImportFile)
        .where(ImportFile.import_id == import_id, ImportFile.outcome == outcome)
        .order_by(*place)
        .limit(limit)
    )
    if why:
        statement = statement.where(func.coalesce(ImportFile.kind, ImportFile.reason) == why)
    if behind:
        last = select(*place).where(ImportFile.import_id == import_id, ImportFile.name_sha256 == behind)
        statement = statement.where(tuple_(*place) > last.scalar_subquery())
    return session.scalars(statement).all()


@dataclass(frozen=True)
class NothingNew:
    """An import that took nothing, for all its posts were there: under which sources, and whether its own has any."""

    sources: dict[str, int]
    source_is_empty: bool


def nothing_new(session: Session, shown: Shown) -> NothingNew | None:
    """None for an import that took something, or found nothing that it knew."""
    if shown.counts.taken or not (shown.counts.unchanged or shown.counts.updated):
        return None
    own = select(Post.id).where(Post.source_id == shown.source.id).exists()
    return NothingNew(_sources_of(session, shown.run.id), not session.scalar(select(own)))


def _sources_of(session: Session, import_id: int) -> dict[str, int]:
    """Source → how many of an import's entries belong to its posts."""
    rows = session.execute(
        select(Source.name, func.count())
        .select_from(ImportEntry)
        .join(Candidate, Candidate.id == ImportEntry.candidate_id)
        .join(Post, Post.id == Candidate.post_id)
        .join(Source, Source.id == Post.source_id)
        .where(ImportEntry.import_id == import_id)
        .group_by(Source.name)
        .order_by(Source.name)
    )
    return dict(rows.all())


def taken_back(session: Session, import_id: int) -> int:
    """How many candidates of an import were taken back."""
    count = func.sum(Event.details["withdrawn"].as_integer())
    about = (Event.subject_kind == "import", Event.subject_id == str(import_id))
    return session.scalar(select(count).where(*about, Event.act == "import.taken_back")) or 0


def sources(session: Session) -> Sequence[Source]:
    return session.scalars(select(Source).order_by(Source.name)).all()


def source_by_id(session: Session, source_id: int) -> Source:
    """Raises NotFound."""
    source = session.get(Source, source_id)
    if source is None:
        raise NotFound(f"There is no source {source_id}.")
    return source


def source_by_name(session: Session, name: str) -> Source | None:
    return session.scalars(select(Source).where(Source.name == name)).one_or_none()


def report_entries(session: Session, import_id: int) -> Iterator[tuple[ImportEntry, str]]:
    """Every entry of an import with the caption now on offer, streamed in the order read."""
    rows = session.execute(
        select(ImportEntry, func.coalesce(Caption.text, ""))
        .outerjoin(Candidate, Candidate.id == ImportEntry.candidate_id)
        .outerjoin(Caption, Caption.id == Candidate.caption_id)
        .where(ImportEntry.import_id == import_id)
        .order_by(ImportEntry.ordinal)
        .execution_options(yield_per=500)
    )
    for row in rows:
        yield row[0], row[1]


def report_files(session: Session, import_id: int) -> Iterator[ImportFile]:
    statement = select(ImportFile).where(ImportFile.import_id == import_id).order_by(ImportFile.name)
    yield from session.scalars(statement.execution_options(yield_per=500))


# --- taking back --------------------------------------------------------------------------------


def judged() -> ColumnElement[bool]:
    """Candidates that a person decided (one of two reviews counts) or that a machine did not merely hold."""
    reviewed = (
        select(Assignment.id).where(Assignment.candidate_id == Candidate.id, Assignment.review_id.is_not(None)).exists()
    )
    settled = Candidate.state.in_([S.ACCEPTED, S.REJECTED, S.CONFLICTED])
    by_person = (Candidate.state == S.FLAGGED) & (Candidate.flag_origin == FlagOrigin.PERSON)
    return settled | by_person | reviewed


def held() -> ColumnElement[bool]:
    """Candidates that someone has on the screen."""
    lease = Assignment.review_id.is_(None) & (Assignment.lease_until > func.clock_timestamp())
    return select(Assignment.id).where(Assignment.candidate_id == Candidate.id, lease).exists()


@dataclass(frozen=True)
class TakeBack:
    """How many candidates of an import would go, and how many stay, being reviewed or held."""

    go: int
    stay: int

    @property
    def who_stays(self) -> str:
        """What to say of those that stay; empty for none."""
        if self.stay == 1:
            return "1 stays: it was reviewed or is on someone's screen."
        return f"{self.stay:,} stay: they were reviewed or are on someone's screen." if self.stay else ""


def can_take_back(session: Session, import_id: int) -> TakeBack:
    stays = judged() | held()
    go, stay = session.execute(
        select(func.count().filter(~stays), func.count().filter(stays)).where(
            Candidate.import_id == import_id, Candidate.state != S.WITHDRAWN
        )
    ).one()
    return TakeBack(go, stay)


def taken_candidates(session: Session, import_id: int) -> list[int]:
    """The candidates that an import took and that are still there, by id."""
    statement = (
        select(Candidate.id)
        .where(Candidate.import_id == import_id, Candidate.state != S.WITHDRAWN)
        .order_by(Candidate.id)
    )
    return list(session.scalars(statement))


def free_of(session: Session, candidate_ids: Sequence[int]) -> list[int]:
    """Those that nobody decided or holds; the caller has them locked."""
    statement = select(Candidate.id).where(Candidate.id.in_(candidate_ids), ~(judged() | held()))
    return sorted(session.scalars(statement))


def judged_among(session: Session, candidate_ids: Iterable[int]) -> set[int]:
    statement = select(Candidate.id).where(
        Candidate.id.in_(list(candidate_ids)), judged() | (Candidate.state == S.FLAGGED)
    )
    return set(session.scalars(statement))


# --- the import job -----------------------------------------------------------------------------


def import_of_job(session: Session, import_id: int) -> tuple[Import, Source]:
    """The import that a job runs and its source. Raises NotFound."""
    run = session.get(Import, import_id)
    if run is None:
        raise NotFound(f"There is no import {import_id}.")
    return run, source_by_id(session, run.source_id)


def images_received_as(session: Session, source_sha256s: Iterable[str]) -> dict[str, Image]:
    """Hash of the bytes as received → the clean copy we made of them before."""
    statement = select(Image).where(Image.source_sha256.in_(list(source_sha256s))).order_by(Image.id.desc())
    return {image.source_sha256: image for image in session.scalars(statement)}


def withdrawn(session: Session, keys: Iterable[tuple[WithdrawalKind, str]]) -> set[tuple[WithdrawalKind, str]]:
    """Which of the keys have a tombstone."""
    rows = session.execute(
        select(Withdrawal.kind, Withdrawal.key).where(
            tuple_(Withdrawal.kind, Withdrawal.key).in_([(kind.value, key) for kind, key in keys])
        )
    )
    return {(kind, key) for kind, key in rows}


def withdrawn_authors(session: Session, author_ids: Iterable[int]) -> set[int]:
    """Which of the authors have a tombstone."""
    key = Author.platform + ":" + Author.account_id
    tombstone = (Withdrawal.kind == WithdrawalKind.AUTHOR) & (Withdrawal.key == key)
    statement = select(Author.id).join(Withdrawal, tombstone).where(Author.id.in_(list(author_ids)))
    return set(session.scalars(statement))


EntryKey = tuple[str | None, int | None, int | None]


def kept_before(session: Session, import_id: int, file_sha256s: Iterable[str]) -> dict[EntryKey, int]:
    """Entries of an earlier import that were not refused: (file, row, position) → candidate."""
    rows = session.execute(
        select(ImportEntry.file_sha256, ImportEntry.row, ImportEntry.position, ImportEntry.candidate_id).where(
            ImportEntry.import_id == import_id,
            ImportEntry.file_sha256.in_(list(file_sha256s)),
            ImportEntry.candidate_id.is_not(None),
        )
    )
    return {(file, row, position): candidate for file, row, position, candidate in rows if candidate}


def files_on_record(session: Session, import_id: int) -> set[str]:
    """Hashes of the names of an import's files."""
    return set(session.scalars(select(ImportFile.name_sha256).where(ImportFile.import_id == import_id)))


def newest_raw(session: Session, candidate_ids: Sequence[int]) -> dict[int, str]:
    """Candidate → hash of the newest caption that its source gave."""
    rows = session.execute(
        select(Caption.candidate_id, Caption.text_sha256)
        .where(Caption.candidate_id.in_(candidate_ids), Caption.kind == "raw")
        .order_by(Caption.candidate_id, Caption.version)
    )
    return dict(rows.all())
