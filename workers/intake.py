"""The import job: reads a place, cleans its pictures in child processes, and writes the ledger step by step.

The cursor counts what the reader yielded; readers yield the same in the same order, so a job that was killed
goes on by passing over as much. Pictures are cleaned and stored before the step that names them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from app.db import sessions
from app.errors import Conflict, Invalid
from app.intake import ledger, locations, queries, taking
from app.intake.formats import Format, FormatUnknown, NotUnicode, detect
from app.intake.ledger import Arrival, Batch, Copy, Names
from app.intake.pictures import CleanPicture, PictureCleaner
from app.intake.policies import belongs, sha256_of, sha256_of_bytes
from app.intake.reasons import Reason
from app.intake.records import Item, Record, Refused
from app.intake.trees import FileTooLarge, FileTree
from app.jobs import RunningJob
from app.storage import blobs
from app.tables import EntryOutcome, Import, Source, SourceKind

ENTRIES_A_STEP = 25
ITEMS_A_STEP = 500
PICTURES_AT_ONCE = 8
PICTURE_LIMIT = 40_000_000


def run_import(job: RunningJob) -> None:
    """Runs or goes on with an import. Raises Invalid, NotFound or Conflict with what a person can do."""
    with job.step() as session:
        run, source = queries.import_of_job(session, job.arguments["import"])
        run.job_id = job.id
    tree = locations.open_place(run.location)
    found = format_of(job, tree, run)
    given = [*(entry.name for entry in tree.entries), *(name for name, _ in tree.unsafe)]
    names = Names(locations.shown_names(run.location), given)
    files = {names(name) for name in given}
    begin(job, found, len(files))
    items = found.read(tree)
    with PictureCleaner() as cleaner:
        importing = Importing(job, run, source, names, tree, cleaner)
        for batch in batches(islice(items, job.cursor["items"], None)):
            importing.take(batch)
    finish(job, run, files)


def format_of(job: RunningJob, tree: FileTree, run: Import) -> Format:
    """The format of the files. Raises Invalid; where an encoding must be confirmed, the import's page then asks."""
    try:
        return detect(tree, western=run.options.get("western", False))
    except FormatUnknown as error:
        if isinstance(error, NotUnicode):
            with job.step() as session:
                asking = queries.import_of_job(session, run.id)[0]
                asking.options = asking.options | {"western": False}
        raise Invalid(locations.with_labels(run.location, str(error))) from error


def begin(job: RunningJob, found: Format, files: int) -> None:
    """Notes what is read. Raises Conflict when the files changed since the part that is done."""
    if job.cursor.get("total", files) != files:
        raise Conflict(
            "The files changed since this import began. What it took is kept.",
            "Start a new import; what is in already stays unchanged.",
        )
    with job.step() as session:
        queries.import_of_job(session, job.arguments["import"])[0].format = found.name
        job.cursor = {"items": 0, "entries": 0, "files": 0} | job.cursor | {"total": files}
        job.total, job.unit, job.message = files, "files", found.name


def finish(job: RunningJob, run: Import, files: Iterable[str]) -> None:
    with job.step() as session:
        ledger.account_for(session, run.id, sorted(files))
        ledger.close(session, run, job.id)
        job.done = job.total or 0


def batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    """What one step takes: some 25 entries, or many files that are none."""
    batch: list[Item] = []
    entries = 0
    for item in items:
        batch.append(item)
        entries += len(item.pictures) if isinstance(item, Record) else isinstance(item, Refused) and item.entry
        if entries >= ENTRIES_A_STEP or len(batch) >= ITEMS_A_STEP:
            yield batch
            batch, entries = [], 0
    if batch:
        yield batch


class Importing:
    """An import under way: what all its steps share."""

    def __init__(
        self, job: RunningJob, run: Import, source: Source, names: Names, tree: FileTree, cleaner: PictureCleaner
    ) -> None:
        self.job = job
        self.run = run
        self.names = names
        self.tree = tree
        self.cleaner = cleaner
        self.scope = f"{source.id}/"
        self.account = source.name.lstrip("@") if source.kind is SourceKind.ACCOUNT else None
        self.retried: int | None = run.options.get("only_refused_of")

    def take(self, items: Sequence[Item]) -> None:
        """Cleans the pictures of `items`, then writes them in one step with the cursor behind them."""
        scoped = [self.scoped(item) for item in items]
        arrivals = ledger.arrivals_of(scoped, self.job.cursor["entries"] + 1, self.names)
        batch = Batch(self.run, self.job.id, self.account, self.names, scoped, arrivals)
        if self.retried:
            self.keep_what_was_kept(batch, self.retried)
        self.add_copies(batch)
        cursor = self.job.cursor
        files = cursor["files"] + len(ledger.files_of(batch))
        with self.job.step() as session:
            taking.take(session, batch)
            moved = {"items": cursor["items"] + len(items), "entries": cursor["entries"] + len(arrivals)}
            self.job.cursor = cursor | moved | {"files": files}
            self.job.done = min(files, self.job.total or files)

    def scoped(self, item: Item) -> Item:
        """Rows of a table are numbered by whoever made it: their keys hold within their source only."""
        if isinstance(item, Record) and item.shortcode is None and item.media_pk is None:
            return replace(item, natural_key=self.scope + item.natural_key)
        return item

    def keep_what_was_kept(self, batch: Batch, import_id: int) -> None:
        """Entries that the import tried again here did not refuse are unchanged; their pictures are not read."""
        hashes = {arrival.file_name: sha256_of(arrival.file_name) for arrival in batch.open()}
        with sessions()() as session:
            kept = queries.kept_before(session, import_id, hashes.values())
        for arrival in batch.open():
            candidate = kept.get((hashes[arrival.file_name], arrival.row, arrival.position))
            if candidate:
                arrival.settle(EntryOutcome.UNCHANGED, candidate)

    def add_copies(self, batch: Batch) -> None:
        """Gives every entry the clean copy of its picture, or refuses it."""
        by_file: dict[str, list[Arrival]] = {}
        for arrival in batch.open():
            if arrival.picture:
                by_file.setdefault(arrival.picture.file, []).append(arrival)
        files = iter(by_file)
        while group := list(islice(files, PICTURES_AT_ONCE)):
            self.job.check()
            for name, copy in self.copies(group).items():
                for arrival in by_file[name]:
                    give_copy(arrival, copy)

    def copies(self, files: Sequence[str]) -> dict[str, "Copy | Refusal"]:
        """File → its clean copy; what was received before byte for byte is not decoded again."""
        found: dict[str, Copy | Refusal] = {}
        received: dict[str, bytes] = {}
        for name in files:
            data = self.read(name)
            if isinstance(data, bytes):
                received[name] = data
            else:
                found[name] = data
        known = known_copies(received.values())
        found |= {name: known[sha] for name, data in received.items() if (sha := sha256_of_bytes(data)) in known}
        fresh = [name for name in received if name not in found]
        for name, result in zip(fresh, self.cleaner.clean_all([received[name] for name in fresh]), strict=True):
            found[name] = stored(result) if isinstance(result, CleanPicture) else (result.reason, result.detail)
        return found

    def read(self, name: str) -> "bytes | Refusal":
        try:
            return self.tree.read(name, PICTURE_LIMIT)
        except FileTooLarge:
            return Reason.IMAGE_TOO_LARGE, f"more than {PICTURE_LIMIT // 1_000_000} MB"
        except OSError as error:
            return Reason.IMAGE_UNREADABLE, error.strerror or "its bytes can't be read"


Refusal = tuple[Reason, str]


def known_copies(received: Iterable[bytes]) -> dict[str, Copy]:
    """Hash of bytes as received → the copy made of them in an earlier import."""
    with sessions()() as session:
        images = queries.images_received_as(session, {sha256_of_bytes(data) for data in received})
    return {
        sha256: Copy(sha256, image.sha256, image.width, image.height, image.size) for sha256, image in images.items()
    }


def stored(picture: CleanPicture) -> Copy:
    """The copy, after its bytes are safely in the store."""
    blobs().put(picture.data)
    return Copy(picture.source_sha256, picture.sha256, picture.width, picture.height, len(picture.data))


def give_copy(arrival: Arrival, copy: "Copy | Refusal") -> None:
    if not isinstance(copy, Copy):
        arrival.refuse(*copy)
        return
    picture = arrival.picture
    declared = (picture.declared_width, picture.declared_height) if picture else (None, None)
    if belongs(declared, copy.width, copy.height):
        arrival.copy = copy
    else:
        detail = f"{copy.width} × {copy.height} pixels, the post says {declared[0]} × {declared[1]}"
        arrival.refuse(Reason.OTHER_POST, detail)
