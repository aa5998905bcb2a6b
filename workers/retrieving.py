"""Retrieval on a snapshot's held-out pairs, or a set's: both directions, strict and group-aware."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.evaluation import folders, metrics
from app.evaluation.policies import RANKS
from app.evaluation.pools import Pair
from app.storage import blobs
from workers.classifying import Progress, Set, features_of
from workers.evaluating.features import Features, cache_name, features
from workers.evaluating.statistics import Interval
from workers.ml.encoder import Encoder as Network
from workers.ml.retrieval import Both, Ranks, caption_label, figures, one_a_label, ranks
from workers.ml.vectors import Vectors, l2_normalised
from workers.outcome import Outcome, plain

EXAMPLES, SHOWN = 3, 6  # of each direction, good and bad ones; results of each


@dataclass
class Search:
    """Pairs by the vectors of their pictures and captions, row i of each, all of length 1."""

    pairs: list[Pair]
    vectors: Vectors
    texts: Vectors
    seed: int

    def values(self, rows: NDArray[np.bool_]) -> dict[str, float]:
        """Each figure's value where only some of the pairs are searched."""
        kept = [pair for pair, is_kept in zip(self.pairs, rows, strict=True) if is_kept]
        if len(kept) < 2:
            return {}
        found = measured(kept, self.vectors[rows], self.texts[rows], self.seed).metrics["figures"]
        return {name: figure["value"] for name, figure in found.items()}


def run(
    network: Network,
    checksum: str,
    pairs: Sequence[Pair],
    settings: dict[str, Any],
    progress: Progress,
    *,
    is_fresh: bool = False,
) -> Outcome:
    """Figures of the pairs whose picture can be read, of a fresh run without the cache. Raises ValueError when fewer
    than two can."""
    by_sha = {pair.sha256: pair for pair in pairs}
    cache = None if is_fresh else folders.features_folder() / cache_name(network, checksum, "blobs")
    found = features(network, [(sha, partial(blobs().get, sha)) for sha in by_sha], cache=cache, progress=progress)
    return _searched(network, pairs, [pair.sha256 for pair in pairs], found, settings["seed"])


def run_on_set(network: Network, checksum: str, of: Set, settings: dict[str, Any], progress: Progress) -> Outcome:
    """The same on the test pairs of a set of pairs, or on all where it has no test split."""
    units = {group: number for number, group in enumerate(dict.fromkeys(item.group for item in of.test))}
    pairs = [
        Pair(item.id, None, of.files[item.id], item.caption, item.group, units[item.group], None) for item in of.test
    ]
    found = features_of(network, checksum, of, of.test, progress)
    return _searched(network, pairs, [pair.key for pair in pairs], found, settings["seed"])


def _searched(network: Network, pairs: Sequence[Pair], ids: Sequence[str], found: Features, seed: int) -> Outcome:
    """What the features give; `ids` are those of the pairs' pictures in them."""
    place = {id_: at for at, id_ in enumerate(found.ids)}
    kept = [pair for pair, id_ in zip(pairs, ids, strict=True) if id_ in place]
    if len(kept) < 2:
        raise ValueError("Fewer than two pairs have a picture that can be read.")
    images = l2_normalised(found.vectors[[place[id_] for id_ in ids if id_ in place]])
    texts = network.embed_texts([pair.caption for pair in kept])
    why = dict(found.skipped)
    outcome = measured(kept, images, texts, seed)
    outcome.search = Search(kept, images, texts, seed)
    outcome.skipped = [(pair.key, why[id_]) for pair, id_ in zip(pairs, ids, strict=True) if id_ in why]
    outcome.files = {pair.key: pair.digest for pair in kept}
    outcome.pairs = [[pair.author, pair.post_id, pair.group_id] for pair in kept]
    outcome.metrics |= {"made": found.made, "from_cache": found.kept}
    return outcome


def labels_of(pair: Pair) -> list[tuple[str, Any]]:
    """What makes pairs positives of each other: post, group of duplicates, caption."""
    grouped = [("group", pair.group_id)] if pair.group_id is not None else []
    return [("post", pair.post_id), caption_label(pair.caption), *grouped]


def measured(pairs: Sequence[Pair], images: Vectors, texts: Vectors, seed: int) -> Outcome:
    """Figures and ranks of pairs, row i of `images` [n, d] with row i of `texts` [n, d], all of length 1."""
    labels, authors = [labels_of(pair) for pair in pairs], [pair.author for pair in pairs]
    drawn = one_a_label(labels, seed)
    alone = [(row,) for row in range(len(drawn))]
    strict = ranks(images[drawn], texts[drawn], alone, alone)
    grouped = ranks(images, texts, labels, labels)
    of = {"strict": (strict, [authors[row] for row in drawn]), "group_aware": (grouped, authors)}
    made: dict[str, Any] = {"figures": {}, "chance": {}, "undefined": {}}
    for how, (both, by) in of.items():
        ks = [k for k in RANKS if k < len(by)]  # whoever looks at the whole pool finds everything
        for way in metrics.DIRECTIONS:
            _add(made, f"{way}.{{}}.{how}", ks, figures(_ranks(both, way), by, ks, seed))
    made |= {
        "n": len(pairs),
        "strict_n": len(drawn),
        "groups": len(set(authors)),
        "examples": _examples(pairs, images, texts, grouped, labels),
    }
    return Outcome(made, _columns(pairs, drawn.tolist(), strict, grouped))


def _ranks(both: Both, way: str) -> Ranks:
    return both.text_to_image if way == "text_to_image" else both.image_to_text


def _add(made: dict[str, Any], key: str, ks: Sequence[int], found: dict[str, Any]) -> None:
    between = found["intervals"]
    for name in (*(f"R@{k}" for k in ks), "median_rank", "mrr"):
        interval = Interval(*between[name]) if between.get(name) else None
        short = key.format(name.lower().replace("@", ""))
        made["figures"][short] = plain(found[name], interval)
        if name in found["chance"]:
            made["chance"][short] = found["chance"][name]


def _columns(pairs: Sequence[Pair], drawn: list[int], strict: Both, grouped: Both) -> dict[str, list[Any]]:
    """A row a pair; a strict rank is None for pairs that were not drawn."""
    columns: dict[str, list[Any]] = {"item": [pair.key for pair in pairs], "group": [pair.author for pair in pairs]}
    for way in metrics.DIRECTIONS:
        of_drawn = dict(zip(drawn, _ranks(strict, way).rank.tolist(), strict=True))
        columns[f"{way}.strict"] = [of_drawn.get(row) for row in range(len(pairs))]
        columns[f"{way}.group_aware"] = _ranks(grouped, way).rank.tolist()
    return columns


def _examples(
    pairs: Sequence[Pair], images: Vectors, texts: Vectors, grouped: Both, labels: Sequence[Sequence[Any]]
) -> list[dict[str, Any]]:
    """Of each direction some queries over the whole range of ranks, by keys: texts of posts stay in their table."""
    made = []
    for way, (queries, pool) in {"text_to_image": (texts, images), "image_to_text": (images, texts)}.items():
        rank = _ranks(grouped, way).rank
        order = np.argsort(rank, kind="stable")
        for at in order[np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).round().astype(int)]:
            first = np.argsort(-(pool @ queries[at]), kind="stable")[:SHOWN]
            right = [pairs[one].key for one in first if not set(labels[one]).isdisjoint(labels[at])]
            results = [pairs[one].key for one in first]
            made.append(
                {
                    "direction": way,
                    "query": pairs[at].key,
                    "rank": float(rank[at]),
                    "results": results,
                    "right": right,
                }
            )
    return made
