"""The processes of one machine: embedded servers where no URL names others, one worker, the web server."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from app import presence
from app.config import settings
from app.db import transaction
from app.embedded import EmbeddedServices, HomeInUse
from app.errors import Conflict
from app.supervisor import Child, Supervisor
from app.tables import WorkQueue

ROOT = Path(__file__).parents[1]
ALL_QUEUES = ",".join(queue.value for queue in WorkQueue)


def migrate() -> None:
    """Brings the database to this version's tables."""
    from alembic import command  # 12 MB that a web process never needs
    from alembic.config import Config

    command.upgrade(Config(ROOT / "alembic.ini"), "head")


def services(supervisor: Supervisor) -> EmbeddedServices:
    """PostgreSQL and Valkey as children of `supervisor`, each only where no URL names another server."""
    chosen = settings()
    return EmbeddedServices(
        chosen.home_path,
        supervisor,
        postgres=chosen.database_url_setting is None,
        valkey=chosen.redis_url_setting is None,
    )


def worker_command(queues: str = ALL_QUEUES, threads: int = 4) -> list[str]:
    """A Celery worker with a pool of threads, so that all queues share one torch."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    pool = ["--pool", "threads", "--concurrency", str(threads), "--queues", queues]
    return [sys.executable, "-m", "celery", "--app", "workers.main", "worker", *pool, *quiet]


def worker_child() -> Child:
    """A busy worker would outlive a killed supervisor by its soft shutdown; its jobs' leases make killing it safe."""
    return Child("worker", worker_command(), stop_seconds=30, orphan_signal=signal.SIGKILL)


def web_child() -> Child:
    """Ready when it answers, so that what starts next does not slow it down."""
    return Child("web", [sys.executable, "-m", "app.cli", "web"], ready=answers, stop_seconds=10, terminal=True)


def check_port() -> None:
    """Raises Conflict when another program listens where our web server should."""
    chosen = settings()
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    try:
        socket.create_server((chosen.host, chosen.port), family=family).close()
    except OSError as error:
        raise Conflict(
            f"{url()} can't be used: {error.strerror}.",
            "Stop what listens there, or set IPATH_PORT to another port.",
        ) from error


def url() -> str:
    """Where the web server is to be opened on this machine."""
    host = settings().host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{settings().port}"  # noqa: S104


def answers() -> bool:
    try:
        with urlopen(f"{url()}/health", timeout=1) as answer:  # noqa: S310  # an address of our own making
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def running(needs: WorkQueue | None = None) -> Iterator[Supervisor | None]:
    """Servers for one command of the shell, and a worker if it `needs` a queue that none serves.

    Those of a running `ipath serve` are used; otherwise they are started and stopped again with the command.
    Yields the supervisor of a worker that was started here: watch it while waiting, so that the worker is kept alive.
    """
    supervisor = Supervisor(settings().home_path / "logs")
    ours = services(supervisor)
    try:
        ours.start()
    except HomeInUse:
        yield None
        return
    try:
        migrate()
        start = needs is not None and not served(needs)
        if start:
            supervisor.start(worker_child())
        yield supervisor if start else None
    finally:
        ours.stop()


def served(queue: WorkQueue) -> bool:
    """Whether some live worker serves the queue."""
    with transaction() as session:
        return queue.value in presence.served_queues(session)
