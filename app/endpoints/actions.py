"""What admins do with endpoints, and how each endpoint's row learns how its server does.

A key is only ever named here: its value is read by the worker that calls (app.config).
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import case, func, text, update
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.policies import Actor
from app.endpoints import queries
from app.endpoints.policies import FIRST_PAUSE, LONGEST_PAUSE, OPENS_AFTER
from app.errors import Conflict, Invalid
from app.tables import Endpoint, Job, Rung, WorkQueue

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a test and the failures so far say nothing about once it is another server, model or key.
ANOTHER_SERVER = ("base_url", "model", "key", "may_be_private")


@dataclass(frozen=True)
class Settings:
    """What an admin enters: where the model is, what it may be asked, and what it costs per million tokens."""

    name: str
    base_url: str
    model: str
    key: str = ""
    may_be_private: bool = False
    takes_pictures: bool = False
    in_flight: int = 1
    per_minute: int | None = None
    timeout_seconds: int = 120
    max_tokens: int = 1024
    price_in: float = 0
    price_out: float = 0


def add(session: Session, actor: Actor, given: Settings) -> Endpoint:
    """Raises Invalid when another endpoint has the name."""
    _refuse_taken_name(session, given.name, None)
    made = Endpoint(**asdict(given))
    session.add(made)
    session.flush()
    jobs.record(session, "endpoint.added", "endpoint", made.name, user_id=actor.user_id, details=_told(given))
    return made


def change(session: Session, actor: Actor, endpoint_id: int, given: Settings) -> Endpoint:
    """Another server, model or key has yet to be tested. Raises NotFound, Invalid when the name is taken.

    A key does not follow its endpoint to another host unless another name was given with it.
    """
    row = queries.locked(session, endpoint_id)
    _refuse_taken_name(session, given.name, row.id)
    if given.key == row.key and urlsplit(given.base_url).hostname != urlsplit(row.base_url).hostname:
        given = replace(given, key="")
    changed = [name for name, value in asdict(given).items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, getattr(given, name))
    if any(name in ANOTHER_SERVER for name in changed):
        _forget(row)
    elif "takes_pictures" in changed:
        row.test = {}
    if changed:
        details = _told(given) | {"changed": ", ".join(changed)}
        jobs.record(session, "endpoint.changed", "endpoint", row.name, user_id=actor.user_id, details=details)
    return row


def _forget(row: Endpoint) -> None:
    row.rung, row.test, row.tested_at = None, {}, None
    row.failures, row.down_since, row.last_error = 0, None, ""
    row.open_until = EPOCH


def _told(given: Settings) -> dict[str, Any]:
    return {"base_url": given.base_url, "model": given.model}


def _refuse_taken_name(session: Session, name: str, own: int | None) -> None:
    found = queries.named(session, name)
    if found and found.id != own:
        said = f"There is an endpoint named {found.name} already."
        raise Invalid(said, "Choose another name.", fields={"name": said})


def retire(session: Session, actor: Actor, endpoint_id: int, *, retired: bool) -> Endpoint:
    """Takes an endpoint out of what can be chosen, or back. Raises Conflict while the stage calls it."""
    row = queries.locked(session, endpoint_id)
    used = queries.in_use(session)
    if retired and used and used.id == row.id:
        raise Conflict(f"{row.name} is in use.", "Take another one into use first, or none.")
    if row.retired != retired:
        row.retired = retired
        if retired:
            jobs.record(session, "endpoint.retired", "endpoint", row.name, user_id=actor.user_id)
        else:
            jobs.record(session, "endpoint.brought_back", "endpoint", row.name, user_id=actor.user_id)
    return row


def ask_for_test(session: Session, actor: Actor, endpoint_id: int) -> Job:
    """A job that calls the endpoint and finds out what it can do. Raises Conflict for a retired one."""
    row = queries.endpoint(session, endpoint_id)
    if row.retired:
        raise Conflict(f"{row.name} is retired.", "Bring it back first.")
    arguments, key = {"endpoint": row.id}, f"{queries.JOB}:{row.id}"
    return jobs.submit(session, queries.JOB, WorkQueue.LLM, arguments, dedupe=key, requested_by=actor.user_id)


def note_test(
    session: Session, tested: Endpoint, found: dict[str, Any], rung: Rung | None, job: jobs.RunningJob
) -> bool:
    """Keeps what a test found. False, and nothing is kept, when the row names another server by now."""
    row = queries.locked(session, tested.id)
    if any(getattr(row, name) != getattr(tested, name) for name in ANOTHER_SERVER):
        return False
    row.tested_at = func.clock_timestamp()
    if found["answers"]:
        row.test, row.rung = found, rung
    else:  # what an earlier test found of the server holds still
        row.test = row.test | {"answers": False, "why": found["why"]}
    details = {"answers": found["answers"], "rung": rung.value if rung else None}
    jobs.record(
        session, "endpoint.tested", "endpoint", row.name, user_id=job.requested_by, job_id=job.id, details=details
    )
    session.flush()
    if found["answers"]:
        note_success(session, row.id)
    else:
        note_failure(session, row.id, found["why"])
    return True


# --- how the server does, as calls find out -------------------------------------------------------


def learn_rung(session: Session, endpoint_id: int, rung: Rung) -> None:
    """Keeps the rung at which the server took a request after it had refused the one before."""
    session.execute(update(Endpoint).where(Endpoint.id == endpoint_id).values(rung=rung))


def note_success(session: Session, endpoint_id: int) -> None:
    """It answers: whatever failed before is over."""
    well = {"failures": 0, "down_since": None, "open_until": EPOCH, "last_error": ""}
    failing = (Endpoint.id == endpoint_id) & (Endpoint.failures > 0)
    before = session.execute(
        update(Endpoint)
        .where(failing)
        .values(well)
        .returning(Endpoint.name, text("old.failures"))
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if before and before[1] >= OPENS_AFTER:
        jobs.record(session, "endpoint.came_back", "endpoint", before[0])


def note_failure(session: Session, endpoint_id: int, reason: str, *, retry_after: float = 0) -> None:
    """One more call in a row without an answer. From the tenth on nobody calls for a while: 10 s, doubling to 10 min.

    Nor does anybody for the `retry_after` seconds that the server asked for.

    Calls that were under way when that began are not counted again: they all failed for the same reason.
    """
    failures = Endpoint.failures + 1
    doublings = func.least(failures - OPENS_AFTER, 10)
    seconds = func.least(LONGEST_PAUSE, FIRST_PAUSE * func.power(2.0, doublings)) * (0.9 + 0.2 * func.random())
    pause = case((failures >= OPENS_AFTER, func.greatest(seconds, retry_after)), else_=retry_after)
    statement = (
        update(Endpoint)
        .where(Endpoint.id == endpoint_id, Endpoint.open_until <= func.clock_timestamp())
        .values(
            failures=failures,
            down_since=func.coalesce(Endpoint.down_since, func.clock_timestamp()),
            open_until=func.clock_timestamp() + pause * timedelta(seconds=1),
            last_error=reason,
        )
        .returning(Endpoint.failures, Endpoint.name)
        .execution_options(synchronize_session=False)
    )
    now = session.execute(statement).one_or_none()
    if now and now.failures == OPENS_AFTER:
        jobs.record(session, "endpoint.went_down", "endpoint", now.name, details={"why": reason})
