"""How long `ipath serve` takes to its first answer, and how much memory an idle web process holds."""

import statistics
import subprocess
import sys

from bench import browser, rows
from bench.figures import Figure
from bench.ground import Ground, site, wait_until_idle
from bench.memory import resident

WARM_STARTS = 3
LIBRARIES = "fastapi, jinja2, psycopg, sqlalchemy.orm, uvicorn, celery, redis, argon2, PIL.Image, fsspec, rich, typer"
RSS_OF_LIBRARIES = f"import psutil, {LIBRARIES}; print(psutil.Process().memory_info().rss / 1e6)"


def run(ground: Ground) -> list[Figure]:
    return [*starts(ground), idle(ground)]


def starts(ground: Ground) -> list[Figure]:
    with ground.folder_of("compiled") as home:
        start({"IPATH_HOME": str(home)})  # Python compiles each module once, at the first start after installing
    with ground.folder_of("serve") as home:
        environment = {"IPATH_HOME": str(home)}
        with site("serve", environment) as served:
            cold = served.seconds
        warm = [start(environment) for _ in range(WARM_STARTS)]
    times = ", ".join(f"{seconds:.1f}" for seconds in warm)
    return [
        Figure("First answer of `ipath serve`, empty home", cold, "s", "", at_most=8),
        Figure("First answer, data there", statistics.median(warm), "s", f"{times} s, each", at_most=2),
    ]


def start(environment: dict[str, str]) -> float:
    with site("serve", environment) as served:
        return served.seconds


def idle(ground: Ground) -> Figure:
    with ground.place() as environment:
        rows.queued(environment["DATABASE_URL"], rows.no_pictures(ground.count(10_000, least=1000)))
        rows.people(environment["DATABASE_URL"], ["alder"])
        with site("web", environment) as web, browser.signed_in(web.url, "alder") as client:
            client.get("/candidates").raise_for_status()
            wait_until_idle(web.process)
            held = resident(web.process)
    alone = subprocess.run([sys.executable, "-c", RSS_OF_LIBRARIES], capture_output=True, text=True, check=True)
    libraries = f"{float(alone.stdout):.0f} MB for its libraries, imported and idle"
    return Figure("Memory of a web process after one page", held, "MB", libraries, at_most=130)
