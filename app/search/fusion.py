"""Several rankings of the same candidates as one."""

from collections import defaultdict
from collections.abc import Sequence

K = 60


def fused(rankings: Sequence[Sequence[int]], k: int = K) -> list[int]:
    """Ids by the sum of 1 / (k + rank) over the rankings that hold them, ranks from 1; the newest id first in a tie.

    Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009, whose k is 60.
    """
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, id_ in enumerate(ranking, start=1):
            scores[id_] += 1 / (k + rank)
    return sorted(scores, key=lambda id_: (-scores[id_], -id_))
