"""Locks that hold over all processes: PostgreSQL's, of the session, so that they end with a process however it ends."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from app.db import engine

LOOK_AGAIN = 0.1  # seconds
TAKE_ONE = text(
    "SELECT free.key FROM unnest(CAST(:keys AS bigint[])) AS free (key) WHERE pg_try_advisory_lock(free.key) LIMIT 1"
)
GIVE = text("SELECT pg_advisory_unlock(:key)")


def key(*parts: object) -> int:
    """What a lock is called, from what it is about: 64 bits."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@contextmanager
def one_of(keys: Sequence[int], wait: Callable[[float], None], look_again: float = LOOK_AGAIN) -> Iterator[None]:
    """Holds one of these locks while the block runs, and waits until one is free; `wait` may raise.

    It looks again every so many seconds.
    """
    while (mine := _LOCKS.take(keys)) is None:
        wait(look_again)
    try:
        yield
    finally:
        _LOCKS.give(mine)


class _Locks:
    """Those that this process has, on one connection: to PostgreSQL its threads are one, here they are told apart."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: set[int] = set()
        self._connection: Connection | None = None

    def take(self, keys: Sequence[int]) -> int | None:
        """The first that nobody holds, ours now; None while all are taken. Raises SQLAlchemyError."""
        with self._guard:
            free = [key for key in keys if key not in self._held]
            got = self._asked(free) if free else None
            if got is not None:
                self._held.add(got)
            self._let_go_of_connection()
            return got

    def give(self, key: int) -> None:
        with self._guard:
            self._held.discard(key)
            try:
                if self._connection:
                    self._connection.execute(GIVE, {"key": key})
            except SQLAlchemyError:  # they ended with the connection
                self._drop_connection()
            self._let_go_of_connection()

    def _asked(self, keys: list[int]) -> int | None:
        if self._connection is None:
            self._connection = engine().connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            got: int | None = self._connection.scalar(TAKE_ONE, {"keys": keys})
        except SQLAlchemyError:
            self._drop_connection()
            raise
        return got

    def _drop_connection(self) -> None:
        if self._connection:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _let_go_of_connection(self) -> None:
        if not self._held and self._connection:
            self._connection.close()
            self._connection = None


_LOCKS = _Locks()
