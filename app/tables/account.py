"""People and their sessions."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class Role(StrEnum):
    REVIEWER = "reviewer"
    RESEARCHER = "researcher"
    ADMIN = "admin"


class User(Base):
    __tablename__ = "user"
    __table_args__ = (
        CheckConstraint("name = lower(name) AND name ~ '^[a-z0-9][a-z0-9._-]{0,39}$'", name="name_plain"),
        CheckConstraint("NOT adjudicator OR role = 'reviewer'", name="adjudicator_is_reviewer"),
    )

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[Role] = mapped_column(choice(Role))
    adjudicator: Mapped[bool] = mapped_column(server_default=text("false"))
    password_hash: Mapped[str]
    daily_goal: Mapped[int] = mapped_column(server_default=text("200"))
    keys: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = stamped()
    seen_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]


class UserSession(Base):
    """A signed-in browser. Only the token's hash is stored."""

    __tablename__ = "session"

    id: Mapped[int] = identity()
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = stamped()
    seen_at: Mapped[datetime] = stamped()
    user_agent: Mapped[str] = mapped_column(server_default="")


class LoginAttempt(Base):
    """A failed sign-in, kept to slow down guessing; names are hashed, for people type passwords there."""

    __tablename__ = "login_attempt"
    __table_args__ = (Index(None, "name_sha256", "at"), Index(None, "address", "at"))

    id: Mapped[int] = identity()
    name_sha256: Mapped[str]
    address: Mapped[str]
    at: Mapped[datetime] = stamped()
