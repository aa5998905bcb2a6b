"""The list of candidates in several states, among 10,000 and among a million: its pages must take equally long."""

import time
from collections.abc import Callable, Mapping

from app.tables import Role
from bench import browser, rows
from bench.figures import Figure, percentiles
from bench.ground import Ground, site
from bench.processes import in_fresh_process

FEW, MANY = 10_000, 1_000_000
REQUESTS = 300
WARM_UP = 20

# Of ten candidates three are accepted, two rejected, two filtered out; three wait. Reviews are the first person's.
# Slots go before there are reviews: each would look through all of these, which have no index for it.
STATES = """
DELETE FROM assignment WHERE mod(candidate_id, 10) IN (5, 6);
UPDATE candidate SET state = 'filtered_out', stopped_by = 'quality' WHERE mod(id, 10) IN (5, 6);
INSERT INTO review (candidate_id, user_id, assignment_id, round, purpose, kind, caption_before_id,
                    caption_after_id, fields, seconds, submission_id)
    SELECT c.id, 1, a.id, 1, 'main', CASE WHEN mod(c.id, 10) < 3 THEN 'accept' ELSE 'reject' END, c.caption_id,
           CASE WHEN mod(c.id, 10) < 3 THEN c.caption_id END, '{"organ": "skin"}', 6, gen_random_uuid()
    FROM candidate c JOIN assignment a ON a.candidate_id = c.id WHERE mod(c.id, 10) < 5 ORDER BY c.id;
UPDATE assignment SET user_id = 1, review_id = r.id FROM review r WHERE r.assignment_id = assignment.id;
UPDATE candidate SET state = CASE r.kind WHEN 'accept' THEN 'accepted' ELSE 'rejected' END, settled_by = r.id,
       settled_caption_id = r.caption_after_id FROM review r WHERE r.candidate_id = candidate.id;
"""

# What is opened, by whom, and its address; `middle` is the candidate in the middle.
PAGES = {
    "first page": ("alder", "/candidates"),
    "from the middle, open": ("alder", "/candidates?state=open&before={middle}"),
    "from the middle, accepted": ("alder", "/candidates?state=accepted&before={middle}"),
    "an admin's first page": ("elm", "/candidates"),
    "filtered out by quality": ("elm", "/candidates?state=filtered_out&stopped=quality"),
}


def run(ground: Ground) -> list[Figure]:
    requests = ground.count(REQUESTS, least=50)
    few, many = ground.count(FEW, least=1000), ground.count(MANY, least=10_000)
    before, bare_before = of_size(ground, few, requests)
    after, bare_after = of_size(ground, many, requests)
    figures = []
    for name in PAGES:
        title = f"List of {{:,}} candidates, {name}: p50"
        bare = [
            f"{alone:.1f} ms for the query alone" if name == "first page" else "" for alone in (bare_before, bare_after)
        ]
        times = f"{after[name][0] / before[name][0]:.2f} times as long"
        figures += [
            Figure(
                title.format(few), before[name][0], "ms", join(f"p95 {before[name][1]:.1f} ms", bare[0]), at_most=25
            ),
            Figure(
                title.format(many),
                after[name][0],
                "ms",
                join(times, f"p95 {after[name][1]:.1f} ms", bare[1]),
                at_most=25,
            ),
        ]
    return figures


def join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def of_size(ground: Ground, count: int, requests: int) -> tuple[Mapping[str, tuple[float, float]], float]:
    """Each page's p50 and p95 in ms among so many candidates, and the p50 of the first page's query alone."""
    with ground.place() as environment:
        url = environment["DATABASE_URL"]
        rows.people(url, ["alder"])
        rows.people(url, ["elm"], Role.ADMIN)
        rows.queued(url, rows.no_pictures(count))
        rows.change(url, STATES)
        bare = in_fresh_process(environment, query_alone, requests)
        with (
            site("web", environment | {"IPATH_WEB_PROCESSES": "2"}) as web,
            browser.signed_in(web.url, "alder") as alder,
            browser.signed_in(web.url, "elm") as elm,
        ):
            clients = {"alder": alder, "elm": elm}

            def page(who: str, address: str) -> tuple[float, float]:
                address = address.format(middle=count // 2)
                return timed(lambda: clients[who].get(address).raise_for_status(), requests)

            return {name: page(*opened) for name, opened in PAGES.items()}, bare[0]


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
