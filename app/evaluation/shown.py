"""What an evaluation's page and its tables of items say, from its row and its files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.evaluation import folders, metrics, passport, pools
from app.evaluation.planning import forbidden
from app.evaluation.policies import RANKS, Task, command
from app.evaluation.queries import Shown

ITEM_COLUMNS = ("item", "group", "truth", "said", "score", "right", "skipped")

HEADLINES = ("accuracy", "macro_f1", "balanced_accuracy", "auroc", "ece")


def headline(task: Task, figures: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """(Key, figure) of what stands on top of the page."""
    there = figures.get("figures", {})
    if task is Task.FEW_SHOT:
        wanted = [key for key in there if key.startswith("balanced_accuracy.")]
    elif task is Task.RETRIEVAL:
        wanted = [f"{way}.r{k}.strict" for way in metrics.DIRECTIONS for k in RANKS[:3]]
    else:
        wanted = list(HEADLINES)
    return [(key, there[key]) for key in wanted if key in there]


def command_of(found: Shown) -> str:
    on = str(found.snapshot.number) if found.snapshot else found.on
    confirmed = any(forbidden(found.encoder, found.set))
    return command(found.encoder.name, on, found.row.task, found.row.settings, confirmed=confirmed)


@dataclass(frozen=True)
class Side:
    """A pair as a result: its caption, and its picture by SHA-256, or by number in a set. Empty where it was withdrawn
    or its caption taken down."""

    key: str
    picture: str | int
    caption: str
    is_right: bool = False


@dataclass(frozen=True)
class Example:
    """A query of a search, at which rank its own came, and what came first."""

    direction: str
    rank: float
    query: Side
    results: list[Side]


def examples(session: Session, found: Shown) -> list[Example]:
    """The kept queries of a retrieval with their first results, without pairs that were withdrawn since.

    None of a set that was read again: its pictures have other numbers by now.
    """
    kept = found.row.metrics.get("examples", [])
    keys = {key for one in kept for key in (one["query"], *one["results"])}
    pairs: Mapping[str, tuple[str | int, str]] = {}
    if found.set and keys and found.row.settings["items"] == found.set.items_sha256:
        rows = folders.read_rows(folders.items_file(found.set.id, found.row.settings["items"]))
        pairs = {row["id"]: (row["number"], row["caption"]) for row in rows if row["id"] in keys}
    elif found.snapshot:
        pairs = pools.pairs_shown(session, found.snapshot.id, sorted(keys))
    made = []
    for one in kept:
        if one["query"] not in pairs:
            continue
        results = [Side(key, *pairs[key], is_right=key in one["right"]) for key in one["results"] if key in pairs]
        made.append(Example(one["direction"], one["rank"], Side(one["query"], *pairs[one["query"]]), results))
    return made


def items(found: Shown) -> Iterator[list[Any]]:
    """A row for every item that was used, then for every one that was skipped, under ITEM_COLUMNS."""
    for row in folders.read_rows(folders.predictions_file(found.row.id)):
        if found.row.task is Task.RETRIEVAL:
            ranks = [f"{way} {row[f'{way}.group_aware']:g}" for way in metrics.DIRECTIONS]
            yield [row["item"], row["group"], "", f"first right one at rank: {', '.join(ranks)}", "", "", ""]
        else:
            right = "yes" if row["said"] == row["truth"] else "no"
            yield [row["item"], row["group"], row["truth"], row["said"], f"{row['score']:.6g}", right, ""]
    for item, why in passport.from_bytes(folders.passport_file(found.row.id).read_bytes()).skipped:
        yield [item, "", "", "", "", "", why]
