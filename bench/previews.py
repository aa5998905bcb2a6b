"""The page of a stage while its threshold is dragged, over a million findings, and the list of their candidates."""

import random

from app.tables import Role
from bench import browser, rows
from bench.figures import Figure
from bench.ground import Ground, site
from bench.listing import timed
from bench.processes import in_fresh_process

FINDINGS = 1_000_000
STAGES = 5  # with findings of each candidate
REQUESTS = 100
HTMX = {"HX-Request": "true"}

SCORES = """
UPDATE finding_now SET score = 0.999 * abs(sin(candidate_id * 12.9898)) WHERE stage = 'domain';
"""


def run(ground: Ground) -> list[Figure]:
    count = ground.count(FINDINGS // STAGES, least=1000)
    with ground.place() as environment:
        rows.queued(environment["DATABASE_URL"], rows.no_pictures(count))
        rows.change(environment["DATABASE_URL"], SCORES)
        rows.people(environment["DATABASE_URL"], ["elm"], Role.ADMIN)
        rng = random.Random(1)
        counting = in_fresh_process(environment, counted, 5)
        with (
            site("web", environment | {"IPATH_WEB_PROCESSES": "2"}) as web,
            browser.signed_in(web.url, "elm") as client,
        ):

            def drag() -> None:
                line = f"{rng.randrange(100) / 100}"
                client.get(f"/prefilter/domain?threshold={line}", headers=HTMX).raise_for_status()

            preview = timed(drag, REQUESTS)
            listed = timed(lambda: client.get("/candidates").raise_for_status(), REQUESTS)
    alone = f"{counting[0]:.0f} ms for counting the scores, done at most every 5 s"
    return [
        Figure(f"Threshold preview, {count * STAGES:,} findings: p50", preview[0], "ms", alone, at_most=100),
        Figure(f"Threshold preview, {count * STAGES:,} findings: p95", preview[1], "ms", alone),
        Figure(f"List of {count:,} candidates: p50", listed[0], "ms", at_most=25),
    ]


def counted(times: int) -> tuple[float, float]:
    from app.db import transaction
    from app.prefilter import evidence

    def ask() -> None:
        with transaction() as session:
            evidence.count_scores("domain", session)

    return timed(ask, times)
