"""The matrix of evaluations: models by sets with intervals, and what differs from a baseline."""

from itertools import product
from typing import Any

from app.tables import Role
from bench import browser, rows
from bench.figures import Figure
from bench.ground import Ground, site
from bench.listing import timed
from bench.processes import in_fresh_process

MODELS, SETS = 20, 25
REQUESTS = 100


def run(ground: Ground) -> list[Figure]:
    models = ground.count(MODELS, least=4)
    with ground.place() as environment:
        rows.people(environment["DATABASE_URL"], ["elm"], Role.ADMIN)
        baseline, bare = in_fresh_process(environment, fill, models)
        requests = ground.count(REQUESTS, least=20)
        with site("web", environment) as web, browser.signed_in(web.url, "elm") as client:
            asked = {"task": "zero_shot", "metric": "accuracy", "baseline": str(baseline)}
            p50, p95 = timed(lambda: client.get("/evaluation", params=asked).raise_for_status(), requests)
    title = f"The matrix of {models * SETS:,} evaluations against a baseline"
    figures = [Figure(f"{title}: p50", p50, "ms", f"{bare:.1f} ms for its one query", 100)]
    return [*figures, Figure(f"{title}: p95", p95, "ms")]


def fill(models: int) -> tuple[int, float]:
    """Evaluations as jobs leave them, each compared with all before it; the baseline, and the query's median time."""
    import random

    from app.db import transaction
    from app.evaluation import queries
    from app.evaluation.policies import BOOTSTRAP, Task
    from tests.evaluation.made import figures, make_evaluation, make_set, make_wording
    from tests.factories import make_encoder

    lot = random.Random(0)
    with transaction() as session:
        wording = make_wording(session)
        sets = [make_set(session, f"set {number}") for number in range(SETS)]
        encoders = [make_encoder(session) for _ in range(models)]
        before: dict[int, dict[str, list[float | str]]] = {on.id: {} for on in sets}
        for encoder, on in product(encoders, sets):
            metrics: dict[str, Any] = figures(lot.uniform(0.2, 0.9), 7_180)
            metrics |= {"against": {"accuracy": dict(before[on.id]), "macro_f1": dict(before[on.id])}}
            made = make_evaluation(session, encoder, on, metrics=metrics, wording=wording)
            before[on.id][str(made.id)] = [lot.gauss(0, 0.1), -0.1, 0.1, lot.random(), BOOTSTRAP]
        baseline = encoders[0].id
    with transaction() as session:
        p50, _ = timed(lambda: queries.measured(session, Task.ZERO_SHOT, "accuracy", baseline), 20)
    return baseline, p50
