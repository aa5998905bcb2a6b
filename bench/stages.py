"""Images a second of every stage of the pre-filter and of all of them, as a worker runs them, and memory."""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure
from bench.ground import Ground
from bench.importing import import_folder, make_posts
from bench.memory import PeakMemory
from bench.processes import in_fresh_process

PICTURES = 1000


@dataclass(frozen=True)
class Ran:
    seconds: dict[str, float]
    peak: float
    reviewed: int


def run(ground: Ground) -> list[Figure]:
    count = ground.count(PICTURES, least=100)
    few, all_ = (measured(ground, number) for number in (count // 4, count))
    whole = sum(all_.seconds.values())
    figures = [
        Figure(f"{name.capitalize()}", count / seconds, "images/s", f"{100 * seconds / whole:.0f} % of the time")
        for name, seconds in all_.seconds.items()
    ]
    return [
        *figures,
        Figure(f"All stages, {count:,} images", count / whole, "images/s", f"{all_.reviewed:,} went on to reviewers"),
        Figure("Peak memory", all_.peak, "MB", f"{few.peak:.0f} MB with {count // 4:,} images"),
    ]


def measured(ground: Ground, count: int) -> Ran:
    with ground.folder_of("posts") as folder, ground.place() as environment:
        make_posts(Path(folder), count)
        in_fresh_process(environment, import_folder, folder)
        return in_fresh_process(environment, run_stages)


def run_stages() -> Ran:
    from sqlalchemy import func, select

    from app import jobs
    from app.db import transaction
    from app.prefilter import due, stages
    from app.tables import Candidate, CandidateState, Job
    from workers.prefilter import run_stage

    seconds: dict[str, float] = {}
    with PeakMemory() as memory:
        for stage in stages.STAGES:
            start = time.perf_counter()
            with transaction() as session:
                session.execute(Job.__table__.update().values(not_before=func.to_timestamp(0)))
                job_id = due.submit_stage(session, stage).id
            job = jobs.claim(job_id)
            assert job
            while True:
                try:
                    run_stage(job)
                    break
                except jobs.Wait:
                    continue
            seconds[stage.name] = time.perf_counter() - start
    with transaction() as session:
        waiting = Candidate.state == CandidateState.QUEUED
        reviewed = session.scalar(select(func.count()).where(waiting)) or 0
    return Ran(seconds, memory.own, reviewed)
