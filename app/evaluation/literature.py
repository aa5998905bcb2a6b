"""Figures that others published, each with its source and protocol. They are never mixed with ours. Pure."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.evaluation.catalogue import DATA
from app.evaluation.policies import Task

UNKNOWN = (
    "The paper of IPATH and IP-CLIP names its seven external sets nowhere that is public; PLIP's four are likely among "
    "them. Its classifiers, prompts, splits, training settings and tables of results are unknown, and its README does "
    "not say whether its ranges belong to the conference or to the journal paper. So its figures can't be reproduced "
    "exactly, and none of ours stands for one of theirs."
)


@dataclass(frozen=True)
class Line:
    """One set's published figures by model. `layout` is empty where it is none of the catalogue's."""

    layout: str
    part: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """What one source measured by one protocol."""

    task: Task
    metric: str
    source: str
    protocol: str
    lines: list[Line]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for line in self.lines for model in line.values))


@cache
def references() -> tuple[Reference, ...]:
    rows = json.loads((DATA / "literature.json").read_text(encoding="utf-8"))
    return tuple(
        Reference(
            Task(row["task"]), row["metric"], row["source"], row["protocol"], [Line(**line) for line in row["lines"]]
        )
        for row in rows
    )


def of(task: Task, layouts: Collection[str]) -> list[Reference]:
    """The references for a task: their lines on the layouts, and those on sets that are none of ours."""
    made = []
    for one in references():
        lines = [line for line in one.lines if not line.layout or line.layout in layouts]
        if one.task is task and lines:
            made.append(Reference(one.task, one.metric, one.source, one.protocol, lines))
    return made
