"""Which workers live and what they serve, by the rows that they renew every two seconds."""

from contextlib import suppress
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db import sessions
from app.tables import Worker

WORKER_ALIVE = timedelta(seconds=4.5)


def beat_worker(host: str, pid: int, queues: list[str], job_id: int | None, memory: int) -> None:
    """Says that this worker process lives, and what it does. Rows unseen for a minute are dropped."""
    values = {"queues": queues, "job_id": job_id, "memory": memory, "seen_at": func.clock_timestamp()}
    statement = insert(Worker).values(host=host, pid=pid, **values)
    with sessions().begin() as session:
        session.execute(statement.on_conflict_do_update(index_elements=["host", "pid"], set_=values))
        unseen = Worker.seen_at < func.clock_timestamp() - timedelta(minutes=1)
        session.execute(delete(Worker).where(unseen))


def drop_worker(host: str, pid: int) -> None:
    """Takes a worker off the list as it stops."""
    with suppress(Exception), sessions().begin() as session:
        session.execute(delete(Worker).where(Worker.host == host, Worker.pid == pid))


def served_queues(session: Session) -> set[str]:
    """The queues that some live worker serves."""
    alive = select(Worker.queues).where(Worker.seen_at > func.clock_timestamp() - WORKER_ALIVE)
    return {queue for queues in session.scalars(alive) for queue in queues}


def machines_serving(session: Session, queue: str) -> int:
    """How many machines have a live worker that serves the queue."""
    alive = select(Worker.host).where(Worker.seen_at > func.clock_timestamp() - WORKER_ALIVE)
    return len(set(session.scalars(alive.where(Worker.queues.contains([queue])))))
