"""Counts taken together by one grouped query and kept a few seconds, so that pages agree."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.tables import Candidate, CandidateState, Tally

KEPT_SECONDS = 5


def candidate_counts(session: Session) -> dict[str, int]:
    """Candidates by state; every state is there. At most 5 s old."""
    return kept(session, "candidates", _count_candidates)


def _count_candidates(session: Session) -> dict[str, int]:
    rows = session.execute(select(Candidate.state, func.count()).group_by(Candidate.state))
    return {state.value: 0 for state in CandidateState} | {state.value: n for state, n in rows}


def kept(
    session: Session, name: str, count: Callable[[Session], dict[str, int]], seconds: float = KEPT_SECONDS
) -> dict[str, int]:
    """What `count` says, asked again only when the last answer under `name` is older than `seconds`."""
    now = func.clock_timestamp()
    row = session.execute(select(Tally.counts, Tally.taken_at, now).where(Tally.name == name)).one_or_none()
    if row and (row[2] - row[1]).total_seconds() < seconds:
        return dict(row[0])
    counts = count(session)
    values = {"counts": counts, "taken_at": now}
    statement = insert(Tally).values(name=name, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
    return counts


def taken_at(session: Session, name: str) -> datetime | None:
    return session.scalar(select(Tally.taken_at).where(Tally.name == name))
