"""Deciding and getting the next candidate: over HTTP as browsers do, and the same statements without HTTP."""

from collections.abc import Mapping, Sequence
from itertools import chain
from time import monotonic, perf_counter
from typing import Any
from uuid import uuid4

from bench import browser, rows
from bench.browser import WARM_UP, Sitting, person
from bench.figures import Figure, percentiles
from bench.ground import Ground, site
from bench.processes import at_once, wait_for_all

CANDIDATES = 10_000
REVIEWERS = (1, 8)
AIMS: Mapping[int, Mapping[str, float]] = {1: {"p50": 10}, 8: {"p95": 80, "rate": 120}}


def run(ground: Ground) -> list[Figure]:
    candidates = ground.count(CANDIDATES, least=1000)
    bare = _bare(ground, candidates)
    figures: list[Figure] = []
    with ground.place() as environment:
        url = environment["DATABASE_URL"]
        rows.queued(url, rows.no_pictures(candidates))
        rows.people(url, map(person, range(max(REVIEWERS))))
        sittings: list[Sitting] = []
        with site("web", environment | {"IPATH_WEB_PROCESSES": "2"}) as web:
            for reviewers in REVIEWERS:
                over_http = at_once(reviewers, {}, browser.review, web.url, decisions(ground, reviewers))
                figures += compare(reviewers, candidates, over_http, bare[reviewers])
                sittings += over_http
        return [*figures, handed_out_twice(url, sittings)]


def _bare(ground: Ground, candidates: int) -> dict[int, list[Sitting]]:
    with ground.place() as environment:
        url = environment["DATABASE_URL"]
        rows.queued(url, rows.no_pictures(candidates))
        rows.people(url, map(person, range(max(REVIEWERS))))
        return {n: at_once(n, environment, through_statements, decisions(ground, n)) for n in REVIEWERS}


def decisions(ground: Ground, reviewers: int) -> int:
    """How many each reviewer makes; all together leave enough candidates to hand out."""
    return ground.count(1000 if reviewers == 1 else 500, least=50)


def compare(reviewers: int, candidates: int, measured: Sequence[Sitting], bare: Sequence[Sitting]) -> list[Figure]:
    who = f"Decide and next, {reviewers} reviewer{'s' * (reviewers > 1)}, {candidates:,} queued"
    aims = AIMS[reviewers]
    (p50, p95, rate), (bare_p50, bare_p95, bare_rate) = map(summary, (measured, bare))
    only = "for the statements alone"
    return [
        Figure(f"{who}: p50", p50, "ms", f"{bare_p50:.1f} ms {only}", at_most=aims.get("p50")),
        Figure(f"{who}: p95", p95, "ms", f"{bare_p95:.1f} ms {only}", at_most=aims.get("p95")),
        Figure(f"{who}: rate", rate, "reviews/s", f"{bare_rate:.0f}/s {only}", at_least=aims.get("rate")),
    ]


def summary(sittings: Sequence[Sitting]) -> tuple[float, float, float]:
    """p50 and p95 in ms, and decisions a second of all together."""
    p50, p95 = percentiles(list(chain.from_iterable(sitting.seconds for sitting in sittings)))
    wall = max(sitting.ended for sitting in sittings) - min(sitting.began for sitting in sittings)
    return 1000 * p50, 1000 * p95, sum(len(sitting.seconds) for sitting in sittings) / wall


def handed_out_twice(url: str, sittings: Sequence[Sitting]) -> Figure:
    """Candidates that two reviewers were shown, that have two reviews, or whose review got lost."""
    decided = [candidate for sitting in sittings for candidate in sitting.decided]
    stored = {candidate: reviews for candidate, reviews in rows.query(url, REVIEWS)}
    wrong = len(decided) - len(set(decided))
    wrong += sum(reviews != 1 for reviews in stored.values())
    wrong += len(set(decided) - stored.keys())
    return Figure("Candidates handed out twice or lost", wrong, "", f"{len(decided):,} decisions", at_most=0)


REVIEWS = "SELECT candidate_id, count(*) FROM review GROUP BY candidate_id"


# --- a reviewer without HTTP --------------------------------------------------------------------


def through_statements(number: int, count: int) -> Sitting:
    """Claims and decides through the app's own functions, one transaction a decision."""
    from app.accounts.queries import actor_of, user_named
    from app.curation import actions, leases
    from app.db import transaction

    with transaction() as session:
        actor = actor_of(user_named(session, person(number)))
        held = leases.hold(session, actor)
    sitting = Sitting()
    for nth in range(WARM_UP + count):
        if nth == WARM_UP:
            wait_for_all()
            sitting = Sitting(began=monotonic())
        decision = _decision(held[0], nth)
        before = perf_counter()
        with transaction() as session:
            actions.decide(session, actor, decision)
            held = leases.hold(session, actor)
        sitting.seconds.append(perf_counter() - before)
    sitting.ended = monotonic()
    return sitting


def _decision(lease: Any, nth: int) -> Any:
    """The same mix of decisions as the browser's."""
    from app.curation.actions import Decision
    from app.tables import ReviewKind

    rejected = nth % 10 in (3, 8)
    edit = " Clear margins." if nth % 10 == 5 else ""
    return Decision(
        candidate_id=lease.candidate_id,
        token=lease.token,
        caption_version=2,
        submission_id=uuid4(),
        kind=ReviewKind.REJECT if rejected else ReviewKind.ACCEPT,
        caption=f"{rows.CAPTION}{lease.candidate_id}{edit}",
        reasons=("image_too_poor",) if rejected else (),
        fields={"organ": "skin", "stain": "he"},
        seconds=6,
    )
