"""The language-model stage's setting, and when its budget is spent. Nothing here asks the database."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

MIN_SUPPORT = 0.7


class Mode(StrEnum):
    """Whether the stage's line stops candidates, or their relevance only puts the queue in order."""

    FILTER = "filter"
    RANK = "rank"


@dataclass(frozen=True)
class Budget:
    """What may be spent from `since` on: money in the endpoint's currency, tokens of either kind, or both."""

    since: str
    cost: float | None = None
    tokens: int | None = None

    @property
    def begins(self) -> datetime:
        return datetime.fromisoformat(self.since)


@dataclass(frozen=True)
class Spent:
    """What answers have cost, and how many there were."""

    cost: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    answers: int = 0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True)
class Wanted:
    """The setting of the stage `llm`. A proposal with less than `min_support` (0 to 1) is not offered.

    Where `required`, candidates wait for a model that is down; else they go on without it.
    """

    endpoint: int | None = None
    prompt: int | None = None
    with_picture: bool = False
    mode: Mode = Mode.FILTER
    required: bool = False
    min_support: float = MIN_SUPPORT
    budget: Budget | None = None

    @classmethod
    def read(cls, setting: Mapping[str, Any]) -> "Wanted":
        budget = setting.get("budget")
        known = {name: setting[name] for name in cls.__dataclass_fields__ if name in setting}
        return cls(
            **known | {"mode": Mode(setting.get("mode", Mode.FILTER)), "budget": Budget(**budget) if budget else None}
        )

    def as_setting(self) -> dict[str, Any]:
        return asdict(self) | {"mode": self.mode.value}

    @property
    def is_set_up(self) -> bool:
        return self.endpoint is not None and self.prompt is not None


def is_spent(budget: Budget | None, spent: Spent) -> bool:
    """Whether nothing may be asked any more."""
    if budget is None:
        return False
    over_cost = budget.cost is not None and spent.cost >= budget.cost
    return over_cost or (budget.tokens is not None and spent.tokens >= budget.tokens)
