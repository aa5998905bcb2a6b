"""Runs of the product: rows, snapshots of drawn pairs, and the job that trains them, as a worker runs it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image as Picture
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import SYSTEM, Actor
from app.config import settings
from app.curation import actions as curation
from app.curation import leases
from app.db import transaction
from app.snapshots import actions as snapshots
from app.storage import blobs
from app.tables import Image, Job, JobState, ReviewKind, Run, Snapshot, WorkQueue
from app.training.settings import TrainingSettings
from tests.factories import FAR, make_candidate, make_person
from tests.training.shards import QUICK, pair
from workers import main as worker


def accept_pairs(
    session: Session, count: int, authors: int, pair: Callable[[int], tuple[bytes, str]] = pair
) -> list[int]:
    """Accepted pairs with the pictures (64 px) and captions of `pair`, spread over so many authors."""
    actor = make_person(session, f"alder{uuid4().hex[:8]}")
    return [_accepted(session, actor, number, f"drawer_{number % authors}", *pair(number)) for number in range(count)]


def _accepted(session: Session, actor: Actor, number: int, author: str, data: bytes, caption: str) -> int:
    made = make_candidate(session, caption=caption, author=author)
    sha256 = blobs().put(_different(data, number))
    stored = session.get_one(Image, made.image_id)
    stored.sha256 = stored.source_sha256 = sha256
    stored.width = stored.height = 64
    leases.release(session, actor, FAR)
    lease = next(lease for lease in leases.hold(session, actor) if lease.candidate_id == made.id)
    sent = curation.Decision(
        made.id, lease.token, made.caption_version, uuid4(), ReviewKind.ACCEPT, caption, fields={"stain": "he"}
    )
    curation.decide(session, actor, sent)
    return made.id


def _different(data: bytes, number: int) -> bytes:
    """Pictures of equal bytes are one image; each is to be one of its own."""
    picture = Picture.open(io.BytesIO(data))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, comment=str(number).encode())
    return buffer.getvalue()


def freeze(val: int = 8, test: int = 2) -> Snapshot:
    with transaction() as session:
        job_id = snapshots.make_snapshot(session, SYSTEM, val, test, "").id
    worker.run_job(job_id)
    with transaction() as session:
        done = session.get_one(Job, job_id)
        assert done.state is JobState.SUCCEEDED, done.error
        return session.scalars(select(Snapshot).order_by(Snapshot.number.desc()).limit(1)).one()


def launch(rules: TrainingSettings = QUICK, **values: Any) -> tuple[Run, Job]:
    """A run with its job, not yet started. Without a base it starts from random weights of the tiny network."""
    start = {} if "base_id" in values else {"architecture": "tiny_clip.json"}
    with transaction() as session:
        run = Run(recipe="scratch", settings=rules.as_json(), **start, **values)
        session.add(run)
        session.flush()
        job = jobs.submit(session, "finetune", WorkQueue.TRAIN, {"run": run.id}, unit="steps")
        run.job_id = job.id
    return run, job


def work(job: Job) -> Job:
    worker.run_job(job.id)
    with transaction() as session:
        return session.get_one(Job, job.id)


def now(run: Run) -> Run:
    with transaction() as session:
        return session.get_one(Run, run.id)


def put_config(name: str = "tiny_clip.json") -> Path:
    """The tiny network's config in the models folder, where architectures are looked for."""
    folder = settings().models_path
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes((Path(__file__).parents[1] / "tiny_clip.json").read_bytes())
    return path
