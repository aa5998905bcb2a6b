"""The list of candidates: its first page, and one from the middle by state."""

import time
from collections.abc import Callable

from bench import browser, rows
from bench.figures import Figure, percentiles
from bench.ground import Ground, site
from bench.processes import in_fresh_process

CANDIDATES = 10_000
REQUESTS = 300
WARM_UP = 20


def run(ground: Ground) -> list[Figure]:
    count = ground.count(CANDIDATES, least=1000)
    requests = ground.count(REQUESTS, least=50)
    with ground.place() as environment:
        rows.queued(environment["DATABASE_URL"], rows.no_pictures(count))
        rows.people(environment["DATABASE_URL"], ["alder"])
        bare = in_fresh_process(environment, query_alone, requests)
        with (
            site("web", environment | {"IPATH_WEB_PROCESSES": "2"}) as web,
            browser.signed_in(web.url, "alder") as client,
        ):

            def page(url: str) -> tuple[float, float]:
                return timed(lambda: client.get(url).raise_for_status(), requests)

            first, middle = page("/candidates"), page(f"/candidates?state=open&before={count // 2}")
    only = f"{bare[0]:.1f} ms for the query alone"
    return [
        Figure(f"List of {count:,} candidates: p50", first[0], "ms", only, at_most=25),
        Figure(f"List of {count:,} candidates: p95", first[1], "ms", f"{bare[1]:.1f} ms for the query alone"),
        Figure("The same from the middle, by state: p50", middle[0], "ms", only, at_most=25),
    ]


def query_alone(requests: int) -> tuple[float, float]:
    from app.accounts.queries import actor_of, user_named
    from app.candidates import queries
    from app.db import transaction

    with transaction() as session:
        actor = actor_of(user_named(session, "alder"))

    def ask() -> None:
        with transaction() as session:
            queries.listed(session, actor, queries.Filter(), 51)

    return timed(ask, requests)


def timed(act: Callable[[], object], times: int) -> tuple[float, float]:
    """p50 and p95 in ms, after a warm-up."""
    for _ in range(WARM_UP):
        act()
    seconds = []
    for _ in range(times):
        before = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - before)
    p50, p95 = percentiles(seconds)
    return 1000 * p50, 1000 * p95
