"""Resident memory of processes."""

import threading
from contextlib import suppress
from types import TracebackType

import psutil

MB = 1_000_000


def resident(process: psutil.Process) -> float:
    """In MB; 0 of one that is gone."""
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_info().rss) / MB
    return 0.0


class PeakMemory:
    """Watches this process and its children while the block runs; all in MB.

    Sampled, since the kernel's own high-water mark counts what a parent held before it became this process.
    """

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.before = self.own = resident(self.process)
        self.with_children = self.before
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            own = resident(self.process)
            children = sum(resident(child) for child in self.process.children(recursive=True))
            self.own = max(self.own, own)
            self.with_children = max(self.with_children, own + children)
