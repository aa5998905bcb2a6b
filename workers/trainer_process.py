"""The trainer as a child of this worker: started, measured and ended with all of its own processes."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from app.supervisor import Child
from app.training.folders import LOG

ROOT = Path(__file__).parents[1]
END_SECONDS = 5  # between asking it to end and killing it; a checkpoint being written is lost by either


class TrainerProcess:
    """Runs while the block does. What it says is added to the log in `folder`.

    The kernel kills it when the thread that started it ends, so that a killed worker leaves no trainer.
    """

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.argv, self.log = argv, folder / LOG

    def __enter__(self) -> "TrainerProcess":
        self.log.parent.mkdir(parents=True, exist_ok=True)
        path = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        with self.log.open("ab") as output:
            self.said_before = output.tell()
            self.process = subprocess.Popen(
                Child("trainer", self.argv, orphan_signal=signal.SIGKILL).command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def code(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    def said(self) -> str:
        """All that it said since this start."""
        with self.log.open("rb") as file:
            file.seek(self.said_before)
            return file.read().decode(errors="replace")

    def end(self) -> None:
        """Ends it and every process that it started; nothing of it is left after."""
        everyone = self._everyone()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for process in everyone:  # torchrun's have sessions of their own
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def memory(self) -> int:
        """Bytes of all its processes. Pages that several share count once where the system can tell (Linux)."""
        total = 0
        for process in self._everyone():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                used = process.memory_full_info()
                total += getattr(used, "pss", used.rss)
        return total

    def _everyone(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def count_gpus() -> int:
    """GPUs that torch would use. torch itself is asked, in a process of its own, where the machine has any."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/kfd").exists():
        return 0
    asked = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else 0


def gpu_memory() -> int | None:
    """Bytes in use on all GPUs, by whatever program; None where nvidia-smi can't say."""
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5)
        return sum(int(line) for line in done.stdout.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
