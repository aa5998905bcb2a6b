"""How often people kept, edited or threw away what machines proposed. Nothing here asks the database."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.prefilter import origins
from app.prefilter.proof import Estimate, exact_interval


class Outcome(StrEnum):
    """What a person did about a proposal. A field is kept, edited or cleared; a caption any but cleared."""

    KEPT = "kept"
    EDITED = "edited"
    CLEARED = "cleared"
    RESTORED = "restored"
    REJECTED = "rejected"


CORRECTED = (Outcome.EDITED, Outcome.CLEARED, Outcome.RESTORED)
THROWN_AWAY = (Outcome.CLEARED, Outcome.RESTORED, Outcome.REJECTED)


@dataclass(frozen=True)
class Seen:
    """So many reviews in which a proposal of `maker` had one outcome; `field` is empty for captions."""

    maker: str
    source: str
    language: str
    field: str
    outcome: Outcome
    count: int


@dataclass(frozen=True)
class Rate:
    """What became of one group of proposals."""

    key: str
    counts: Mapping[Outcome, int]

    def of(self, *outcomes: Outcome) -> int:
        return sum(self.counts.get(outcome, 0) for outcome in outcomes)

    def share(self, *outcomes: Outcome) -> float:
        """Of all reviews, from 0 to 1."""
        return self.of(*outcomes) / self.judged

    @property
    def judged(self) -> int:
        return sum(self.counts.values())

    @property
    def kept(self) -> int:
        return self.of(Outcome.KEPT)

    @property
    def edited(self) -> int:
        return self.of(Outcome.EDITED)

    @property
    def thrown_away(self) -> int:
        return self.of(*THROWN_AWAY)

    @property
    def parts(self) -> list[tuple[str, float]]:
        """Fills and shares of one whole, for a bar."""
        return [("f3", self.share(Outcome.KEPT)), ("f2", self.share(Outcome.EDITED)), ("f5", self.share(*THROWN_AWAY))]

    @property
    def correction(self) -> Estimate | None:
        """The share that people corrected of what they published, with its exact interval (as ChatEarthNet reports)."""
        corrected, published = self.of(*CORRECTED), self.judged - self.of(Outcome.REJECTED)
        if not published:
            return None
        return Estimate(corrected / published, *exact_interval(corrected, published), published)


def grouped(seen: Iterable[Seen], key: Callable[[Seen], str]) -> list[Rate]:
    """One rate a key, the most judged first."""
    counts: dict[str, dict[Outcome, int]] = {}
    for one in seen:
        of_key = counts.setdefault(key(one), {})
        of_key[one.outcome] = of_key.get(one.outcome, 0) + one.count
    rates = [Rate(name, found) for name, found in counts.items()]
    return sorted(rates, key=lambda rate: (-rate.judged, rate.key))


def maker_title(made_by: str) -> str:
    """`llm 3` as people read it."""
    word, _, version = made_by.partition(" ")
    what = "prompt" if word == origins.Maker.LLM else "version"
    return f"{origins.TITLES[origins.maker_of(made_by)]}, {what} {version}" if version else made_by


def median(values: Sequence[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
