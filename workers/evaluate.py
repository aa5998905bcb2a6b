"""The job of one evaluation: load the model, measure it, look for what it has seen, compare it, keep everything."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from app import jobs
from app.advisory import FINISH_EVALUATION
from app.db import transaction
from app.errors import Conflict, Invalid
from app.evaluation import folders, pools, queries
from app.evaluation.policies import Precision, Task
from app.evaluation.queries import Shown
from app.jobs import RunningJob
from app.tables import Evaluation, EvaluationSet
from workers import classifying, comparing, contaminated, passports, retrieving
from workers.classifying import Set
from workers.evaluating.contamination import clean
from workers.evaluating.features import preprocessing
from workers.evaluating.features import versions as libraries
from workers.evaluating.probing import TooFewLabels
from workers.evaluating.zero_shot import CantPrompt
from workers.evaluation_set import thumbnail
from workers.ml.encoder import Encoder as Network
from workers.outcome import Outcome
from workers.vectors import load, versions

LISTED = 200  # skipped items on the page; the passport has all


def run_evaluate(job: RunningJob) -> None:
    """Measures a model and writes predictions, passport and figures; killed, it goes on with the cached features.

    Arguments: evaluation. Raises Invalid with what to change where the task can't be done.
    """
    with transaction() as session:
        found = queries.evaluation(session, job.arguments["evaluation"])
    if found.row.finished_at:
        return
    since = time.monotonic()
    _say(job, "Loading the model")
    network = replace(load(found.encoder), full_precision=found.row.settings["precision"] == Precision.FP32)
    try:
        outcome, of = _measured(job, found, network)
    except (CantPrompt, TooFewLabels, ValueError) as error:
        raise Invalid(str(error), "Nothing was measured.") from error
    _look_for_seen(job, found, network, of, outcome)
    outcome.metrics |= {
        "skipped": outcome.skipped[:LISTED],
        "skipped_count": len(outcome.skipped),
        "versions": versions() | libraries(),
        "device": network.device.type,
        "preprocessing": vars(preprocessing(network)),
    }
    _keep(job, found, network, of, outcome, since)


def _say(job: RunningJob, message: str) -> None:
    job.message = message
    with job.step():
        pass


def progress(job: RunningJob) -> Callable[[int, int], None]:
    """Tells the job's row how many features are there."""

    def tell(done: int, total: int) -> None:
        job.done, job.total = done, total
        with job.step():
            pass

    return tell


def _measured(job: RunningJob, found: Shown, network: Network) -> tuple[Outcome, Set | None]:
    row, checksum = found.row, found.encoder.checksum
    _say(job, "Making features")
    if found.snapshot is not None:
        with transaction() as session:
            pairs = pools.held_out(session, found.snapshot.id, row.settings["splits"])
            _, pool = pools.pool(session, found.snapshot.id, row.settings["splits"])
        if pool != row.settings["items"]:
            raise Conflict("The held-out pairs are others than when this was asked for.", "Start a new evaluation.")
        return retrieving.run(network, checksum, pairs, row.settings, progress(job)), None
    assert found.set is not None
    of = classifying.read_set(found.set, row.settings["variant"], row.settings["items"])
    if row.task is Task.RETRIEVAL:
        outcome = retrieving.run_on_set(network, checksum, of, row.settings, progress(job))
    else:
        outcome = classifying.run(row.task, network, checksum, of, row.settings, found.wording, progress(job))
    outcome.skipped = of.unread + outcome.skipped
    _thumbnails(found.set, of, outcome)
    return outcome, of


def _thumbnails(row: EvaluationSet, of: Set, outcome: Outcome) -> None:
    """Small copies of the pictures that the page shows."""
    if not of.is_current:
        return
    ids = {number: item_id for item_id, number in of.numbers.items()}
    wrongest = {one["number"] for one in outcome.metrics.get("wrongest", [])}
    cells = {number for numbers in outcome.metrics.get("cells", {}).values() for number in numbers}
    examples = outcome.metrics.get("examples", [])
    searched = {of.numbers[key] for one in examples for key in (one["query"], *one["results"])}
    for number in sorted(wrongest | cells | searched):
        thumbnail(folders.thumbnail_file(row.id, row.items_sha256, number), of.root, of.layout, ids[number])


def _look_for_seen(job: RunningJob, found: Shown, network: Network, of: Set | None, outcome: Outcome) -> None:
    items, ids = outcome.answers or outcome.search, outcome.columns["item"]
    assert items is not None
    if of is None:
        assert found.snapshot is not None
        said, copies = contaminated.look_among_pairs(found.encoder, found.snapshot.id, ids)
    else:
        said, copies = contaminated.look(job, found.encoder, network, of, ids, items.vectors)
    if copies:
        said["without"] = items.values(clean(ids, copies))
    outcome.metrics["contamination"] = said


def _keep(job: RunningJob, found: Shown, network: Network, of: Set | None, outcome: Outcome, since: float) -> None:
    """Files first, then the row that names them, in the last step."""
    folders.write_table(folders.predictions_file(found.row.id), outcome.columns)
    sha256 = passports.write(found, network, outcome, of)
    _say(job, "Comparing with other models")
    against: comparing.Against = {}
    compared: set[int] = set()
    while True:
        with transaction() as session:
            peers = [peer for peer in queries.peers(session, found.row) if peer.id not in compared]
        comparing.add(against, found.row.task, outcome, peers, found.row.settings["seed"])
        compared |= {peer.id for peer in peers}
        metrics = outcome.metrics | {"against": against, "seconds": time.monotonic() - since}
        if _written(job, found.row, metrics, sha256, compared):
            return


def _written(job: RunningJob, row: Evaluation, metrics: dict[str, Any], sha256: str, compared: set[int]) -> bool:
    """False, and nothing is written, when another evaluation of the column ended meanwhile: no two miss each other."""
    with job.step() as session:
        session.execute(select(func.pg_advisory_xact_lock(FINISH_EVALUATION)))
        if {peer.id for peer in queries.peers(session, row)} - compared:
            return False
        kept = queries.evaluation(session, row.id).row
        kept.metrics, kept.passport_sha256 = metrics, sha256
        kept.finished_at = func.clock_timestamp()
        job.message, job.total = "", job.done
        details = {"items": metrics["n"], "skipped": metrics["skipped_count"]}
        jobs.record(session, "evaluation.finished", "evaluation", row.id, job_id=job.id, details=details)
    return True
