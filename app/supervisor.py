"""Keeps child processes running: starts them in order, restarts a dead one, stops them in reverse order.

Each child has a session of its own, so Ctrl-C in the terminal reaches only the supervisor. On Linux the
kernel signals each child when the supervisor dies, so even kill -9 of the supervisor leaves nothing behind.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import structlog

log = structlog.get_logger()

STEADY_SECONDS = 30.0
LONGEST_PAUSE = 30.0
LOG_BYTES = 10_000_000
POLL_SECONDS = 0.05


class ChildFailed(Exception):
    """A child ended, or did not answer in time, while it was being started."""


def nothing() -> None:
    """What a child without preparations does before it starts."""


def at_once() -> bool:
    """The ready check of a child that has none."""
    return True


@dataclass(frozen=True)
class Child:
    """A process to keep running.

    `env` is added to the supervisor's own. `prepare` runs before every start, `ready` is polled after the
    first. `orphan_signal` is what the kernel sends when the supervisor dies (default: `stop_signal`). Output
    goes to the log file, and with `terminal` also to the supervisor's own.
    """

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = nothing
    ready: Callable[[], bool] = at_once
    ready_seconds: float = 60
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20
    orphan_signal: signal.Signals | None = None
    terminal: bool = False

    def command(self) -> list[str | Path]:
        """`argv`, tied to the supervisor's life where the system can do that.

        The kernel tells of a parent's death only what asked before it, so the child also looks, once it has
        asked, whether this process is its parent still.
        """
        if sys.platform != "linux" or not shutil.which("setpriv"):
            return [*self.argv]
        death = (self.orphan_signal or self.stop_signal).name.removeprefix("SIG")
        unless_orphaned = ["sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())]
        return ["setpriv", "--pdeathsig", death, "--", *unless_orphaned, *self.argv]


class Supervisor:
    """Runs children whose output goes to `logs`/NAME.log.

    Start it from a thread that lives as long as the process (the main one): the kernel ties a child to the
    thread that started it.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[_Running] = []
        self._ending = False

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *children: Child) -> None:
        """Starts each child once the one before it is ready. Raises ChildFailed if one does not get there."""
        for child in children:
            if self._ending:
                return
            running = _Running(child, self._logs / f"{child.name}.log")
            running.launch()
            self._running.append(running)
            self._wait_until_ready(running)

    def run(self, *children: Child) -> None:
        """Starts the children, keeps all of them running until SIGTERM or SIGINT, then stops all."""
        with self._ending_on_signals():
            try:
                self.start(*children)
                while not self._ending:
                    self.watch()
                    time.sleep(POLL_SECONDS)
            finally:
                self.stop()

    def watch(self) -> None:
        """Restarts what died, after a pause that doubles while it keeps dying. Call it again and again."""
        for running in self._running:
            running.keep_alive()

    def stop(self) -> None:
        """Stops all children, the last started first; kills what does not stop in its time."""
        while self._running:
            self._running[-1].stop()
            self._running.pop()

    def pid(self, name: str) -> int:
        """The process id of a child. Raises KeyError if there is none of that name."""
        return {running.child.name: running.process.pid for running in self._running}[name]

    def _wait_until_ready(self, running: "_Running") -> None:
        deadline = time.monotonic() + running.child.ready_seconds
        while not self._ending:
            if running.process.poll() is not None:
                raise ChildFailed(running.account_of_failure(f"ended with code {running.process.returncode}"))
            if running.child.ready():
                return
            if time.monotonic() > deadline:
                limit = f"was not ready after {running.child.ready_seconds:g} s"
                raise ChildFailed(running.account_of_failure(limit))
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _ending_on_signals(self) -> Iterator[None]:
        def end(_number: int, _frame: Any) -> None:
            self._ending = True

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._ending = False


class _Running:
    """A child's present process and the history that its pauses depend on."""

    process: "subprocess.Popen[bytes]"

    def __init__(self, child: Child, log_file: Path) -> None:
        self.child = child
        self.log_file = log_file
        self.quick_deaths = 0
        self.started_at = 0.0
        self.start_again_at: float | None = None

    def launch(self) -> None:
        self.start_again_at = None
        self.started_at = time.monotonic()
        self.child.prepare()
        with _open_log(self.log_file) as output:
            self.process = subprocess.Popen(
                self.child.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.child.terminal else output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.child.env},
                start_new_session=True,
            )
        if self.child.terminal:
            _copy_output(self.process, self.log_file)

    def keep_alive(self) -> None:
        if self.start_again_at is not None:
            if time.monotonic() >= self.start_again_at:
                self._launch_again()
        elif self.process.poll() is not None:
            self._note_death()

    def _note_death(self) -> None:
        self._kill_group()
        lived = time.monotonic() - self.started_at
        self.quick_deaths = 0 if lived > STEADY_SECONDS else self.quick_deaths + 1
        pause = min(LONGEST_PAUSE, 0.1 * 2**self.quick_deaths)
        self.start_again_at = time.monotonic() + pause
        code = self.process.returncode
        log.warning("child_ended", child=self.child.name, code=code, again_in=pause, log=str(self.log_file))

    def _launch_again(self) -> None:
        try:
            self.launch()
        except OSError as error:
            self.start_again_at = time.monotonic() + LONGEST_PAUSE
            log.warning("child_not_started", child=self.child.name, error=str(error), again_in=LONGEST_PAUSE)

    def stop(self) -> None:
        if self.start_again_at is not None:
            return
        self.process.send_signal(self.child.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.child.stop_seconds)
        self._kill_group()
        self.process.wait()

    def _kill_group(self) -> None:
        """Ends the child, if it still lives, and the processes that it left behind in its session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def account_of_failure(self, what: str) -> str:
        last = self.log_file.read_text(errors="replace").splitlines()[-5:]
        return "\n  ".join([f"{self.child.name} {what}. The end of {self.log_file}:", *last])


def _open_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _copy_output(process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    def copy() -> None:
        assert process.stdout
        with process.stdout as lines, log_file.open("ab", buffering=0) as output:
            for line in lines:  # read on whatever happens: a full pipe would block the child
                with suppress(OSError):
                    output.write(line)
                with suppress(OSError, ValueError):
                    sys.stdout.write(line.decode(errors="replace"))
                    sys.stdout.flush()

    threading.Thread(target=copy, name=f"output of {log_file.stem}", daemon=True).start()
