"""The snapshot job: freeze once, then write the files, again from the start if killed half-way; then count words."""

import shutil

from sqlalchemy import func

from app import jobs
from app.db import sessions, transaction
from app.jobs import RunningJob
from app.snapshots import building, queries
from app.snapshots.formats.build import COPIES
from app.snapshots.formats.manifest import read_manifest
from app.snapshots.freezing import freeze
from app.snapshots.member import RELEASED
from app.tables import WaitReason, WorkQueue

ROOM = 2.2  # shards and tables each hold every picture once


def run_snapshot(job: RunningJob) -> None:
    """Freezes the accepted pairs as the next snapshot and writes its folder. Fails when there is none."""
    if "number" not in job.cursor:
        _freeze(job)
    with transaction() as session:
        snapshot = queries.numbered(session, job.cursor["number"])
        info = building.info_of(session, snapshot)
    folder = building.folder_of(snapshot.number)
    _check_room(snapshot.setting["bytes"])
    if not folder.exists():
        building.write(snapshot, info, folder, lambda done: _progress(job, done))
    files = {entry["path"]: entry for entry in read_manifest(folder)["files"]}
    with job.step() as session:
        found = queries.numbered(session, snapshot.number)
        found.files = building.all_files(folder, files)
        found.built_at = func.clock_timestamp()
        job.done = job.total or 0
        jobs.record(session, "snapshot.built", "snapshot", snapshot.number, job_id=job.id)
        about = {"snapshot": snapshot.number}
        jobs.submit(session, "count_tokens", WorkQueue.CPU, about, dedupe=f"count_tokens:{snapshot.number}")


def run_count_tokens(job: RunningJob) -> None:
    """Counts a snapshot's captions that are too long for a model. A job of its own: who writes files has no torch."""
    from workers.ml.tokens import beyond_context

    with sessions()() as session:
        snapshot = queries.numbered(session, job.arguments["snapshot"])
        counted = beyond_context(queries.released_captions(session, snapshot))
    with job.step() as session:
        found = queries.numbered(session, snapshot.number)
        found.report = {**found.report, "beyond_context": counted._asdict()}


def _freeze(job: RunningJob) -> None:
    arguments = job.arguments
    with job.step(limited=False) as session:
        snapshot = freeze(session, job.requested_by, job.id, arguments["val"], arguments["test"], arguments["note"])
        counts = snapshot.report["counts"]
        job.cursor = {"number": snapshot.number}
        pairs = sum(counts[split] for split in RELEASED)
        job.total = COPIES * pairs
        job.message = f"Writing v{snapshot.number:04d}"
        details = {"pairs": pairs, "counts": counts}
        jobs.record(
            session,
            "snapshot.frozen",
            "snapshot",
            snapshot.number,
            user_id=job.requested_by,
            job_id=job.id,
            details=details,
        )


def _check_room(size: int) -> None:
    folder = building.folder_of(1).parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size * ROOM:
        needed = (size * ROOM - free) / 1e9
        raise jobs.Wait(WaitReason.DISK, 60, f"Needs {needed:.1f} GB more room; it is frozen and goes on by itself.")


def _progress(job: RunningJob, done: int) -> None:
    job.check()
    if done - job.done >= 500 or done == job.total:
        with job.step():
            job.done = done
