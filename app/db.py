"""Base of all tables, the engine, and the session whose edges commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, DateTime, Engine, Identity, MetaData, Text, create_engine, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from sqlalchemy.orm import sessionmaker as make_sessionmaker

from app.config import settings


class Base(DeclarativeBase):
    """Tables with one naming convention for constraints, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own name for it
        int: BigInteger,
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        list[int]: JSONB,
    }


def identity() -> Any:
    """A bigint primary key that the database numbers."""
    return mapped_column(BigInteger, Identity(), primary_key=True)


def make_engine(url: str, pool_size: int = 20) -> Engine:
    """An engine at READ COMMITTED, the only isolation the statements here are written for.

    Every connection works as `ipath_app`, which owns no table and so can't lift a trigger or truncate.
    """
    made = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=20,
        pool_pre_ping=True,
        hide_parameters=True,  # a logged error must not hold post text
        isolation_level="READ COMMITTED",
        connect_args={"application_name": "ipath", "connect_timeout": 10, "options": "-c timezone=UTC"},
    )

    @event.listens_for(made, "connect")
    def work_as_app(connection: Any, _record: Any) -> None:
        connection.execute("SET ROLE ipath_app")
        connection.commit()

    return made


@lru_cache
def engine() -> Engine:
    return make_engine(settings().database_url)


@lru_cache
def sessions() -> make_sessionmaker[Session]:
    return make_sessionmaker(engine(), expire_on_commit=False)


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that commits at its end and rolls back on an exception; for the CLI and workers."""
    with sessions().begin() as session:
        yield session


def get_session() -> Iterator[Session]:
    """A request's one session; committed before the response starts (Depends with scope="function")."""
    with sessions().begin() as session:
        yield session
