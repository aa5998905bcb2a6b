"""What the system needs to run, checked one by one; for the system page and `ipath doctor`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

import psutil
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from app.config import settings
from app.endpoints import queries as endpoints
from app.endpoints.policies import EndpointState, state
from app.operations import queries
from app.operations.policies import QueueState, unserved
from app.storage import blobs
from app.tables import Weights, WorkQueue

State = Literal["ok", "warn", "bad"]

BROKER_SECONDS = 2.0
LITTLE_ROOM = 10e9  # bytes free below which a large import or snapshot may fail
NO_ROOM = 1e9
SLOW_SECONDS = 60.0


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do if it is not well."""

    name: str
    state: State
    text: str
    what_to_do: str = ""


def all_checks(session: Session) -> list[Check]:
    """Every check, made now."""
    _kept.clear()
    return live_checks(session)


def live_checks(session: Session) -> list[Check]:
    """Every check; writing to the storage is repeated once a minute at most."""
    return [
        database(session),
        broker(),
        workers(queries.queue_states(session)),
        _at_most_once_a_minute(storage),
        disk(),
        model_weights(session),
        language_model(session),
    ]


_kept: dict[str, tuple[float, Check]] = {}


def _at_most_once_a_minute(check: Callable[[], Check]) -> Check:
    made_at, made = _kept.get(check.__name__, (0.0, None))
    if made is None or time.monotonic() - made_at > SLOW_SECONDS:
        made = check()
        _kept[check.__name__] = (time.monotonic(), made)
    return made


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def database(session: Session) -> Check:
    """Its version and size; without it there is no page to say so."""
    version, vector, size = queries.database_facts(session)
    where = "external" if settings().database_url_setting else "embedded"
    shown = f"PostgreSQL {version}, pgvector {vector}, {gigabytes(size)}, {where}"
    return Check("Database", "ok", shown)


def broker() -> Check:
    """Answers a ping, and how fast."""
    address = settings().redis_url.replace("redis+socket://", "unix://", 1)
    timeouts = {"socket_connect_timeout": BROKER_SECONDS, "socket_timeout": BROKER_SECONDS}
    try:
        with Redis.from_url(address, **timeouts) as client:
            client.ping()
            began = time.perf_counter()
            client.ping()
            milliseconds = 1000 * (time.perf_counter() - began)
            about = client.info("server")
    except (RedisError, OSError, ValueError) as error:
        return Check(
            "Broker",
            "bad",
            f"does not answer ({type(error).__name__})",
            "Jobs are safe in the database and wait. Start Valkey or Redis, or set REDIS_URL.",
        )
    name, version = (
        ("Valkey", about.get("valkey_version"))
        if "valkey_version" in about
        else (
            "Redis",
            about.get("redis_version", ""),
        )
    )
    where = "external" if settings().redis_url_setting else "embedded"
    return Check("Broker", "ok", f"{name} {version}, {milliseconds:.1f} ms, {where}")


def workers(queues: list[QueueState]) -> Check:
    """Whether somebody serves each queue on which jobs wait."""
    lacking = unserved(queues)
    if lacking:
        names = " and ".join(f"“{queue.queue.value}”" for queue in lacking)
        waiting = sum(queue.waiting for queue in lacking)
        jobs = "1 job waits" if waiting == 1 else f"{waiting} jobs wait"
        command = "ipath worker --queues " + ",".join(queue.queue.value for queue in lacking)
        return Check("Workers", "bad", f"no worker serves {names}; {jobs}", f"Start one: {command}")
    served = [queue.queue.value for queue in queues if queue.workers]
    if not served:
        return Check("Workers", "warn", "none runs; nothing waits", "Start one: ipath worker")
    idle = [queue.queue.value for queue in queues if not queue.workers and queue.queue is not WorkQueue.LLM]
    without = f"; none for {', '.join(idle)}" if idle else ""
    return Check("Workers", "ok", f"serve {', '.join(served)}{without}")


def storage() -> Check:
    """Writes a blob, reads it back and deletes it."""
    store, data = blobs(), uuid4().bytes
    began = time.perf_counter()
    try:
        sha256 = store.put(data)
        same = store.get(sha256) == data
        store.fs.rm_file(store.path(sha256))
    except Exception as error:  # every kind of storage fails in its own way
        what_to_do = "Pictures can't be stored. Check the free space and the rights of IPATH_BLOBS."
        return Check("Storage", "bad", f"can't be written ({type(error).__name__})", what_to_do)
    if not same:
        return Check("Storage", "bad", "gives back other bytes than were written", "Replace the disk.")
    milliseconds = 1000 * (time.perf_counter() - began)
    kind = "local folder" if store.is_local else "remote"
    return Check("Storage", "ok", f"{milliseconds:.0f} ms to write and read back, {kind}")


def disk() -> Check:
    """The room on the disk of the data folder."""
    usage = psutil.disk_usage(str(settings().home_path))
    shown = f"{usage.percent:.0f} % full, {gigabytes(usage.free)} free"
    if usage.free < NO_ROOM:
        return Check("Disk", "bad", shown, "Jobs wait until there is room. Nothing that is done is lost.")
    if usage.free < LITTLE_ROOM:
        return Check("Disk", "warn", shown, "Make room before a large import or snapshot.")
    return Check("Disk", "ok", shown)


def model_weights(session: Session) -> Check:
    """Which encoders are known, and whether any has weights that never were trained."""
    encoders = queries.encoders(session)
    if not encoders:
        return Check("Model weights", "ok", "no encoder is in use yet")
    shown = ", ".join(f"{encoder.name} ({encoder.weights.value})" for encoder in encoders)
    if any(encoder.weights is Weights.RANDOM for encoder in encoders):
        what_to_do = (
            "Random weights tell nothing of a picture. Start a new home with IPATH_CLIP_PRETRAINED naming a "
            "checkpoint file: the encoder of the first import stays in use."
        )
        return Check("Model weights", "warn", shown, what_to_do)
    return Check("Model weights", "ok", shown)


def language_model(session: Session) -> Check:
    """How the endpoint in use does, by its last test and calls; nothing is called for this."""
    name, used = "Language model", endpoints.in_use(session)
    if used is None:
        return Check(name, "ok", "none is in use; rules alone clean captions")
    found = state(used)
    if found is EndpointState.ANSWERS:
        tested = f", tested {used.tested_at:%d %b, %H:%M} UTC" if used.tested_at else ""
        return Check(name, "ok", f"{used.name} answers ({used.model}){tested}")
    test_it = "Open Pre-filter, Language models, and test it."
    if found is EndpointState.DOWN:
        waiting = endpoints.waiting(session)
        waits = "1 candidate waits" if waiting == 1 else f"{waiting} candidates wait"
        closed = f"is down since {used.down_since:%d %b, %H:%M} UTC and not called before {used.open_until:%H:%M}"
        text = f"{used.name} {closed}; {waits}"
        return Check(name, "bad", text, f"{used.last_error} It is called again by itself. {test_it}")
    if found is EndpointState.UNTESTED:
        return Check(name, "warn", f"{used.name} was never tested", test_it)
    if found is EndpointState.SILENT:
        return Check(name, "warn", f"{used.name} did not answer its last call", f"{used.last_error} {test_it}")
    return Check(name, "bad", f"{used.name} can't be used", f"{used.test.get('why', '')} {test_it}".strip())
