"""How often a proposed line keeps its promise, over made streams of candidates whose truth is known."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from app.prefilter.proof import BINS, BOUND, Bin, propose
from bench.figures import Figure
from bench.ground import Ground

STREAMS, SIZE, AUDITED = 1000, 6000, 0.1


@dataclass(frozen=True)
class Kind:
    """A kind of stream: the share of good pairs, and the score (0–1) that a good and a bad one get."""

    name: str
    good: float
    score: Callable[[random.Random, bool], float]


def beta_scores(good: tuple[float, float], bad: tuple[float, float]) -> Callable[[random.Random, bool], float]:
    return lambda rng, is_good: rng.betavariate(*(good if is_good else bad))


KINDS = (
    Kind("well told apart", 0.6, beta_scores((8, 2), (2, 8))),
    Kind("poorly told apart", 0.6, beta_scores((4, 3), (3, 4))),
    Kind("few are good", 0.1, beta_scores((8, 2), (1, 8))),
    Kind("scores say nothing", 0.5, beta_scores((1, 1), (1, 1))),
)


def stream(rng: random.Random, size: int, audited: float, kind: Kind = KINDS[0], line: float = 0.3) -> float | None:
    """The true share of good pairs below the line proposed for one stream; None when none is proposed.

    Above `line` people judge all; below it a random share `audited`, as the audit sample draws them.
    """
    scored, judged, good, truth = ([0] * BINS for _ in range(4))
    for _ in range(size):
        is_good = rng.random() < kind.good
        score = kind.score(rng, is_good)
        number = min(int(score * BINS), BINS - 1)
        scored[number] += 1
        truth[number] += is_good
        if score >= line or rng.random() < audited:
            judged[number] += 1
            good[number] += is_good
    proposal = propose([Bin(*row) for row in zip(scored, judged, good, strict=True)])
    if proposal.threshold is None:
        return None
    return sum(truth[: round(proposal.threshold * BINS)]) / max(1, sum(truth))


def run(ground: Ground) -> list[Figure]:
    """Of each kind as many streams as the scale says; the aim is what a proposal says of itself."""
    streams = max(20, int(STREAMS * ground.scale))
    figures = []
    for number, kind in enumerate(KINDS):
        proposed, held = coverage(kind, streams, SIZE, AUDITED, seed=number)
        name = f"Proposed lines that hold, {kind.name}"
        share = 100 * held / proposed if proposed else 100.0
        figures.append(Figure(name, share, "%", f"{held} of {proposed} proposed in {streams} streams", at_least=95))
    return figures


def coverage(kind: Kind, streams: int, size: int, audited: float, seed: int) -> tuple[int, int]:
    """(streams for which a line was proposed, those of them that lose no more than the bound)."""
    rng = random.Random(seed)
    lost = [share for share in (stream(rng, size, audited, kind) for _ in range(streams)) if share is not None]
    return len(lost), sum(share <= BOUND for share in lost)
