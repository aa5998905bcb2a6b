"""Where posts come from, the runs that read them, and the ledger of every entry and file."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class SourceKind(StrEnum):
    ACCOUNT = "account"
    HASHTAG = "hashtag"
    FILES = "files"


class Consent(StrEnum):
    AGREED = "agreed"
    IDS_ONLY = "ids_only"
    NOT_ASKED = "not_asked"


class Source(Base):
    __tablename__ = "source"

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[SourceKind] = mapped_column(choice(SourceKind))
    consent: Mapped[Consent] = mapped_column(choice(Consent))
    consent_note: Mapped[str] = mapped_column(server_default="")
    licence: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = stamped()


class Author(Base):
    __tablename__ = "author"
    __table_args__ = (
        UniqueConstraint("platform", "account_id"),
        Index("ix_author_label_trigrams", "label", postgresql_using="gin", postgresql_ops={"label": "gin_trgm_ops"}),
    )

    id: Mapped[int] = identity()
    platform: Mapped[str]
    account_id: Mapped[str]
    label: Mapped[str] = mapped_column(server_default="")

    @property
    def called(self) -> str:
        """Their handle; where only the platform's number for them is known, that."""
        return f"@{self.label}" if self.label else f"account {self.account_id}"


class Import(Base):
    __tablename__ = "import"

    id: Mapped[int] = identity()
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), index=True)
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    retry_of: Mapped[int | None] = mapped_column(ForeignKey("import.id"))
    origin: Mapped[str]
    location: Mapped[dict[str, Any]] = mapped_column(JSONB)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    format: Mapped[str | None]
    created_at: Mapped[datetime] = stamped()
    finished_at: Mapped[datetime | None]
    taken_back_at: Mapped[datetime | None]


class EntryOutcome(StrEnum):
    TAKEN = "taken"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class ImportEntry(Base):
    """What became of one picture with one caption (a post without pictures is one entry)."""

    __tablename__ = "import_entry"
    __table_args__ = (
        UniqueConstraint("import_id", "ordinal"),
        CheckConstraint("(outcome = 'refused') = (reason IS NOT NULL)", name="refused_has_reason"),
        CheckConstraint("(outcome = 'refused') = (candidate_id IS NULL)", name="kept_has_candidate"),
        Index(None, "import_id", "outcome", "reason", "ordinal"),
        Index(None, "candidate_id"),
    )

    id: Mapped[int] = identity()
    import_id: Mapped[int] = mapped_column(ForeignKey("import.id"))
    ordinal: Mapped[int]
    outcome: Mapped[EntryOutcome] = mapped_column(choice(EntryOutcome))
    reason: Mapped[str | None]
    detail: Mapped[str] = mapped_column(server_default="")
    row: Mapped[int | None]
    position: Mapped[int | None]
    file_sha256: Mapped[str | None]
    file_name: Mapped[str] = mapped_column(server_default="")
    candidate_id: Mapped[int | None] = mapped_column(ForeignKey("candidate.id"))


class FileOutcome(StrEnum):
    USED = "used"
    IGNORED = "ignored"
    REFUSED = "refused"


class ImportFile(Base):
    """One file of the input: used by an entry, ignored with its kind, or refused."""

    __tablename__ = "import_file"
    __table_args__ = (
        CheckConstraint("(outcome = 'ignored') = (kind IS NOT NULL)", name="ignored_has_kind"),
        CheckConstraint("(outcome = 'refused') = (reason IS NOT NULL)", name="refused_has_reason"),
    )

    import_id: Mapped[int] = mapped_column(ForeignKey("import.id"), primary_key=True)
    name_sha256: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(server_default="")
    outcome: Mapped[FileOutcome] = mapped_column(choice(FileOutcome))
    kind: Mapped[str | None]
    reason: Mapped[str | None]


class WithdrawalKind(StrEnum):
    AUTHOR = "author"
    POST = "post"
    IMAGE = "image"


class Withdrawal(Base):
    """The tombstone of a takedown: what it names is refused on every later import."""

    __tablename__ = "withdrawal"
    __table_args__ = (UniqueConstraint("kind", "key"),)

    id: Mapped[int] = identity()
    kind: Mapped[WithdrawalKind] = mapped_column(choice(WithdrawalKind))
    key: Mapped[str]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    at: Mapped[datetime] = stamped()
    note: Mapped[str] = mapped_column(server_default="")
