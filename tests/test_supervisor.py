"""Children are started in order, kept running, and stopped in reverse; none outlives the supervisor."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.supervisor import Child, ChildFailed, Supervisor

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]
OWNER = """
import sys
from pathlib import Path
from app.supervisor import Child, Supervisor
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
Supervisor(Path(sys.argv[1])).run(Child("first", sleep), Child("second", sleep))
"""


def eventually(holds: Callable[[], object], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path) as made:
        yield made


def test_a_child_starts_only_when_the_one_before_is_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    order: list[str] = []

    def ready() -> bool:
        order.append("first asked")
        return len(order) == 3

    first = Child("first", SLEEP, ready=ready)
    supervisor.start(first, Child("second", SLEEP, prepare=lambda: order.append("second prepared")))
    assert order == ["first asked"] * 3 + ["second prepared"]


def test_children_stop_in_reverse_order(supervisor: Supervisor, tmp_path: Path) -> None:
    told = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(print(time.time()))); print('up'); "
    argv = [sys.executable, "-u", "-c", told + "time.sleep(60)"]
    names = ("first", "second")
    for name in names:
        log = tmp_path / f"{name}.log"
        supervisor.start(Child(name, argv, ready=lambda log=log: "up" in log.read_text()))
    supervisor.stop()
    ended = [float((tmp_path / f"{name}.log").read_text().split()[1]) for name in names]
    assert ended[1] < ended[0]


def test_a_killed_child_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start(Child("child", SLEEP))
    before = supervisor.pid("child")
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        supervisor.watch()
        return supervisor.pid("child") != before

    assert eventually(back)


def test_a_child_that_keeps_dying_is_started_ever_more_rarely(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(Child("child", ["sh", "-c", "echo start; sleep 0.2; exit 3"]))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        supervisor.watch()
        time.sleep(0.02)
    assert 2 <= (tmp_path / "child.log").read_text().count("start") <= 4


def test_what_a_child_leaves_in_its_session_is_ended_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    supervisor.start(Child("child", ["sh", "-c", "sleep 60 & echo $!; wait"], ready=lambda: "\n" in log.read_text()))
    grandchild = int(log.read_text())
    supervisor.stop()
    assert eventually(lambda: not alive(grandchild))


def test_a_child_that_ignores_the_stop_signal_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    supervisor.start(Child("child", STUBBORN, ready=lambda: "deaf" in log.read_text(), stop_seconds=0.2))
    pid = supervisor.pid("child")
    supervisor.stop()
    assert not alive(pid)


def test_a_failed_start_tells_the_end_of_the_log(supervisor: Supervisor) -> None:
    child = Child("web", ["sh", "-c", "echo port in use; exit 1"], ready=lambda: False)
    with pytest.raises(ChildFailed, match=r"web ended with code 1.*\n  port in use"):
        supervisor.start(child)


def test_a_child_that_is_never_ready_fails_after_its_time(supervisor: Supervisor) -> None:
    with pytest.raises(ChildFailed, match=r"child was not ready after 0\.1 s"):
        supervisor.start(Child("child", SLEEP, ready=lambda: False, ready_seconds=0.1))


def test_a_child_gets_its_environment_beside_ours(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = Child("child", ["sh", "-c", 'echo "$PATH $EXTRA"; sleep 60'], env={"EXTRA": "more"})
    supervisor.start(child)
    assert eventually(lambda: log.read_text() == f"{os.environ['PATH']} more\n")


def test_a_terminal_child_writes_to_the_terminal_and_its_log(
    supervisor: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor.start(Child("web", ["sh", "-c", "echo hello; sleep 60"], terminal=True))
    log = tmp_path / "web.log"
    assert eventually(lambda: log.read_text() == "hello\n" and "hello" in capsys.readouterr().out)


def test_a_large_log_is_put_aside_at_the_next_start(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "child.log").write_bytes(b"x" * 10_000_001)
    supervisor.start(Child("child", SLEEP))
    assert (tmp_path / "child.log").stat().st_size == 0
    assert (tmp_path / "child.log.1").stat().st_size == 10_000_001


@pytest.mark.process
def test_sigterm_stops_the_children_and_then_the_supervisor(tmp_path: Path) -> None:
    owner, children = start_owner(tmp_path)
    owner.terminate()
    assert owner.wait(10) == 0
    assert not any(map(alive, children))


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_kill_9_of_the_supervisor_leaves_no_child(tmp_path: Path) -> None:
    owner, children = start_owner(tmp_path)
    owner.kill()
    owner.wait()
    assert eventually(lambda: not any(map(alive, children)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_a_child_that_gets_going_after_its_supervisor_died_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    command = Child("late", ["touch", marker]).command()
    subprocess.run(["sh", "-c", '"$@"; true', "another parent", *command], check=True)
    assert not marker.exists()
    subprocess.run(command, check=True)
    assert marker.exists()


def start_owner(logs: Path) -> tuple["subprocess.Popen[bytes]", list[int]]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(logs)])
    process = psutil.Process(owner.pid)
    assert eventually(lambda: sum("sleep(60)" in " ".join(c.cmdline()) for c in process.children()) == 2, 10)
    return owner, [child.pid for child in process.children()]


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
