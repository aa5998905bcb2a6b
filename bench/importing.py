"""An Instaloader folder imported, and imported again, by the function that a worker runs."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import rows
from bench.figures import Figure
from bench.ground import Ground
from bench.memory import PeakMemory
from bench.processes import in_fresh_process
from tests.factories import make_picture

ENTRIES = 10_000
FIRST = datetime(2024, 3, 1, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Imported:
    taken: int
    updated: int
    unchanged: int
    refused: int
    seconds: float
    peak: float
    peak_with_children: float


def run(ground: Ground) -> list[Figure]:
    count = ground.count(ENTRIES, least=100)
    with ground.folder_of("posts") as folder, ground.place() as environment:
        make_posts(folder, count)
        decoding = in_fresh_process(environment, decode_alone, folder)
        first, second = (in_fresh_process(environment, import_folder, folder) for _ in range(2))
    assert (first.taken, first.refused) == (count, 0), first
    assert second.unchanged == count, second
    rate = count / first.seconds
    files = f"{3 * count:,} files"
    return [
        Figure(f"Import of {count:,} entries", first.seconds, "s", files),
        Figure("Entries a second", rate, "entries/s", f"{count / decoding:.0f}/s for decoding in one process"),
        Figure("Peak memory of the import", first.peak, "MB", f"{first.peak_with_children:.0f} MB with its children"),
        Figure("The same import again", second.seconds, "s", f"{first.seconds:.1f} s the first time"),
        Figure("Entries that it changed", second.taken + second.updated, "", f"{count:,} entries", at_most=0),
        Figure("Peak memory of the second", second.peak, "MB", f"{second.peak_with_children:.0f} MB with its children"),
    ]


def make_posts(folder: Path, count: int) -> None:
    """Posts with one picture of 300 × 280 pixels each, no two alike, by fifty accounts."""
    from app.demo.instaloader import Post, write_post
    from app.demo.pictures import Picture

    for number in range(count):
        picture = Picture(make_picture(number), 300, 280, "noise", None)
        at = FIRST + timedelta(seconds=number)
        text = f"{rows.CAPTION}{number}{rows.TAIL}"
        write_post(folder, Post(f"path_demo_{number % 50}", at, text, (picture,)))


def import_folder(folder: Path) -> Imported:
    from app import jobs
    from app.accounts.policies import SYSTEM
    from app.db import transaction
    from app.intake import actions, locations, queries
    from app.tables import JobState
    from workers.intake import run_import

    with transaction() as session:
        source = actions.add_source(session, SYSTEM, actions.NewSource("bench"))
        made = actions.start_import(session, SYSTEM, locations.at_path(folder), source)
        import_id, job_id = made.id, made.job_id
    assert job_id
    job = jobs.claim(job_id)
    assert job
    start = time.perf_counter()
    with PeakMemory() as memory, job.heartbeat():
        run_import(job)
    seconds = time.perf_counter() - start
    job.finish(JobState.SUCCEEDED)
    with transaction() as session:
        counts = queries.counts(session, [import_id])[import_id]
    outcome = (counts.taken, counts.updated, counts.unchanged, counts.refused)
    return Imported(*outcome, seconds, memory.own, memory.with_children)


def decode_alone(folder: Path) -> float:
    """Seconds to read the pictures and write them anew, one after the other, without anything else."""
    from app.intake.pictures import clean

    start = time.perf_counter()
    for picture in sorted_pictures(folder):
        clean(picture.read_bytes())
    return time.perf_counter() - start


def sorted_pictures(folder: Path) -> Iterable[Path]:
    return sorted(folder.glob("*.jpg"))
