"""The PostgreSQL that all test runs of this checkout share.

A keeper process owns it. Every user holds a shared lock on a file; the keeper stops the server once it can
take that lock alone, so it ends with the last user, also when that one was killed. A database is migrated
once per state of `migrations/` and then copied.

`python -m tests.services COMMAND ...` runs a command with DATABASE_URL naming a fresh migrated database.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

import psycopg
from sqlalchemy import URL, make_url

from app.embedded import EmbeddedServices, HomeInUse, database_url

ROOT = Path(__file__).parent.parent
HOME = ROOT / "tests" / ".cache" / "home"
WITHOUT_SYNC = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "2GB"}

numbers = count(1)


class Server:
    """Makes and drops databases. `admin` is a URL whose user may do so."""

    def __init__(self, admin: URL) -> None:
        self.admin = admin

    def create(self, like: str = "") -> str:
        """The URL of a new database with every table in it and no rows but the migrations' own.

        Or of a copy of the one at the URL `like`, to which nobody may be connected.
        """
        template = make_url(like).database if like else self._template()
        name = f"test_{os.getpid()}_{next(numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self._url(name)

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def drop_leftovers(self) -> None:
        """Drops what killed runs and older migrations left behind."""
        kept = template_name()
        for name in self.execute("SELECT datname FROM pg_database WHERE datname ~ '^(test|template)_'"):
            if name != kept:
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _template(self) -> str:
        name = template_name()
        with self._connect() as connection:
            connection.execute("SELECT pg_advisory_lock(1)")  # freed when the connection closes
            if not self.execute(f"SELECT datname FROM pg_database WHERE datname = '{name}'"):
                self._build(name)
        return name

    def _build(self, name: str) -> None:
        unfinished = f"{name}_unfinished"
        self.execute(f"DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {unfinished}")
        migrate(self._url(unfinished))
        self.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")

    def _connect(self) -> "psycopg.Connection[tuple[str]]":
        return psycopg.connect(psycopg_url(self.admin), autocommit=True)

    def execute(self, statement: str) -> list[str]:
        with self._connect() as connection:
            cursor = connection.execute(statement)
            return [row[0] for row in cursor] if cursor.description else []

    def _url(self, database: str) -> str:
        return self.admin.set(database=database).render_as_string(hide_password=False)


def template_name() -> str:
    """Named by the contents of `migrations/`, so that a change there makes a new template."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "migrations").rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"template_{digest.hexdigest()[:16]}"


def migrate(url: str) -> None:
    """Runs `alembic upgrade head` on a database. Raises RuntimeError with its output if that fails."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"alembic upgrade head failed:\n{done.stdout}{done.stderr}")


def psycopg_url(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def running() -> Iterator[Server]:
    """The server named by TEST_DATABASE_URL, or the shared embedded one."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield Server(make_url(named))
        return
    with users_lock() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # waits while a keeper is stopping its server
        server = Server(make_url(database_url(HOME)).set(database="postgres"))
        start_unless_running(server)
        yield server


@contextmanager
def users_lock() -> Iterator[IO[str]]:
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (HOME / "users").open("a") as lock:
        yield lock


def start_unless_running(server: Server) -> None:
    """Of two keepers started at once, one finds the folder in use and ends."""
    if accepts_connections(server):
        return
    output = HOME / "logs" / "keeper.log"
    output.parent.mkdir(exist_ok=True)
    with output.open("ab") as log:
        command = [sys.executable, "-m", "tests.services"]
        subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
    deadline = time.monotonic() + 60
    while not accepts_connections(server):
        if time.monotonic() > deadline:
            raise RuntimeError(f"The test database did not start. See {output.parent}.")
        time.sleep(0.05)


def accepts_connections(server: Server) -> bool:
    try:
        server.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def keep() -> None:
    """Leaves a process behind that runs the server until nobody uses it."""
    if os.fork():
        return
    os.setsid()
    services = EmbeddedServices(HOME, valkey=False, postgres_settings=WITHOUT_SYNC)
    with users_lock() as lock, suppress(HomeInUse), services:
        while not alone(lock):
            services.supervisor.watch()
            time.sleep(0.2)
        Server(make_url(services.database_url).set(database="postgres")).drop_leftovers()


def alone(lock: IO[str]) -> bool:
    """Whether no user holds the lock. While it is ours, a new user waits until the server is stopped."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run_command(command: list[str]) -> int:
    with running() as server:
        url = server.create()
        try:
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode
        finally:
            server.drop(url)


if __name__ == "__main__":
    if command := sys.argv[1:]:
        sys.exit(run_command(command))
    keep()
