"""The log of events, read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Select, Text, cast, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.operations.sentences import Entry, acts_of
from app.tables import Event, Source, User

SYSTEM = "system"


@dataclass(frozen=True)
class EventFilter:
    """Which events. `who` is a user's id or `system`, `subject` a kind and an id, `before` an event's id."""

    who: str = ""
    group: str = ""
    subject: tuple[str, str] | None = None
    day: date | None = None
    job_id: int | None = None
    before: int | None = None


def events(session: Session, wanted: EventFilter, limit: int) -> list[Entry]:
    """The newest events that fit, the newest first."""
    return [_entry(*row) for row in session.execute(_statement(wanted).limit(limit))]


def all_events(session: Session, wanted: EventFilter) -> Iterator[Entry]:
    """Every event that fits, streamed, the newest first."""
    rows = session.execute(_statement(replace(wanted, before=None)).execution_options(yield_per=1000))
    return (_entry(*row) for row in rows)


def _entry(event: Event, who: str, person: str | None, source: str | None) -> Entry:
    return Entry(
        id=event.id,
        at=event.at,
        who=who,
        act=event.act,
        subject_kind=event.subject_kind,
        subject_id=event.subject_id,
        subject_name=person or source or "",
        details=event.details,
        job_id=event.job_id,
    )


def _statement(wanted: EventFilter) -> Select[Event, str, str, str]:
    person = aliased(User)
    statement = (
        select(Event, func.coalesce(User.name, SYSTEM), person.name, Source.name)
        .outerjoin(User, User.id == Event.user_id)
        .outerjoin(person, (Event.subject_kind == "person") & (cast(person.id, Text) == Event.subject_id))
        .outerjoin(Source, (Event.subject_kind == "source") & (cast(Source.id, Text) == Event.subject_id))
        .order_by(Event.id.desc())
    )
    if wanted.who:
        by_system = Event.user_id.is_(None)
        statement = statement.where(by_system if wanted.who == SYSTEM else Event.user_id == int(wanted.who))
    if wanted.group:
        statement = statement.where(Event.act.in_(acts_of(wanted.group)))
    if wanted.subject:
        kind, subject_id = wanted.subject
        statement = statement.where(Event.subject_kind == kind, Event.subject_id == subject_id)
    if wanted.day:
        start = datetime.combine(wanted.day, time(), UTC)
        statement = statement.where(Event.at >= start, Event.at < start + timedelta(days=1))
    if wanted.job_id:
        about_it = (Event.subject_kind == "job") & (Event.subject_id == str(wanted.job_id))
        statement = statement.where(or_(Event.job_id == wanted.job_id, about_it))
    if wanted.before:
        statement = statement.where(Event.id < wanted.before)
    return statement


def people(session: Session) -> list[tuple[int, str]]:
    """Everyone who may have done something: (id, name), by name."""
    return [(row[0], row[1]) for row in session.execute(select(User.id, User.name).order_by(User.name))]
