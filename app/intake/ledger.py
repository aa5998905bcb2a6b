"""The account of an import: what became of every entry and of every file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.intake import queries
from app.intake.policies import sha256_of
from app.intake.reasons import Reason
from app.intake.records import Ignored, Item, Picture, Record, Refused, plain_text
from app.intake.trees import distinct
from app.tables import EntryOutcome, FileOutcome, Import, ImportEntry, ImportFile


@dataclass(frozen=True)
class Copy:
    """Our clean copy of a picture, its blob stored already."""

    source_sha256: str
    sha256: str
    width: int
    height: int
    size: int


@dataclass
class Arrival:
    """One picture with one caption on its way into the ledger; `outcome` is set once and for all."""

    ordinal: int
    file_name: str
    row: int | None = None
    position: int | None = None
    record: Record | None = None
    picture: Picture | None = None
    copy: Copy | None = None
    outcome: EntryOutcome | None = None
    reason: Reason | None = None
    detail: str = ""
    candidate_id: int | None = None

    @property
    def caption(self) -> str:
        own = self.picture.caption if self.picture else None
        return own or (self.record.caption_raw if self.record else "")

    def taken_apart(self) -> tuple[Record, Picture, Copy]:
        """The parts that every entry has that was not refused while it was read."""
        assert self.record
        assert self.picture
        assert self.copy
        return self.record, self.picture, self.copy

    def refuse(self, reason: Reason, detail: str = "") -> None:
        self.outcome, self.reason, self.detail = EntryOutcome.REFUSED, reason, detail

    def settle(self, outcome: EntryOutcome, candidate_id: int) -> None:
        self.outcome, self.candidate_id = outcome, candidate_id


class Names:
    """Names of files as people know them: an upload's own name for its generated one, storable text.

    An upload whose name a file in the zip beside it bears is numbered.
    """

    def __init__(self, shown: Mapping[str, str], files: Iterable[str] = ()) -> None:
        self._shown = dict(zip(shown, distinct(shown.values(), files), strict=True))

    def __call__(self, name: str) -> str:
        return plain_text(self._shown.get(name, name))


@dataclass
class Batch:
    """What a reader yielded for one step of one import. `account` has the posts that name no author."""

    run: Import
    job_id: int | None
    account: str | None
    names: Names
    items: Sequence[Item]
    arrivals: list[Arrival]
    to_filter: list[int] = field(default_factory=list)

    def open(self) -> list[Arrival]:
        """The entries that nothing is decided about yet."""
        return [arrival for arrival in self.arrivals if arrival.outcome is None]


def arrivals_of(items: Iterable[Item], first: int, names: Names) -> list[Arrival]:
    """The entries among `items`, numbered from `first`."""
    arrivals: list[Arrival] = []
    for item in items:
        number = first + len(arrivals)
        if isinstance(item, Record):
            arrivals += [
                Arrival(number + n, names(picture.file), picture.row, picture.position, item, picture)
                for n, picture in enumerate(item.pictures)
            ]
        elif isinstance(item, Refused) and item.entry:
            refused = Arrival(number, names(item.file), item.row, item.position)
            refused.refuse(item.reason, plain_text(item.detail))
            arrivals.append(refused)
    return arrivals


def write_entries(session: Session, batch: Batch) -> None:
    rows = [
        {
            "import_id": batch.run.id,
            "ordinal": arrival.ordinal,
            "outcome": arrival.outcome,
            "reason": arrival.reason,
            "detail": arrival.detail,
            "row": arrival.row,
            "position": arrival.position,
            "file_sha256": sha256_of(arrival.file_name) if arrival.file_name else None,
            "file_name": arrival.file_name,
            "candidate_id": arrival.candidate_id,
        }
        for arrival in batch.arrivals
    ]
    if rows:
        session.execute(insert(ImportEntry), rows)


@dataclass(frozen=True)
class FileSeen:
    """What became of one file of the input."""

    name: str
    outcome: FileOutcome
    kind: str | None = None
    reason: Reason | None = None


def files_of(batch: Batch) -> list[FileSeen]:
    """Every file of the batch once. A picture is used if one of its entries was kept, else refused as they were."""
    seen: dict[str, FileSeen] = {}
    refused = {a.picture.file: a.reason for a in batch.arrivals if a.picture and a.reason}
    kept = {a.picture.file for a in batch.arrivals if a.picture and not a.reason}
    for item in batch.items:
        if isinstance(item, Ignored):
            seen[item.file] = FileSeen(batch.names(item.file), FileOutcome.IGNORED, kind=item.kind)
        elif isinstance(item, Refused):
            for file in item.files:
                seen[file] = FileSeen(batch.names(file), FileOutcome.REFUSED, reason=item.reason)
        else:
            for file in (*item.files, *(picture.file for picture in item.pictures)):
                reason = None if file in kept else refused.get(file)
                outcome = FileOutcome.REFUSED if reason else FileOutcome.USED
                seen[file] = FileSeen(batch.names(file), outcome, reason=reason)
    return list(seen.values())


def write_files(session: Session, import_id: int, files: Iterable[FileSeen]) -> None:
    """One row a file; the first word on it stands, unless it serves a later entry: then it is used."""
    rows = [
        {
            "import_id": import_id,
            "name_sha256": sha256_of(file.name),
            "name": file.name,
            "outcome": file.outcome,
            "kind": file.kind,
            "reason": file.reason,
        }
        for file in {file.name: file for file in files}.values()
    ]
    if not rows:
        return
    statement = insert(ImportFile).values(rows)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["import_id", "name_sha256"],
            set_={"outcome": FileOutcome.USED, "kind": None, "reason": None},
            where=statement.excluded.outcome == FileOutcome.USED,
        )
    )


def account_for(session: Session, import_id: int, names: Iterable[str]) -> None:
    """Refuses the files that no reader spoke of, so that every file of the input is on record."""
    spoken_of = queries.files_on_record(session, import_id)
    missing = [name for name in names if sha256_of(name) not in spoken_of]
    for start in range(0, len(missing), 1000):
        batch = missing[start : start + 1000]
        refused = [FileSeen(name, FileOutcome.REFUSED, reason=Reason.UNKNOWN_FORMAT) for name in batch]
        write_files(session, import_id, refused)


def close(session: Session, run: Import, job_id: int | None) -> None:
    """Ends an import once: its time, and one event with what became of everything."""
    ending = (
        update(Import)
        .where(Import.id == run.id, Import.finished_at.is_(None))
        .values(finished_at=func.clock_timestamp())
        .returning(Import.id)
    )
    if session.execute(ending).scalar_one_or_none() is None:
        return
    counts = queries.counts(session, [run.id])[run.id]
    files = queries.file_counts(session, run.id)
    details = {
        "taken": counts.taken,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "refused": counts.refused,
        "files_used": files.used,
        "files_ignored": sum(files.ignored.values()),
        "files_refused": sum(files.reasons.values()),
    }
    jobs.record(session, "import.finished", "import", run.id, job_id=job_id, details=details)
