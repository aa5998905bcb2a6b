"""What a run's model can do beside its base: what it forgot of everyday things, and retrieval on the held-out pairs."""

import tarfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from webdataset.shardlists import expand_urls

from app.db import transaction
from app.jobs import RunningJob
from app.tables import Candidate, DuplicateMember, Encoder, Post, Run
from app.training.command import Data
from workers.ml import forgetting
from workers.ml.retrieval import caption_label, retrieval
from workers.vectors import load


class Pair(NamedTuple):
    """A held-out pair; what else shares one of its `labels` is as right an answer as the pair itself."""

    jpeg: bytes
    caption: str
    labels: tuple[Hashable, ...]
    author: Hashable


def measured(job: RunningJob, model: Encoder, base: Encoder | None, data: Data, *, drawn: bool) -> dict[str, Any]:
    """`forgetting` before and after, and `retrieval` of the model, as a run's report keeps them.

    Without a base there is nothing that could be forgotten: `before` is None. Raises Cancelled between two networks.
    """
    before = _of_base(base) if base else None
    job.check()
    network = load(model)
    pairs = held_out(data, drawn=drawn)
    figures = retrieval(
        network.embed_images([pair.jpeg for pair in pairs]),
        network.embed_texts([pair.caption for pair in pairs]),
        [pair.labels for pair in pairs],
        [pair.author for pair in pairs],
    )
    job.check()
    return {"forgetting": {"before": before, "after": forgetting.measure(network)}, "retrieval": figures}


def _of_base(base: Encoder) -> dict[str, Any]:
    """Measured once for each base, whose weights never change: an earlier run's figures are its own."""
    version = Run.report["forgetting"]["before"]["version"].as_integer()
    statement = select(Run.report["forgetting"]["before"]).where(Run.base_id == base.id, version == forgetting.VERSION)
    with transaction() as session:
        known: dict[str, Any] | None = session.scalar(statement.limit(1))
    return known or forgetting.measure(load(base))


def held_out(data: Data, *, drawn: bool) -> list[Pair]:
    """The validation pairs of a run, from its shards. Pairs of a snapshot are connected by post and duplicate group.

    Those that are `drawn` (the practice set) are connected by equal captions alone, as all are.
    """
    found: dict[str, dict[str, bytes]] = {}
    for shard in expand_urls(data.val):
        with tarfile.open(shard, "r:") as tar:
            for entry in tar:
                key, _, kind = Path(entry.name).name.partition(".")
                file = tar.extractfile(entry)
                if file is not None:
                    found.setdefault(key, {})[kind] = file.read()
    known = {} if drawn else _connections([int(key) for key in found])
    pairs = []
    for key, files in found.items():
        caption = files["txt"].decode()
        labels, author = known.get(int(key), ((("pair", key),), key))
        pairs.append(Pair(files["jpg"], caption, (*labels, caption_label(caption)), author))
    return pairs


def _connections(ids: list[int]) -> dict[int, tuple[tuple[Hashable, ...], Hashable]]:
    """Candidate → its post and duplicate group as labels, and its author."""
    statement = (
        select(Candidate.id, Post.id, DuplicateMember.group_id, Post.author_id)
        .join(Post, Post.id == Candidate.post_id)
        .outerjoin(DuplicateMember, DuplicateMember.candidate_id == Candidate.id)
        .where(Candidate.id.in_(ids))
    )
    with transaction() as session:
        rows = session.execute(statement).all()
    return {
        key: ((("post", post), *([("group", group)] if group else [])), author or ("post", post))
        for key, post, group, author in rows
    }
