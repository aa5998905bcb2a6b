"""A models folder with small networks that the tests make, and jobs run as a worker does."""

import shutil
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from sqlalchemy import select, update
from torch import Tensor

from app import jobs
from app.accounts.policies import SYSTEM
from app.config import settings
from app.db import transaction
from app.encoders import actions, queries
from app.encoders.actions import NewEncoder
from app.prefilter import queries as stage_queries
from app.tables import Embedding, Encoder, Image, Job, JobState
from tests.factories import make_candidate
from workers import main as worker

TINY = Path(__file__).parents[1] / "tiny_clip.json"
TINY_CLIP = NewEncoder("open_clip", "tiny_clip.json", checkpoint="run-1.safetensors")
SECOND = NewEncoder("open_clip", "tiny_clip.json", checkpoint="run-2.safetensors")


def tiny_state(seed: int = 5) -> dict[str, Tensor]:
    open_clip.add_model_config(TINY)
    torch.manual_seed(seed)
    model = open_clip.create_model("tiny_clip", pretrained_text=False)
    return {name: value.clone().contiguous() for name, value in model.state_dict().items()}


def fill_models_folder() -> Path:
    """The folder that the settings name, with a config and weights `run-1.safetensors`, `run-2.safetensors`."""
    folder = settings().models_path
    folder.mkdir(parents=True)
    shutil.copy(TINY, folder)
    for number in (1, 2):
        save_file(tiny_state(number), folder / f"run-{number}.safetensors")
    return folder


def run(job: Job) -> Job:
    """The job after a worker had it."""
    worker.run_job(job.id)
    return again(job)


def again(job: Job) -> Job:
    with transaction() as session:
        return session.get_one(Job, job.id)


def work() -> None:
    """Runs open jobs, oldest first, until none is left."""
    while True:
        with transaction() as session:
            waiting = session.scalars(select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id)).all()
        if not waiting:
            return
        for job_id in waiting:
            worker.run_job(job_id)


def register(new: NewEncoder, *, confirmed: bool = False) -> Encoder:
    with transaction() as session:
        job = actions.register(session, SYSTEM, new, confirmed=confirmed)
    done = run(job)
    assert done.state is JobState.SUCCEEDED, done.error
    with transaction() as session:
        return session.scalars(select(Encoder).order_by(Encoder.id.desc())).first()


def use(encoder: Encoder) -> Job:
    """The job that takes an encoder into use, not yet run."""
    with transaction() as session:
        return actions.use(session, SYSTEM, encoder.id)


def in_use() -> Encoder | None:
    with transaction() as session:
        return stage_queries.encoder_in_use(session)


def add_images(count: int) -> list[Image]:
    """Queued candidates with pictures in the store."""
    with transaction() as session:
        ids = [make_candidate(session, with_blob=True).image_id for _ in range(count)]
        return [session.get_one(Image, id_) for id_ in ids]


def take_back(job: Job) -> None:
    """The worker that had the job died: its lease has run out, and the sweeper gives it back."""
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(lease_until="1999-01-01"))
    jobs.sweep()


def embedded(encoder: Encoder) -> set[int]:
    """The images that have a vector under an encoder."""
    with transaction() as session:
        return set(session.scalars(select(Embedding.image_id).where(Embedding.encoder_id == encoder.id)))


def index_state(encoder: Encoder) -> str:
    with transaction() as session:
        return queries.index_state(session, encoder.id)
