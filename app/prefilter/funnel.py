"""The funnel: how many candidates came into each stage, which it dropped and why, and by the week they came in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from app.prefilter import stages
from app.prefilter.languages import language_name
from app.tables import (
    Candidate,
    CandidateState,
    FindingNow,
    FlagOrigin,
    Import,
    Outcome,
    Post,
    Source,
    Stage,
    StageTodo,
)

S = CandidateState
PASSED_BY_ITSELF = ("sharp", "histology")  # labels of what is dropped only where the line is set higher than usual


# --- whose candidates ---------------------------------------------------------------------------


def came_from(source_id: int | None, import_id: int | None) -> list[ColumnElement[bool]]:
    """The condition on candidates of one source, of one import, or of both."""
    conditions: list[ColumnElement[bool]] = []
    if source_id:
        conditions.append(Candidate.post_id.in_(select(Post.id).where(Post.source_id == source_id)))
    if import_id:
        conditions.append(Candidate.import_id == import_id)
    return conditions


def sources(session: Session) -> Sequence[Source]:
    return session.scalars(select(Source).order_by(Source.name)).all()


def recent_imports(session: Session, limit: int = 50) -> Sequence[Import]:
    return session.scalars(select(Import).order_by(Import.id.desc()).limit(limit)).all()


# --- stage by stage -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Reason:
    """What a stage called those that it dropped: the label as it is stored, in words, and how many."""

    label: str
    words: str
    count: int


@dataclass(frozen=True)
class StageCounts:
    """A stage in the funnel: how many are through it, dropped by it or before it, held by it, and wait for it.

    `reasons` are of the dropped ones that have a label, the most frequent first; the others are below the line.
    """

    stage: stages.Stage
    row: Stage
    through: int
    dropped: int
    dropped_before: int
    held: int
    due: int
    not_run: int
    errors: int
    reasons: Sequence[Reason]


def funnel(session: Session, where: Sequence[ColumnElement[bool]] = ()) -> tuple[int, list[StageCounts]]:
    """How many candidates came in, and each stage's counts; of those that `where` names.

    A stage gets what the one before let through; some of that it drops, some waits for it, the rest is through.
    What counts is where a candidate is now, not which stages have seen it: a moved threshold stops candidates
    that later stages have looked at, and running again sends back what all of them have.
    """
    total, places, labels = _places(session, where)
    no_score = _without_score(session, where)
    rows = {row.name: row for row in session.scalars(select(Stage))}
    counts, through, before = [], total, 0
    for stage in stages.STAGES:
        dropped, held, due = (places.get((stage.name, place), 0) for place in ("dropped", "held", "due"))
        through -= dropped + held + due
        not_run, errors = (no_score.get((stage.name, outcome), 0) for outcome in (Outcome.NOT_RUN, Outcome.ERROR))
        reasons = _reasons(stage.name, labels)
        row = rows[stage.name]
        counts.append(StageCounts(stage, row, through, dropped, before, held, due, not_run, errors, reasons))
        before += dropped + held
    return total, counts


def _reasons(stage: str, labels: Mapping[tuple[str, str], int]) -> list[Reason]:
    of_stage = [
        Reason(label, reason_words(stage, label), count) for (name, label), count in labels.items() if name == stage
    ]
    return sorted(of_stage, key=lambda reason: (-reason.count, reason.words))


def reason_words(stage: str, label: str) -> str:
    """A label as the reason why a stage dropped a candidate."""
    if stage == "language":
        return language_name(label)
    return f"{label}, but below the line" if label in PASSED_BY_ITSELF else label


def _places(
    session: Session, where: Sequence[ColumnElement[bool]]
) -> tuple[int, dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """All candidates, and by stage how many it `dropped`, holds for an admin (`held`) or has to look at (`due`).

    Then those that it dropped by stage and label. One query counts them all, so that they add up.
    """
    first = stages.STAGES[0].name
    dropped = Candidate.state == S.FILTERED_OUT
    held = (Candidate.state == S.FLAGGED) & (Candidate.flag_origin == FlagOrigin.MACHINE)
    place = case((dropped, "dropped"), (held, "held"), else_="due")
    # One that went on without the language model is where it went, though that one has still to look at it.
    waits_for = (
        select(StageTodo.stage)
        .where(StageTodo.candidate_id == Candidate.id)
        .order_by(StageTodo.stage == "llm")
        .limit(1)
        .scalar_subquery()
    )
    stage = case(
        (dropped | held, Candidate.stopped_by),
        (Candidate.state == S.INCOMING, first),
        (Candidate.state == S.FILTERING, func.coalesce(waits_for, first)),
    )
    said = select(FindingNow.label).where(
        FindingNow.candidate_id == Candidate.id, FindingNow.stage == Candidate.stopped_by
    )
    label = case((dropped, said.scalar_subquery()))
    each = (
        select(stage.label("stage"), place.label("place"), label.label("label"))
        .where(Candidate.state != S.WITHDRAWN, *where)
        .subquery()
    )
    total, places, labels = 0, dict[tuple[str, str], int](), dict[tuple[str, str], int]()
    rows: Iterable[Any] = session.execute(select(*each.c, func.count()).group_by(*each.c))
    for name, where_it_is, called, count in rows:
        total += count
        if name:
            places[name, where_it_is] = places.get((name, where_it_is), 0) + count
        if called:
            labels[name, called] = count
    return total, places, labels


def _without_score(session: Session, where: Sequence[ColumnElement[bool]]) -> dict[tuple[str, Outcome], int]:
    """(Stage, outcome) → on how many it was not run or failed, of those that it let through."""
    rows = session.execute(
        select(FindingNow.stage, FindingNow.outcome, func.count())
        .join(Candidate, Candidate.id == FindingNow.candidate_id)
        .where(
            FindingNow.outcome != Outcome.OK,
            FindingNow.stale.is_(False),
            Candidate.state.not_in([S.WITHDRAWN, S.FILTERED_OUT]),
            *where,
        )
        .group_by(FindingNow.stage, FindingNow.outcome)
    )
    return {(stage, outcome): count for stage, outcome, count in rows}


# --- over time ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Week:
    """What became of the candidates that came in one week; `by_stage` has every stage, in their order."""

    monday: datetime
    total: int
    dropped: int
    good: int
    by_stage: Mapping[str, int]


def weeks(session: Session, where: Sequence[ColumnElement[bool]], limit: int = 26) -> list[Week]:
    """Candidates by the week they came in, oldest first: all, dropped by a stage, accepted since, dropped by each."""
    monday = func.date_trunc("week", Candidate.created_at).label("monday")
    dropped = Candidate.state == S.FILTERED_OUT
    conditions = (
        dropped,
        Candidate.state == S.ACCEPTED,
        *(dropped & (Candidate.stopped_by == name) for name in stages.NAMES),
    )
    rows: Sequence[Any] = session.execute(
        select(monday, func.count(), *(func.count().filter(condition) for condition in conditions))
        .where(Candidate.state != S.WITHDRAWN, *where)
        .group_by(monday)
        .order_by(monday.desc())
        .limit(limit)
    ).all()
    found = [
        Week(monday, total, dropped, good, dict(zip(stages.NAMES, by_stage, strict=True)))
        for monday, total, dropped, good, *by_stage in rows
    ]
    return found[::-1]
