"""The HNSW index of an encoder's vectors: built and dropped beside all other work, outside a transaction."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text

from app import jobs
from app.advisory import INDEX_ENCODER
from app.config import settings
from app.db import transaction
from app.encoders import actions
from app.encoders.policies import INDEXABLE_WIDTH, folder_below, index_name
from app.encoders.queries import index_state, names_folder
from app.evaluation import folders
from app.jobs import RunningJob
from app.prefilter.queries import encoder as registered
from app.tables import Encoder

LOOK_SECONDS = 2.0


@contextmanager
def as_owner() -> Iterator[Connection]:
    """An autocommit connection as the tables' owner: the role that the app works as owns none, and can't index one."""
    engine = create_engine(settings().database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def ensure_index(job: RunningJob, encoder: Encoder) -> bool:
    """Builds an encoder's index unless it is there; whether it did. What a cut-off build left is dropped first.

    An encoder wider than pgvector can index goes without. Raises Cancelled or LeaseLost, and stops building.
    """
    if encoder.width > INDEXABLE_WIDTH:
        return False
    with as_owner() as connection:
        _take_turn(job, connection, encoder)
        with transaction() as session:
            state = index_state(session, encoder.id)
        if state == "ready":
            return False
        if state == "broken":
            drop_index(connection, encoder)
        # A worker that dies takes its build with it; else the next one would wait for it.
        connection.execute(text("SET client_connection_check_interval = '2s'"))
        connection.execute(text("SET maintenance_work_mem = '512MB'"))
        _watched(job, connection, _definition(encoder))
        job.message = ""
    return True


def drop_index(connection: Connection, encoder: Encoder) -> None:
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {index_name(encoder.id)}"))


def _definition(encoder: Encoder) -> str:
    width, id_ = int(encoder.width), int(encoder.id)
    return (
        f"CREATE INDEX CONCURRENTLY {index_name(id_)} ON embedding "
        f"USING hnsw ((vec::vector({width})) vector_cosine_ops) WHERE encoder_id = {id_}"
    )


def _take_turn(job: RunningJob, connection: Connection, encoder: Encoder) -> None:
    """One build of an index at a time; asked again and again, since a build waits for everyone who waits for it."""
    asked = text("SELECT pg_try_advisory_lock(:lock, :encoder)")
    while not connection.scalar(asked, {"lock": INDEX_ENCODER, "encoder": encoder.id}):
        _say(job, "Another build of this index is ending")
        if job.stop.wait(LOOK_SECONDS):
            job.check()


def _watched(job: RunningJob, connection: Connection, statement: str) -> None:
    with as_owner() as watcher, ThreadPoolExecutor(1) as pool:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
        build: Future[Any] = pool.submit(connection.execute, text(statement))
        try:
            while not wait([build], LOOK_SECONDS).done:
                _say(job, _how_far(watcher, backend))
        except BaseException:
            connection.connection.driver_connection.cancel_safe()  # type: ignore[union-attr]
            raise
        build.result()


def _how_far(watcher: Connection, backend: Any) -> str:
    statement = text(
        """SELECT CASE WHEN tuples_total > 0 THEN 100 * tuples_done / tuples_total
                       WHEN blocks_total > 0 THEN 100 * blocks_done / blocks_total END
           FROM pg_stat_progress_create_index WHERE pid = :pid"""
    )
    percent = watcher.scalar(statement, {"pid": backend})
    return "Building the index" + (f", {percent} %" if percent is not None else "")


def _say(job: RunningJob, message: str) -> None:
    job.message = message
    with job.step():
        pass


# --- jobs ---------------------------------------------------------------------------------------


def run_index(job: RunningJob) -> None:
    """Builds the index of an encoder's vectors. Arguments: encoder."""
    encoder = _encoder(job)
    if ensure_index(job, encoder):
        with job.step() as session:
            jobs.record(session, "encoder.indexed", "encoder", encoder.name, job_id=job.id)


def run_delete(job: RunningJob) -> None:
    """Deletes an encoder's index, its vectors in batches, its features of sets, the package made of it, then its row.

    Files that people put into the models folder stay. Arguments: encoder.
    """
    encoder = _encoder(job)
    with job.step() as session:
        actions.refuse_if_used(session, encoder)
    with as_owner() as connection:
        drop_index(connection, encoder)
    while _deleted(job, encoder):
        pass
    if encoder.checksum:
        folders.delete_features_of(encoder.checksum)
    _delete_package(encoder)
    with job.step() as session:
        actions.delete_row(session, encoder, job.id, job.requested_by)


def _deleted(job: RunningJob, encoder: Encoder) -> int:
    with job.step() as session:
        count = actions.delete_vectors(session, encoder)
        job.done += count
    return count


def _delete_package(encoder: Encoder) -> None:
    with transaction() as session:
        is_shared = names_folder(session, encoder.package, but=encoder.id)
    folder = folder_below(settings().models_path, encoder.package) if encoder.package else None
    if folder and encoder.provenance.get("made_here") and not is_shared:
        shutil.rmtree(folder)


def _encoder(job: RunningJob) -> Encoder:
    with transaction() as session:
        return registered(session, job.arguments["encoder"])
