"""Label sets and the domain classifier that is trained on one."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.db import transaction
from app.intake.pictures import PictureCleaner, PictureRefused
from app.jobs import RunningJob
from app.prefilter import actions, queries
from app.storage import blobs
from app.tables import Classifier, Image, Job, Label, LabelSet, WorkQueue
from workers.vectors import register_efficientnet, vectors_of

log = structlog.get_logger()

BATCH = 25
POSITIVE = "histology"

T = TypeVar("T")


def run_label_set(job: RunningJob) -> None:
    """Reads a CSV of `file,label[,group]` beside its pictures into a label set; then trains if asked.

    Arguments: name, note, csv, pictures (the folder that `file` is relative to), train.
    """
    name, note = job.arguments["name"], job.arguments.get("note", "")
    with job.step() as session:
        statement = insert(LabelSet).values(name=name, note=note).on_conflict_do_nothing()
        session.execute(statement)
        label_set_id = session.scalars(select(LabelSet.id).where(LabelSet.name == name)).one()
    rows = list(_rows(Path(job.arguments["csv"]), Path(job.arguments["pictures"])))
    job.total, job.unit = len(rows), "pictures"
    with PictureCleaner() as cleaner:
        for some in _batches(rows[job.done :]):
            _take(job, cleaner, label_set_id, some)
    with job.step() as session:
        jobs.record(session, "label_set.loaded", "label_set", label_set_id, job_id=job.id, details={"count": job.done})
        if job.arguments.get("train"):
            train(session, label_set_id, job.requested_by)


def train(session: Session, label_set_id: int, user_id: int | None) -> Job:
    """Asks for a domain classifier trained on a label set."""
    return jobs.submit(
        session,
        "train_classifier",
        WorkQueue.GPU,
        {"label_set": label_set_id},
        dedupe=f"train_classifier:{label_set_id}",
        unit="pictures",
        requested_by=user_id,
    )


@dataclass(frozen=True)
class Labelled:
    """A picture of a label set; pictures of one `group` (a slide, an author) are never on both sides of a test."""

    path: Path
    label: str
    group: str | None


def _rows(table: Path, pictures: Path) -> Iterator[Labelled]:
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Labelled(pictures / row["file"], row["label"].strip(), row.get("group") or None)


def _batches(rows: list[T]) -> Iterator[list[T]]:
    return (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))


def _take(job: RunningJob, cleaner: PictureCleaner, label_set_id: int, rows: list[Labelled]) -> None:
    """One step's pictures, cleaned and stored before the rows that name them."""
    images: dict[str, dict[str, object]] = {}
    labels: dict[str, Labelled] = {}
    for row in rows:
        try:
            picture = cleaner.clean(row.path.read_bytes())
        except PictureRefused as error:
            log.warning("label_picture_refused", reason=error.reason.value)
            continue
        blobs().put(picture.data)
        images[picture.sha256] = {
            "sha256": picture.sha256,
            "source_sha256": picture.source_sha256,
            "width": picture.width,
            "height": picture.height,
            "size": len(picture.data),
        }
        labels[picture.sha256] = row
    with job.step() as session:
        if images:
            session.execute(insert(Image).on_conflict_do_nothing(), list(images.values()))
            ids = dict(session.execute(select(Image.sha256, Image.id).where(Image.sha256.in_(labels))).all())
            named = [
                {"label_set_id": label_set_id, "image_id": ids[sha256], "label": row.label, "group": row.group}
                for sha256, row in labels.items()
            ]
            session.execute(insert(Label).on_conflict_do_nothing(), named)
        job.done += len(rows)


def run_train_classifier(job: RunningJob) -> None:
    """Fits a linear head on EfficientNet-Lite0 features of a label set, and takes it into use."""
    import numpy as np

    from workers.ml.classifier import fit

    label_set_id = job.arguments["label_set"]
    encoder = register_efficientnet(job)
    with transaction() as session:
        label_set = queries.label_set(session, label_set_id)
        labelled = queries.labels(session, label_set_id)
    job.total, job.unit = len(labelled), "pictures"
    rows = []
    for some in _batches(labelled):
        rows.append(vectors_of(job, encoder, [(one.image_id, one.sha256) for one in some]))
        job.done += len(some)
        job.check()
    groups = [one.group or one.sha256 for one in labelled]
    head = fit(np.concatenate(rows), [one.label == POSITIVE for one in labelled], seed=0, groups=groups)
    with job.step() as session:
        held_out = dict(zip((one.sha256 for one in labelled), head.held_out.round(6).tolist(), strict=True))
        stored = head.to_json() | {"held_out": held_out}
        made = Classifier(
            name=f"head {job.id} on {encoder.name}",
            encoder_id=encoder.id,
            label_set_id=label_set.id,
            head=stored,
            metrics=stored["cross_validation"],
            made_by=job.requested_by,
        )
        session.add(made)
        session.flush()
        details = {"label_set": label_set.id, "pictures": len(labelled)}
        jobs.record(session, "classifier.trained", "classifier", made.id, job_id=job.id, details=details)
        actions.use_classifier(session, job.requested_by, made.id)
