"""A snapshot of accepted pairs, by the function that a worker runs."""

import hashlib
import io
import os
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import rows
from bench.figures import Figure
from bench.ground import Ground
from bench.memory import MB, PeakMemory
from bench.processes import in_fresh_process
from tests.factories import make_picture

PAIRS = 10_000
COPIES = 2  # a release holds every picture in a shard and in a table


@dataclass(frozen=True)
class Made:
    seconds: float
    before: float
    peak: float
    size: float
    plain_seconds: float


def run(ground: Ground) -> list[Figure]:
    count = ground.count(PAIRS, least=200)
    few = measure(ground, count // 10)
    many = measure(ground, count)
    plain = f"{many.plain_seconds:.1f} s for tar files of as many bytes"
    base = f"{many.before:.0f} MB before it began"
    tenth = f"{few.peak:.0f} MB with {count // 10:,} pairs"
    return [
        Figure(f"Snapshot of {count:,} pairs, {many.size:.0f} MB", many.seconds, "s", plain, at_most=5),
        Figure("Peak memory of the snapshot", many.peak, "MB", f"{base}, {tenth}"),
    ]


def measure(ground: Ground, count: int) -> Made:
    with ground.place() as environment:
        pictures = store_pictures(Path(environment["IPATH_HOME"]) / "blobs", count)
        rows.people(environment["DATABASE_URL"], ["alder"])
        rows.accepted(environment["DATABASE_URL"], pictures)
        return in_fresh_process(environment, make_snapshot, [sha256 for sha256, _ in pictures])


def store_pictures(blobs: Path, count: int) -> list[rows.Picture]:
    """Pictures where the blob store expects them, without its care for durability."""
    made = []
    for number in range(count):
        data = make_picture(number)
        sha256 = hashlib.sha256(data).hexdigest()
        path = blobs / sha256[:2] / sha256[2:4] / sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        made.append((sha256, len(data)))
    os.sync()
    return made


def make_snapshot(pictures: list[str]) -> Made:
    from app import jobs
    from app.accounts.policies import SYSTEM
    from app.config import settings
    from app.db import transaction
    from app.snapshots import actions
    from app.tables import JobState
    from workers.snapshot import run_snapshot

    with transaction() as session:
        job_id = actions.make_snapshot(session, SYSTEM, len(pictures) // 20, len(pictures) // 10, "").id
    job = jobs.claim(job_id)
    assert job
    start = time.perf_counter()
    with PeakMemory() as memory, job.heartbeat():
        run_snapshot(job)
    seconds = time.perf_counter() - start
    job.finish(JobState.SUCCEEDED)
    release = settings().snapshots_path / "v0001"
    size = sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
    return Made(seconds, memory.before, memory.own, size / MB, plain_tars(pictures))


def plain_tars(pictures: list[str]) -> float:
    """Seconds to copy the pictures from the blob store into plain tar files, as often as a release holds them."""
    from app.config import settings
    from app.storage import blobs

    start = time.perf_counter()
    for copy in range(COPIES):
        with (settings().home_path / f"plain-{copy}.tar").open("wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for sha256 in pictures:
                    data = blobs().get(sha256)
                    member = tarfile.TarInfo(f"{sha256}.jpg")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
            os.fsync(file.fileno())
    return time.perf_counter() - start
