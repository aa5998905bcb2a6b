"""Reading an evaluation set: recognise its layout, decode every picture once, keep its items and what is wrong."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from PIL import Image, ImageOps
from sqlalchemy import func

from app import jobs
from app.db import transaction
from app.errors import Invalid
from app.evaluation import actions, catalogue, folders, queries
from app.jobs import RunningJob
from app.publish import publish_file
from app.tables import EvaluationSet
from workers.evaluation_sets import NotRecognised, Recognised, Unreadable, open_picture, recognise, verify
from workers.set_files import file_digests

log = structlog.get_logger()

SIDE = 176
SAMPLES = 6  # a class
NAMED = 100  # of what is wrong, on the page; the file has all


def run_read_set(job: RunningJob) -> None:
    """Recognises a registered folder and decodes its pictures; a killed one goes on behind the last kept chunk.

    Where counts differ from the published ones, an admin has to say yes before anything is measured on it.
    Arguments: set, layout ("" to have it recognised). Raises Invalid for a folder that is no set.
    """
    with transaction() as session:
        row = queries.set_row(session, job.arguments["set"])
    root = folders.place(row.folder)
    job.message = "Recognising the layout"
    with job.step():
        pass
    try:
        found = recognise(root, job.arguments["layout"] or None, lambda _done, _total: job.check())
    except NotRecognised as error:
        raise Invalid(str(error), "Put the folder right and read it again.") from error
    found = _verified(job, root, found)
    if not any(found.variants.values()):
        name, why = found.skipped[-1]
        raise Invalid(f"No picture of the folder can be read: of {name}, {why}.", "Put it right and read it again.")
    numbers = numbered(found)
    job.message = "Hashing the files"
    with job.step():
        pass
    items_sha256 = write_items(row.id, found, numbers, file_digests(root, list(numbers), job.check, anew=True))
    samples = _samples(found, numbers)
    for item_id in sorted(item_id for some in samples.values() for item_id in some):
        thumbnail(folders.thumbnail_file(row.id, items_sha256, numbers[item_id]), root, found.layout, item_id)
    _write_problems(folders.problems_file(row.id, items_sha256), found)
    _keep(job, row, found, items_sha256, {label: [numbers[one] for one in ids] for label, ids in samples.items()})


def _verified(job: RunningJob, root: Path, found: Recognised) -> Recognised:
    broken: dict[str, str] = dict(job.cursor.get("broken", {}))

    def tell(done: int, total: int) -> None:
        job.done, job.total = done, total
        job.cursor = {"done": done, "broken": broken}
        with job.step():
            pass

    job.message = "Decoding every picture"
    return verify(root, found, tell, start=job.cursor.get("done", 0), broken=broken)


def numbered(found: Recognised) -> dict[str, int]:
    """Item id → its number in this reading of the folder, from 1 by id, the same in all variants."""
    ids = sorted({item.id for items in found.variants.values() for item in items})
    return {item_id: number for number, item_id in enumerate(ids, 1)}


def _samples(found: Recognised, numbers: dict[str, int]) -> dict[str, list[str]]:
    """A few items a class, drawn by their numbers."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for item in found.variants[found.default_variant]:
        by_class[item.label].append(item.id)
    draw = random.Random(len(numbers))  # noqa: S311  # a fair look at a set, not a secret
    return {label: sorted(draw.sample(ids, min(SAMPLES, len(ids)))) for label, ids in sorted(by_class.items())}


def thumbnail(path: Path, root: Path, layout: str, item_id: str) -> None:
    """Keeps a small copy of a picture, so that the web process never decodes a file of the set."""
    if path.is_file():
        return
    with suppress(Unreadable):
        small = ImageOps.fit(open_picture(root, layout, item_id, 2 * SIDE), (SIDE, SIDE), Image.Resampling.LANCZOS)
        with publish_file(path) as draft:
            small.save(draft.file, "JPEG", quality=85)


def _keep(
    job: RunningJob,
    row: EvaluationSet,
    found: Recognised,
    items_sha256: str,
    samples: dict[str, list[int]],
) -> None:
    pictures = len({item.id for items in found.variants.values() for item in items})
    report = report_of(found) | {"samples": samples, "pictures": pictures}
    with job.step() as session:
        kept = queries.set_row(session, row.id)
        if found.differences and kept.items_sha256 == items_sha256 and kept.ready_at:
            report |= {"accepted_by": kept.report.get("accepted_by", "")}  # the same was accepted before
        else:
            kept.ready_at = None if found.differences else func.clock_timestamp()
        kept.layout, kept.importer_version = found.layout, found.importer_version
        kept.report, kept.items_sha256 = report, items_sha256
        kept.licence = catalogue.known(found.layout).licence
        actions.add_defaults(session, kept, found.classes, found.templates)
        job.message, job.done = "", job.total or 0
        details = {"pictures": pictures, "skipped": len(found.skipped), "differences": len(found.differences)}
        jobs.record(session, "evaluation_set.read", "evaluation_set", row.id, job_id=job.id, details=details)


def write_items(set_id: int, found: Recognised, numbers: dict[str, int], files: dict[str, str]) -> str:
    """Publishes the items under the SHA-256 of what they are, with the digests of their `files`, and returns it."""
    rows = [
        (variant, numbers[item.id], item.id, item.label, item.split, item.group, files[item.id], item.caption)
        for variant, items in found.variants.items()
        for item in items
    ]
    names = ("variant", "number", "id", "label", "split", "group", "file", "caption")
    columns: dict[str, Any] = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    sha256 = folders.digest(rows)
    folders.write_table(folders.items_file(set_id, sha256), columns)
    return sha256


def report_of(found: Recognised) -> dict[str, Any]:
    """What the set's page says of a reading."""
    return {
        "classes": found.classes,
        "default_variant": found.default_variant,
        "variants": {name: _shape(items) for name, items in found.variants.items()},
        "skipped": {"count": len(found.skipped), "first": found.skipped[:NAMED]},
        "missing": {"count": len(found.missing), "first": found.missing[:NAMED]},
        "warnings": found.warnings,
        "differences": found.differences,
    }


def _shape(items: Iterable[Any]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    splits: Counter[str] = Counter()
    groups: dict[str, set[str]] = defaultdict(set)
    for item in items:
        counts[item.label][item.split] += 1
        splits[item.split] += 1
        groups[item.split].add(item.group)
    on_both = len(groups["train"] & groups["test"])
    return {
        "counts": {label: dict(some) for label, some in sorted(counts.items())},
        "splits": dict(splits),
        "groups": {split: len(some) for split, some in groups.items() if some},
        "leaking_groups": on_both,
    }


def _write_problems(path: Path, found: Recognised) -> None:
    unread = set(found.unread)
    rows = [(name, "unreadable" if (name, why) in unread else "skipped", why) for name, why in found.skipped]
    rows += [(name, "missing", "a label names it, and it is not there") for name in found.missing]
    folders.write_table(path, {name: [row[at] for row in rows] for at, name in enumerate(("path", "what", "why"))})
