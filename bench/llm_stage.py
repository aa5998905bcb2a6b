"""Image stages of a real worker beside a language model that hangs, against the same without a model."""

import time

from bench.figures import Figure
from bench.ground import Ground
from bench.importing import import_folder, make_posts
from bench.processes import in_fresh_process
from tests.endpoints.server import ModelServer, hangs
from tests.services import ROOT

PICTURES = 400
SMALL_CLIP = {"IPATH_CLIP_MODEL": str(ROOT / "tests/tiny_clip.json"), "IPATH_CLIP_PRETRAINED": ""}
HANGS = 30  # seconds, which is also how long the worker waits for an answer
WAIT = 64  # candidates that wait for the model from the beginning on
IMAGE_STAGES = ("quality", "embedding", "sameness", "domain", "panels", "faces", "writing")


def run(ground: Ground) -> list[Figure]:
    count = ground.count(PICTURES, least=100)
    alone = rate(ground, count, "")
    with ModelServer(hangs(HANGS)) as server:
        beside = rate(ground, count, server.url)
        asked = len(server.asked)
    share = 100 * beside / alone
    return [
        Figure(
            f"Image stages on {count:,} pictures, no model",
            alone,
            "images/s",
            "quality to writing, a worker of 4 threads",
        ),
        Figure("Beside a model that hangs for 30 s", beside, "images/s", f"{asked} calls hung meanwhile"),
        Figure("Share of the rate that is kept", share, "%", "of the rate without a model", at_least=80),
    ]


def rate(ground: Ground, count: int, url: str) -> float:
    """Images a second from the first finding to the last, by a worker process of the product."""
    with ground.folder_of("posts") as folder, ground.place() as place:
        environment = place | SMALL_CLIP
        make_posts(folder, count)
        in_fresh_process(environment, import_folder, folder)
        return count / in_fresh_process(environment, seconds, url)


def seconds(url: str) -> float:
    from app import serving
    from app.config import settings
    from app.supervisor import Child, Supervisor

    if url:
        ask_there(url)
    with Supervisor(settings().home_path / "logs") as supervisor:
        supervisor.start(Child("worker", serving.worker_command(), stop_seconds=5))
        while not is_done():
            time.sleep(1)
        return taken()


def ask_there(url: str) -> None:
    """The stage asks that server, and some candidates wait for it already."""
    from sqlalchemy import select

    from app.db import transaction
    from app.prefilter import due, stages
    from app.tables import Candidate
    from tests.prompts.models import make_endpoint, set_up

    with transaction() as session:
        set_up(session, make_endpoint(session, url, timeout_seconds=HANGS, in_flight=8))
        due.due(session, stages.BY_NAME["llm"], session.scalars(select(Candidate.id).limit(WAIT)).all())


def is_done() -> bool:
    from sqlalchemy import func, select

    from app.db import transaction
    from app.tables import Candidate, CandidateState, StageTodo

    with transaction() as session:
        coming = select(func.count()).where(Candidate.state == CandidateState.INCOMING)
        left = select(func.count()).where(StageTodo.stage.in_(IMAGE_STAGES))
        return not session.scalar(coming) and not session.scalar(left)


def taken() -> float:
    """Seconds between the first and the last finding of an image stage."""
    from sqlalchemy import func, select

    from app.db import transaction
    from app.tables import Finding

    with transaction() as session:
        span = select(func.min(Finding.at), func.max(Finding.at)).where(Finding.stage.in_(IMAGE_STAGES))
        first, last = session.execute(span).one()
        return float((last - first).total_seconds())
