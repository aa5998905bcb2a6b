"""The job that puts the queue in order."""

from app.curation import orders
from app.db import transaction
from app.jobs import RunningJob


def run_order(job: RunningJob) -> None:
    """Gives every waiting candidate the priority that the order in force wants, in batches."""
    with transaction() as session:
        order = orders.in_force(session)
    ranks = _ranks(job) if order == "diverse" else {}
    after = job.cursor.get("after", 0)
    while True:
        with job.step() as session:
            ids = orders.waiting(session, after)
            if order == "diverse":
                orders.write(session, {id_: ranks.get(id_, 0.0) for id_ in ids})
            else:
                orders.prioritise(session, ids)
            after = ids[-1] if ids else after
            job.done += len(ids)
            job.cursor = {"after": after}
        if not ids:
            return


def _ranks(job: RunningJob) -> dict[int, float]:
    """Candidate → minus its place within its cluster: the first of every cluster comes before any second."""
    import numpy as np

    from workers.ml.clusters import places

    with transaction() as session:
        rows = orders.vectors(session)
    job.total = len(rows)
    if not rows:
        return {}
    found = places(np.stack([np.asarray(vec, dtype=np.float32) for _, vec in rows]), seed=0)
    return {id_: -float(place) for (id_, _), place in zip(rows, found.tolist(), strict=True)}
