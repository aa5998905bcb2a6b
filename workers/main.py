"""The Celery worker: its queues, and the one task that runs a job by its id.

Every task acknowledges early: the job row's lease is the only retry, so the broker's redelivery,
visibility timeout and worker-lost handling have nothing left to get wrong.
"""

import errno
import importlib
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import psutil
import structlog
from celery import Celery
from celery.signals import celeryd_after_setup, worker_shutdown, worker_shutting_down
from psycopg.errors import DiskFull
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app import jobs, logs, presence
from app.config import settings
from app.db import transaction
from app.prefilter import actions as prefilter
from app.prefilter import due
from app.tables import JobState, WaitReason
from workers import maintenance, shutdown

logs.configure()
log = structlog.get_logger()

# kind of job → the function that runs it, imported when first needed so that idle workers stay small
HANDLERS = {
    "import": "workers.intake:run_import",
    "snapshot": "workers.snapshot:run_snapshot",
    "count_tokens": "workers.snapshot:run_count_tokens",
    "prefilter": "workers.prefilter:run_stage",
    "threshold": "workers.prefilter:run_threshold",
    "rerun": "workers.prefilter:run_again",
    "label_set": "workers.classifier:run_label_set",
    "train_classifier": "workers.classifier:run_train_classifier",
    "embed_query": "workers.search:run_embed_query",
    "register_encoder": "workers.encoders:run_register",
    "switch_encoder": "workers.encoders:run_switch",
    "index_encoder": "workers.indexes:run_index",
    "delete_encoder": "workers.indexes:run_delete",
    "package_model": "workers.packages:run_package",
    "train_from_reviews": "workers.training:run_train_from_reviews",
    "audit": "workers.audit:run_audit",
    "test_endpoint": "workers.endpoints:run_test",
    "order": "workers.ordering:run_order",
    "trial": "workers.prompts:run_trial",
    "finetune": "workers.finetune:run_finetune",
    "read_evaluation_set": "workers.evaluation_set:run_read_set",
    "evaluate": "workers.evaluate:run_evaluate",
    "replay_passport": "workers.passports:run_replay",
}

app = Celery("ipath", broker=settings().redis_url)
app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_soft_shutdown_timeout=20,
    worker_hijack_root_logger=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"visibility_timeout": 3600, "socket_connect_timeout": 5},
)

_current: set[int] = set()


def handler(kind: str) -> Any:
    """The function behind a kind of job. Raises KeyError for a kind that this version does not know."""
    module, name = HANDLERS[kind].split(":")
    return getattr(importlib.import_module(module), name)


@app.task(name=jobs.TASK)  # type: ignore[untyped-decorator]
def run_job(job_id: int) -> None:
    """Runs a job if it is still due; a second message for it finds nothing to do."""
    job = jobs.claim(job_id)
    if job is None:
        return
    with structlog.contextvars.bound_contextvars(job=job.id, kind=job.kind):
        _current.add(job.id)
        _say_what_runs()
        try:
            with job.heartbeat():
                _run(job)
        finally:
            _current.discard(job.id)
            _say_what_runs()


def _run(job: jobs.RunningJob) -> None:
    try:
        handler(job.kind)(job)
    except jobs.Cancelled:
        job.finish(JobState.CANCELLED)
    except jobs.LeaseLost:
        log.warning("lease_lost")
    except jobs.Wait as wait:
        job.requeue(wait)
    except Exception as error:
        if disk_is_full(error):
            job.requeue(jobs.Wait(WaitReason.DISK, 60, "The disk is full. What is done is kept; make room."))
            return
        log.exception("job_failed")
        job.finish(JobState.FAILED, jobs.last_line(error))
    else:
        job.finish(JobState.SUCCEEDED)


def disk_is_full(error: BaseException) -> bool:
    """Whether the file system or PostgreSQL (53100) ran out of space: a reason to wait, not to fail."""
    if isinstance(error, DBAPIError):
        return isinstance(error.orig, DiskFull)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class Pulse(threading.Thread):
    """Says every 2 s that this worker lives, sweeps the job table as often as the settings say, and tidies hourly."""

    def __init__(self, queues: list[str]) -> None:
        super().__init__(name="pulse", daemon=True)
        self.queues = queues
        self.process = psutil.Process()
        self.over = threading.Event()

    def run(self) -> None:
        pause = min(2.0, settings().sweep_seconds)
        next_sweep = next_tidying = 0.0
        is_over = False
        while not is_over:
            now = time.monotonic()
            try:
                self.beat()
                if now >= next_sweep:
                    next_sweep = now + settings().sweep_seconds
                    self.sweep()
                if now >= next_tidying:
                    next_tidying = now + maintenance.EVERY.total_seconds()
                    maintenance.tidy()
            except Exception as error:  # the database may be restarting; the next beat tells
                log.warning("pulse_missed", error=type(error).__name__)
            is_over = self.over.wait(pause)

    def sweep(self) -> None:
        jobs.sweep()
        with transaction() as session:
            prefilter.adopt_versions(session)
            due.wake_due(session)

    def beat(self) -> None:
        memory = self.process.memory_info().rss
        current = next(iter(_current), None)
        presence.beat_worker(socket.gethostname(), os.getpid(), self.queues, current, memory)


_pulse: list[Pulse] = []


def _say_what_runs() -> None:
    """Not only every 2 s: many jobs are shorter, and the system page would call their worker idle."""
    for pulse in _pulse:
        with suppress(SQLAlchemyError):  # the next beat tells
            pulse.beat()


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def start_pulse(instance: Any, **_: Any) -> None:
    _pulse.append(Pulse(sorted(instance.app.amqp.queues.consume_from)))
    _pulse[0].start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def tell_long_jobs(**_: Any) -> None:
    shutdown.asked.set()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def stop_pulse(**_: Any) -> None:
    for pulse in _pulse:
        pulse.over.set()
    presence.drop_worker(socket.gethostname(), os.getpid())
