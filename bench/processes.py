"""Processes of our own for one figure. Imports nothing of the app, so that each holds only what it measures."""

import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

T = TypeVar("T")


def in_fresh_process(environment: Mapping[str, str], function: Callable[..., T], *arguments: Any) -> T:
    """What `function` returns in a process of its own with that environment, so that its memory is its own."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, dict(environment), function, arguments))
    process.start()
    theirs.close()
    try:
        answer: T = ours.recv()
        return answer
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed in its process; see above.") from None
    finally:
        process.terminate()
        process.join()


def _answer(
    out: Connection, environment: Mapping[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    begin(environment)
    out.send(function(*arguments))
    out.close()
    signal.pause()  # ended by whoever asked


def begin(environment: Mapping[str, str]) -> None:
    """The first thing a process of a figure does. Ctrl-C is its parent's business, which then ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)


def at_once(count: int, environment: Mapping[str, str], function: Callable[..., T], *arguments: Any) -> list[T]:
    """What `function(number, *arguments)` returns in as many processes, which `wait_for_all` before they begin."""
    context = get_context("spawn")
    with context.Pool(count, _begin, (dict(environment), context.Barrier(count))) as pool:
        return pool.starmap(function, [(number, *arguments) for number in range(count)], chunksize=1)


_together: Barrier


def _begin(environment: Mapping[str, str], together: Barrier) -> None:
    global _together
    begin(environment)
    _together = together


def wait_for_all() -> None:
    """Returns once every process of `at_once` is here. Raises BrokenBarrierError when one does not come."""
    _together.wait(timeout=120)
