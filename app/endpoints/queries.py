"""What the endpoints' page, their jobs and checks, and the language-model stage read."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs
from app.endpoints.policies import EndpointState, state
from app.errors import NotFound
from app.prefilter import queries as stage_queries
from app.tables import Endpoint, Job

STAGE = "llm"
JOB = "test_endpoint"


@dataclass(frozen=True)
class Shown:
    """An endpoint with what its row alone does not say. `waiting` counts the candidates that wait for it."""

    endpoint: Endpoint
    state: EndpointState
    in_use: bool
    waiting: int
    job: Job | None


def endpoint(session: Session, endpoint_id: int) -> Endpoint:
    """Raises NotFound."""
    found = session.get(Endpoint, endpoint_id)
    if found is None:
        raise NotFound("There is no such endpoint.", "Look at the list of endpoints.")
    return found


def locked(session: Session, endpoint_id: int) -> Endpoint:
    """The row, locked against other changes. Raises NotFound."""
    endpoint(session, endpoint_id)
    statement = select(Endpoint).where(Endpoint.id == endpoint_id).with_for_update(key_share=True)
    return session.scalars(statement.execution_options(populate_existing=True)).one()


def every(session: Session) -> Sequence[Endpoint]:
    """Those in service first, the newest first."""
    return session.scalars(select(Endpoint).order_by(Endpoint.retired, Endpoint.id.desc())).all()


def usable(session: Session) -> Sequence[Endpoint]:
    """Those that are not retired, by name: what one can choose from."""
    return session.scalars(select(Endpoint).where(~Endpoint.retired).order_by(Endpoint.name)).all()


def named(session: Session, name: str) -> Endpoint | None:
    return session.scalars(select(Endpoint).where(func.lower(Endpoint.name) == name.lower())).first()


def in_use(session: Session) -> Endpoint | None:
    """The endpoint that the language-model stage calls."""
    chosen = stage_queries.stage_row(session, STAGE).setting.get("endpoint")
    return session.get(Endpoint, chosen) if chosen else None


def may_call(session: Session, endpoint_id: int) -> bool:
    """False while so many calls failed in a row that nobody calls for a while."""
    return closed_for(session, endpoint_id) == 0


def closed_for(session: Session, endpoint_id: int) -> float:
    """The seconds until one may call again; 0 when one may now."""
    left = func.extract("epoch", Endpoint.open_until - func.clock_timestamp())
    found = session.scalar(select(left).where(Endpoint.id == endpoint_id))
    return max(0.0, float(found or 0))


def waiting(session: Session) -> int:
    """How many candidates wait for the language model."""
    return stage_queries.waiting(session, STAGE)


def shown(session: Session) -> list[Shown]:
    """Every endpoint, the one in use first."""
    used = in_use(session)
    testing = {job.arguments["endpoint"]: job for job in open_tests(session)}
    found = [
        Shown(
            one,
            state(one),
            bool(used and used.id == one.id),
            waiting(session) if used and used.id == one.id else 0,
            testing.get(one.id),
        )
        for one in every(session)
    ]
    return sorted(found, key=lambda one: not one.in_use)


def open_tests(session: Session) -> Sequence[Job]:
    return session.scalars(select(Job).where(Job.kind == JOB, Job.state.in_(jobs.OPEN)).order_by(Job.id)).all()


def failed_test(session: Session) -> Job | None:
    """The newest test, where it could not be made at all."""
    newest = session.scalars(select(Job).where(Job.kind == JOB).order_by(Job.id.desc()).limit(1)).first()
    return newest if newest and newest.state.value == "failed" else None
