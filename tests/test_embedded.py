"""PostgreSQL and Valkey run as children on Unix sockets, and a kill -9 of anything is survived."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from kombu import Connection
from sqlalchemy import create_engine, make_url, text

from app import embedded
from app.embedded import EmbeddedServices, HomeInUse, database_url, redis_url, run_folder
from tests.test_supervisor import eventually

OWNER = """
import sys, time
from pathlib import Path
from app.embedded import EmbeddedServices
with EmbeddedServices(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(60)
"""
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServices]:
    """In a folder of mode 0700 whose name is no socket path."""
    home = tmp_path_factory.mktemp("embedded") / "a home, with a name"
    with EmbeddedServices(home) as made:
        yield made


def servers_of(home: Path) -> list[psutil.Process]:
    """Every living PostgreSQL or Valkey process that works in `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(home)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def query(home: Path, statement: str) -> list[object]:
    address = make_url(database_url(home)).set(drivername="postgresql").render_as_string()
    with psycopg.connect(address) as connection:
        cursor = connection.execute(statement.encode())
        return [row[0] for row in cursor] if cursor.description else []


def start_owner(home: Path) -> "subprocess.Popen[bytes]":
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE)
    assert owner.stdout
    with owner.stdout as output:
        assert output.readline() == b"up\n"
    return owner


def test_the_database_answers_at_its_url(services: EmbeddedServices) -> None:
    engine = create_engine(services.database_url)
    with engine.connect() as connection:
        row = connection.execute(text("SELECT current_database(), current_setting('max_connections')")).one()
    engine.dispose()
    assert tuple(row) == ("ipath", "200")


def test_the_broker_answers_at_its_url(services: EmbeddedServices) -> None:
    with Connection(services.redis_url) as connection:
        assert connection.default_channel.client.ping()


def test_another_process_computes_the_same_urls(services: EmbeddedServices) -> None:
    code = "import sys; from pathlib import Path; from app.embedded import *; "
    code += "print(database_url(Path(sys.argv[1])), redis_url(Path(sys.argv[1])), end='')"
    output = subprocess.check_output([sys.executable, "-c", code, str(services.home)], text=True)
    assert output == f"{services.database_url} {services.redis_url}"


def test_nothing_listens_on_tcp(services: EmbeddedServices) -> None:
    servers = servers_of(services.home)
    assert {server.name() for server in servers} == {"postgres", "valkey-server"}
    assert not [found for server in servers for found in server.net_connections("inet")]


def test_only_the_owner_may_enter_the_sockets_and_the_data(services: EmbeddedServices) -> None:
    data = services.home / "data"
    folders = (run_folder(services.home), data / "postgres", data / "valkey")
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700] * 3


def test_postgresql_does_not_run_as_root(services: EmbeddedServices) -> None:
    assert psutil.Process(services.supervisor.pid("postgres")).uids().effective != 0


def test_a_second_owner_is_refused_and_told_what_to_do(services: EmbeddedServices) -> None:
    advice = rf"already run by process {os.getpid()}; nothing was changed\. .* set IPATH_HOME"
    with pytest.raises(HomeInUse, match=advice):
        EmbeddedServices(services.home).start()


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_killed_server_comes_back_with_its_data(services: EmbeddedServices, name: str) -> None:
    query(services.home, "CREATE TABLE IF NOT EXISTS kept AS VALUES (1)")
    with Connection(services.redis_url) as connection:
        connection.default_channel.client.set("kept", "1")
    before = services.supervisor.pid(name)
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        services.supervisor.watch()
        return services.supervisor.pid(name) != before and answers(services)

    assert eventually(back, 10)
    assert query(services.home, "TABLE kept") == [1]
    with Connection(services.redis_url) as connection:
        assert connection.default_channel.client.get("kept") == b"1"


def answers(services: EmbeddedServices) -> bool:
    try:
        query(services.home, "SELECT 1")
        with Connection(services.redis_url) as connection:
            return bool(connection.default_channel.client.ping())
    except (psycopg.OperationalError, OSError, *Connection(services.redis_url).connection_errors):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_kill_9_of_the_owner_leaves_nothing_running(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    assert len(servers_of(tmp_path)) > 2
    owner.kill()
    owner.wait()
    assert eventually(lambda: not servers_of(tmp_path))


def test_kill_9_of_the_owner_does_not_stop_the_next_start(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    query(tmp_path, "CREATE TABLE kept AS VALUES (1)")
    owner.kill()
    owner.wait()
    with EmbeddedServices(tmp_path):  # at once, while the old servers may still be stopping
        assert query(tmp_path, "TABLE kept") == [1]


def test_a_server_that_outlived_its_owner_is_ended_before_the_next_start(tmp_path: Path) -> None:
    with EmbeddedServices(tmp_path):
        pass
    orphan = start_orphan(tmp_path)
    with EmbeddedServices(tmp_path):
        assert orphan.wait(5) == 0
        assert query(tmp_path, "SELECT 1") == [1]


def start_orphan(home: Path) -> "subprocess.Popen[bytes]":
    """PostgreSQL as a system without parent-death signals leaves it."""
    child = embedded.postgres_child(home, embedded.POSTGRES_SETTINGS)
    command = [part for part in child.argv if not str(part).startswith("--pdeathsig")]
    orphan = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert eventually(child.ready)
    return orphan


def test_a_stale_pid_that_now_belongs_to_another_process_is_no_obstacle(tmp_path: Path) -> None:
    with EmbeddedServices(tmp_path):
        pass
    stale = tmp_path / "data" / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getppid()}\n{stale.parent}\n1\n5432\n{run_folder(tmp_path)}\n\n")
    with EmbeddedServices(tmp_path):
        assert query(tmp_path, "SELECT 1") == [1]
    assert psutil.pid_exists(os.getppid())


def test_a_half_made_data_folder_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "data" / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedServices(tmp_path, valkey=False):
        assert query(tmp_path, "SELECT 1") == [1]
    assert not half.exists()


def test_stopping_removes_a_run_folder_outside_the_home(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    with EmbeddedServices(home, postgres=False):
        assert (run_folder(home) / "valkey.sock").is_socket()
    assert not run_folder(home).exists()


def test_one_of_the_two_can_run_alone(tmp_path: Path) -> None:
    with EmbeddedServices(tmp_path, postgres=False):
        assert [server.name() for server in servers_of(tmp_path)] == ["valkey-server"]


def test_a_run_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "run").symlink_to(elsewhere)
    with pytest.raises(PermissionError, match="set IPATH_HOME to another folder"):
        EmbeddedServices(tmp_path).start()


@pytest.mark.parametrize("name", ["x" * 90, "with space", "with,comma", "ürn"])
def test_addresses_are_short_and_plain_whatever_the_home_is_called(tmp_path: Path, name: str) -> None:
    run = run_folder(tmp_path / name)
    assert run != tmp_path / name / "run"
    assert run != run_folder(tmp_path / (name + "2"))
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(f"{run}/.s.PGSQL.5432")  # a path that is too long raises OSError instead


def test_a_plain_home_has_its_sockets_inside() -> None:
    assert database_url(Path("/srv/ipath")) == "postgresql+psycopg://ipath@/ipath?host=/srv/ipath/run"
    assert redis_url(Path("/srv/ipath")) == "redis+socket:///srv/ipath/run/valkey.sock"


def test_the_tools_of_postgresql_are_there() -> None:
    for tool in ("pg_dump", "pg_restore", "psql"):
        assert subprocess.check_output([embedded.pg_bin() / tool, "--version"]).startswith(tool.encode())


def test_the_first_start_takes_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    with EmbeddedServices(tmp_path):
        assert time.monotonic() - began < 8
