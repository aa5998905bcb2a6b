"""What figures stand on: databases, web servers, folders and processes, all gone when the run ends."""

import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from sqlalchemy import make_url

from app.embedded import EmbeddedServices
from app.supervisor import Child, Supervisor
from tests.services import ROOT, Server

# Settings of whoever types the command: where the servers are, and whether Python keeps what it compiled.
NOT_OURS = ("DATABASE_URL", "REDIS_URL", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class Ground:
    """A running PostgreSQL and Valkey with the product's own settings, and a folder on the same disk."""

    folder: Path
    services: EmbeddedServices
    scale: float

    def count(self, full: int, least: int = 1) -> int:
        """How many of something to measure on, at this run's scale."""
        return max(least, round(full * self.scale))

    @contextmanager
    def place(self) -> Iterator[dict[str, str]]:
        """The environment of an installation of its own: a fresh migrated database and an empty home."""
        server = Server(make_url(self.services.database_url).set(database="postgres"))
        url = server.create()
        with TemporaryDirectory(prefix="home-", dir=self.folder) as home:
            try:
                yield {"DATABASE_URL": url, "REDIS_URL": self.services.redis_url, "IPATH_HOME": home}
            finally:
                server.drop(url)

    @contextmanager
    def folder_of(self, prefix: str) -> Iterator[Path]:
        with TemporaryDirectory(prefix=f"{prefix}-", dir=self.folder) as made:
            yield Path(made)


@contextmanager
def prepared(scale: float) -> Iterator[Ground]:
    """Starts the servers in a new folder below `var/`, where the product keeps its data too."""
    for name in list(os.environ):
        if name.startswith("IPATH_") or name in NOT_OURS:
            del os.environ[name]
    (ROOT / "var").mkdir(exist_ok=True)
    with (
        TemporaryDirectory(prefix="bench-", dir=ROOT / "var", ignore_cleanup_errors=True) as folder,
        EmbeddedServices(Path(folder) / "services") as services,
    ):
        yield Ground(Path(folder), services, scale)


# --- processes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """A running `ipath` command that answers at `url`, `seconds` after it was started."""

    url: str
    process: psutil.Process
    seconds: float


@contextmanager
def site(command: str, environment: Mapping[str, str]) -> Iterator[Site]:
    """Runs `ipath COMMAND` until the block ends. Yields once it answers and its processes are idle."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    answers = Child(
        command,
        [sys.executable, "-m", "app.cli", command],
        env={**environment, "IPATH_PORT": str(port)},
        ready=lambda: is_up(url),
        stop_seconds=60,
    )
    with Supervisor(Path(environment["IPATH_HOME"]) / "logs") as supervisor:
        start = time.monotonic()
        supervisor.start(answers)
        seconds = time.monotonic() - start
        process = psutil.Process(supervisor.pid(command))
        wait_until_idle(process)
        yield Site(url, process, seconds)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/sign-in", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until_idle(process: psutil.Process, pause: float = 0.5) -> None:
    """Until a process and its children used hardly any processor for a while: all of them have started."""
    before, now = -1.0, 0.0
    while now - before > 0.02:
        before = now
        time.sleep(pause)
        now = 0.0
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                now += times.user + times.system
