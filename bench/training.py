"""Fine-tuning: what our supervision costs a step, how soon the first comes, the page meanwhile, and the long proof."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import psutil

from app import serving
from app.supervisor import Child, Supervisor
from app.tables import Role
from app.training.forms import filled
from app.training.settings import BY_NAME, PRACTICE_ARCHITECTURE, TrainingSettings
from bench import made_set, rows
from bench.browser import signed_in
from bench.figures import Figure, percentiles
from bench.ground import Ground, site
from bench.memory import resident
from bench.processes import in_fresh_process
from tests.services import ROOT

ROUNDS = 5
EPOCHS = 2  # of a round; a step is timed within an epoch
POLLS = 100
PAIRS, HELD_OUT, PAIRS_AN_AUTHOR = 2_400, 400, 4
SEED = 20432
SCRATCH = BY_NAME["scratch"].settings
CLIP = {"IPATH_CLIP_MODEL": str(ROOT / "tests/tiny_clip.json"), "IPATH_CLIP_PRETRAINED": ""}
TEMPLATES = ("A drawing of {}.", "{} on a grey ground.", "A picture with {}.")
LONG = 7200  # seconds, after which something hangs


def run(ground: Ground) -> list[Figure]:
    return [*steps(ground), *live(ground), *proof(ground)]


# --- a step, ours and bare ----------------------------------------------------------------------


def steps(ground: Ground) -> list[Figure]:
    """The practice run as a worker runs it, and open_clip_train alone with its flags, by turns."""
    rounds = ground.count(ROUNDS, least=2)
    with ground.place() as environment:
        ours, bare = in_fresh_process(environment, by_turns, rounds)
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    said = f"{1000 * statistics.median(bare):.0f} ms of open_clip_train alone, same flags, {rounds} rounds by turns"
    return [
        Figure("A training step, supervised", 1000 * statistics.median(ours), "ms", said),
        Figure("The same, times as long", ratio, "", "median of the rounds' ratios", at_most=1.03),
    ]


def by_turns(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds a step of each round; who goes first alternates."""
    made: tuple[list[float], list[float]] = ([], [])
    command = supervised()[1]  # draws the set, and compiles what Python compiles once
    for number in range(rounds):
        for which in (number % 2, 1 - number % 2):
            made[which].append(bare(command, number) if which else supervised()[0])
    return made


def supervised() -> tuple[float, list[str]]:
    """Seconds a step of a run of the product, and its command."""
    from app.db import transaction
    from app.jobs import submit
    from app.tables import Run, WorkQueue
    from app.training.folders import folder_of
    from workers import main as worker

    settings = replace(SCRATCH, epochs=EPOCHS, keep="best")
    with transaction() as session:
        made = Run(recipe="scratch", settings=settings.as_json(), architecture=PRACTICE_ARCHITECTURE)
        session.add(made)
        session.flush()
        job_id = submit(session, "finetune", WorkQueue.TRAIN, {"run": made.id}).id
    worker.run_job(job_id)
    with transaction() as session:
        found = session.get_one(Run, made.id)
        assert found.encoder_id, found.report
        return seconds_a_step(folder_of(found.id)), found.command


def bare(command: list[str], number: int) -> float:
    """open_clip_train as its README starts it, with the config that it has to know and our run's flags."""
    from app.config import settings

    flags, config = theirs(command)
    flags[flags.index("--name") + 1] = f"bare-{number}"
    start = f"import sys, open_clip; open_clip.add_model_config({config!r}); from open_clip_train.main import main; "
    with (settings().home_path / "bare.log").open("wb") as log:
        argv = [sys.executable, "-c", f"{start}main(sys.argv[1:])", *flags]
        subprocess.run(argv, stdout=log, stderr=log, check=True)
    return seconds_a_step(Path(flags[flags.index("--logs") + 1]) / f"bare-{number}")


def theirs(command: list[str]) -> tuple[list[str], str]:
    """The flags that are open_clip_train's, and the config that our launcher registers."""
    ours = {"-m", "workers.ml.trainer"}
    words, flags, config = iter(command), [], ""
    for word in words:
        if word in ("--config", "--best-by", "--patience"):
            value = next(words)
            config = value if word == "--config" else config
        elif word not in ours:
            flags.append(word)
    return flags, config


def seconds_a_step(folder: Path) -> float:
    """Median time between two logged steps; validation and saving lie between epochs and count in few of them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    at = [event.wall_time for event in events.Scalars("train/loss")]
    return statistics.median(after - before for before, after in pairwise(at))


# --- a run on the page --------------------------------------------------------------------------


@dataclass
class Live:
    """A practice run of a site: seconds to its first step, polls in ms, resident MB of its worker."""

    first_step: float
    curves: list[float]
    page: list[float]
    before: float
    most: float


@contextmanager
def served(environment: Mapping[str, str]) -> Iterator[tuple[httpx2.Client, psutil.Process]]:
    """An admin at a web server, and the worker of the site."""
    rows.people(environment["DATABASE_URL"], ["elm"], Role.ADMIN)
    rows.people(environment["DATABASE_URL"], ["alder"])
    with site("web", environment) as web, Supervisor(Path(environment["IPATH_HOME"]) / "logs") as supervisor:
        supervisor.start(Child("worker", serving.worker_command(), env=environment, stop_seconds=10))
        with signed_in(web.url, "elm") as admin:
            until(lambda: rows.query(environment["DATABASE_URL"], "SELECT 1 FROM worker"))
            yield admin, psutil.Process(supervisor.pid("worker"))


def live(ground: Ground) -> list[Figure]:
    with ground.place() as environment, served(environment | CLIP) as (admin, worker):
        first = practise(admin, worker, environment["DATABASE_URL"], 0)
        again = practise(admin, worker, environment["DATABASE_URL"], ground.count(POLLS, least=20))
    (curves, curves_95), (page, page_95) = percentiles(again.curves), percentiles(again.page)
    beside = "while it trains on the same processors"
    return [
        Figure("From the click to the first step, practice run", again.first_step, "s", "trainer start included"),
        Figure("The same, the very first", first.first_step, "s", "draws 2,304 pairs"),
        Figure("Poll of the curves, p50", curves, "ms", f"p95 {curves_95:.0f} ms, {beside}", at_most=20),
        Figure("Poll of the run's page, p50", page, "ms", f"p95 {page_95:.0f} ms, {beside}", at_most=20),
        Figure(
            "Memory that a run adds to its worker", again.most - first.before, "MB", f"{first.before:.0f} MB before"
        ),
    ]


def practise(admin: httpx2.Client, worker: psutil.Process, url: str, polls: int) -> Live:
    """Launches the practice run, polls as the page does once it trains, and cancels it."""
    before = resident(worker)
    start = time.monotonic()
    address = made_set.sent(admin.post("/runs/practice"))
    number = int(address.rsplit("/", 1)[1])
    until(lambda: rows.query(url, f"SELECT 1 FROM run_step WHERE run_id = {number} LIMIT 1"), url)
    found = Live(time.monotonic() - start, [], [], before, resident(worker))
    for _ in range(polls):
        last = rows.query(url, f"SELECT max(step) FROM run_step WHERE run_id = {number}")[0][0]
        found.curves.append(timed(admin, f"{address}/curves?after={max(last - 2, -1)}"))
        found.page.append(timed(admin, address, {"hx-request": "true"}))
        found.most = max(found.most, resident(worker))
        time.sleep(0.1)
    made_set.sent(admin.post(f"{address}/cancel"))
    until(lambda: not rows.query(url, "SELECT 1 FROM job WHERE state IN ('queued', 'running')"))
    return found


def timed(client: httpx2.Client, address: str, headers: Mapping[str, str] | None = None) -> float:
    """Milliseconds of a request."""
    start = time.perf_counter()
    client.get(address, headers=headers).raise_for_status()
    return 1000 * (time.perf_counter() - start)


def until(what: Callable[[], Any], url: str = "", seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        assert not url or not (failed := rows.query(url, made_set.FAILED)), failed
        time.sleep(0.05)


# --- the long proof -----------------------------------------------------------------------------


def proof(ground: Ground) -> list[Figure]:
    """Drawn pairs of which every part varies, through the whole product, and what the model then knows."""
    count = ground.count(PAIRS, least=160)
    held_out = HELD_OUT * count // PAIRS
    with ground.place() as place:
        environment, url = place | CLIP, place["DATABASE_URL"]
        made_set.write_posts(Path(place["IPATH_HOME"]) / "inbox", count, count // PAIRS_AN_AUTHOR, SEED)
        seconds: dict[str, float] = {}
        with served(environment) as (admin, _), signed_in(str(admin.base_url), "alder") as reviewer:
            seconds["imported and filtered"] = took(lambda: (made_set.import_posts(admin), made_set.wait(url, LONG)))
            seconds["reviewed"] = took(lambda: made_set.accept_all(reviewer))
            seconds["frozen"] = took(lambda: (made_set.freeze(admin, held_out), made_set.wait(url, LONG)))
            start = {"snapshot": "1", "architecture": PRACTICE_ARCHITECTURE}
            seconds["trained and measured"] = took(
                lambda: (made_set.train(admin, filled(rules(count)), **start), made_set.wait(url, LONG))
            )
        report = rows.query(url, "SELECT report FROM run")[0][0]
        before, after = in_fresh_process(environment, known)
    strict = report["retrieval"]["strict"]["image_to_text"]
    return [
        Figure(
            f"{count:,} drawn pairs from files to a model",
            sum(seconds.values()),
            "s",
            ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()),
        ),
        Figure(
            "Held-out recall@1, image to text",
            100 * strict["R@1"],
            "%",
            f"chance {100 * strict['chance']['R@1']:.2g} %, {strict['pool']} pairs",
            at_least=1000 * strict["chance"]["R@1"],
        ),
        Figure(
            "Zero-shot by 48 colours and shapes, never seen",
            100 * after,
            "%",
            f"{100 * before:.1f} % untrained, chance {100 / 48:.1f} %",
            at_least=25,
        ),
    ]


def rules(pairs: int) -> TrainingSettings:
    """As many steps as the practice run has, whatever the scale."""
    return replace(SCRATCH, epochs=min(40, max(SCRATCH.epochs, 12 * 2048 // pairs)), batch_size=min(64, pairs // 8))


def took(act: Callable[[], Any]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


def known() -> tuple[float, float]:
    """Zero-shot accuracy of the untrained network and of the run's model."""
    from sqlalchemy import select

    from app.db import transaction
    from app.tables import Encoder, Run
    from app.training.architectures import config_path
    from workers.ml.encoder import EncoderSpec, load_encoder
    from workers.vectors import load

    with transaction() as session:
        model = session.scalars(select(Encoder).join(Run, Run.encoder_id == Encoder.id)).one()
    untrained = load_encoder(EncoderSpec("open_clip", str(config_path(PRACTICE_ARCHITECTURE))))
    return told_apart(untrained), told_apart(load(model))


def told_apart(network: Any) -> float:
    """Accuracy by colour and shape on 480 pictures of other seeds, one thing on each."""
    import numpy as np

    from workers.ml import drawn
    from workers.ml.zero_shot import class_vectors

    unseen = list(drawn.pairs(480, SEED + 1, made_set.SIDE, count=1))
    names = drawn.zero_shot_classes("colour", "shape")
    classes = class_vectors(network.embed_texts, TEMPLATES, [f"one {name}" for name in names.values()])
    guesses = np.argmax(network.embed_images([pair.jpeg for pair in unseen]) @ classes.T, axis=1)
    keys = list(names)
    hits = [keys[guess] == (pair.truth.colour, pair.truth.shape) for guess, pair in zip(guesses, unseen, strict=True)]
    return float(np.mean(hits))
