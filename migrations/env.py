"""Runs migrations as the database's owner; the app itself works as the lesser role `ipath_app`."""

from typing import Any

from alembic import context
from pgvector.sqlalchemy import BIT, VECTOR
from sqlalchemy import NullPool, create_engine, text

import app.tables  # noqa: F401  # registers every table
from app.config import settings
from app.db import Base


def render_item(kind: str, item: Any, autogen: Any) -> str | bool:
    if kind == "type" and isinstance(item, (VECTOR, BIT)):
        autogen.imports.add("from pgvector.sqlalchemy import BIT, VECTOR")
        return "BIT(256)" if isinstance(item, BIT) else "VECTOR()"
    return False


def migrate() -> None:
    """Applies what is missing, one migrator at a time; gives up on a lock after 3 seconds instead of blocking."""
    engine = create_engine(settings().database_url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(20418)"))
        connection.execute(text("SET lock_timeout = '3s'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_item=render_item,
            transaction_per_migration=True,
            compare_server_default=False,
        )
        with context.begin_transaction():
            context.run_migrations()


migrate()
