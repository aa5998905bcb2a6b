"""What machines find: stages, findings, the work still due, and the networks behind them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class Stage(Base):
    """A stage's version and setting in force. Read FOR SHARE by a write step, FOR UPDATE to change it.

    A `paused` stage takes no more candidates; those that reach it wait.
    """

    __tablename__ = "stage"

    name: Mapped[str] = mapped_column(primary_key=True)
    active_version: Mapped[str]
    setting: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    threshold: Mapped[float | None] = mapped_column(Double)
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    changed_at: Mapped[datetime] = stamped()


class Outcome(StrEnum):
    OK = "ok"
    ERROR = "error"
    NOT_RUN = "not_run"


class Finding(Base):
    """What one stage said of one candidate; append-only and without a verdict."""

    __tablename__ = "finding"
    __table_args__ = (
        UniqueConstraint("candidate_id", "stage", "stage_version", "input_hash", "attempt"),
        Index(
            "uq_finding_ok",
            "candidate_id",
            "stage",
            "stage_version",
            "input_hash",
            unique=True,
            postgresql_where=text("outcome = 'ok'"),
        ),
        # Of all stages, though only the caption's have fields: the planner takes no statistics from a partial index.
        Index("ix_finding_stain", text("(evidence #>> '{fields,stain}')")),
        Index("ix_finding_organ", text("(evidence #>> '{fields,organ}')")),
    )

    id: Mapped[int] = identity()
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    stage: Mapped[str] = mapped_column(ForeignKey("stage.name"))
    stage_version: Mapped[str]
    input_hash: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    outcome: Mapped[Outcome] = mapped_column(choice(Outcome))
    score: Mapped[float | None] = mapped_column(Double)
    label: Mapped[str | None]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    at: Mapped[datetime] = stamped()


class FindingNow(Base):
    """The newest finding of a stage on a candidate: what pages, previews and thresholds read."""

    __tablename__ = "finding_now"
    __table_args__ = (Index(None, "stage", "score"),)

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), primary_key=True)
    stage: Mapped[str] = mapped_column(ForeignKey("stage.name"), primary_key=True)
    finding_id: Mapped[int] = mapped_column(ForeignKey("finding.id"))
    outcome: Mapped[Outcome] = mapped_column(choice(Outcome))
    score: Mapped[float | None] = mapped_column(Double)
    label: Mapped[str | None]
    stale: Mapped[bool] = mapped_column(server_default=text("false"))


class Release(Base):
    """An admin's word that what a stage found need not hold the candidate; another finding may hold it again."""

    __tablename__ = "release"

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), primary_key=True)
    finding_id: Mapped[int] = mapped_column(ForeignKey("finding.id"), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    at: Mapped[datetime] = stamped()


class StageTodo(Base):
    """A stage that is due on a candidate; taken with SKIP LOCKED under a short lease."""

    __tablename__ = "stage_todo"
    __table_args__ = (Index(None, "stage", "until", "candidate_id"),)

    stage: Mapped[str] = mapped_column(ForeignKey("stage.name"), primary_key=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), primary_key=True)
    until: Mapped[datetime] = mapped_column(server_default=text("'epoch'"))
    token: Mapped[UUID | None]


class EncoderKind(StrEnum):
    IMAGE = "image"
    IMAGE_TEXT = "image_text"


class Weights(StrEnum):
    TRAINED = "trained"
    RANDOM = "random"


class Encoder(Base):
    """What makes vectors of pictures.

    `pretrained` is a tag, or the name of a safetensors file below the models folder, whose bytes then have the
    SHA-256 `checksum`. `reaches_data` where the licence's terms reach datasets made with its vectors. `package` is the
    folder below the models folder that plain open_clip loads (`local-dir:`), once one was made; `size` its bytes.
    `provenance` says what it was made of, by which command and which versions.
    """

    __tablename__ = "encoder"
    __table_args__ = (UniqueConstraint("source", "model", "pretrained"),)

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    source: Mapped[str]
    model: Mapped[str]
    pretrained: Mapped[str] = mapped_column(server_default="")
    seed: Mapped[int] = mapped_column(server_default=text("0"))
    width: Mapped[int]
    kind: Mapped[EncoderKind] = mapped_column(choice(EncoderKind))
    weights: Mapped[Weights] = mapped_column(choice(Weights))
    licence: Mapped[str] = mapped_column(server_default="")
    reaches_data: Mapped[bool] = mapped_column(server_default=text("false"))
    quick_gelu: Mapped[bool] = mapped_column(server_default=text("false"))
    checksum: Mapped[str] = mapped_column(server_default="")
    parameters: Mapped[int] = mapped_column(server_default=text("0"))
    package: Mapped[str] = mapped_column(server_default="")
    size: Mapped[int] = mapped_column(server_default=text("0"))
    provenance: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = stamped()


class Embedding(Base):
    """An image's vector; its width is the encoder's, so one index per encoder."""

    __tablename__ = "embedding"

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"), primary_key=True)
    vec: Mapped[Any] = mapped_column(VECTOR())


class QueryVector(Base):
    """What someone searched by, under an encoder: a text or a picture by its SHA-256, and its vector once it is there.

    A text is kept only until then; a picture waits as a file.
    """

    __tablename__ = "query_vector"
    __table_args__ = (CheckConstraint("text IS NULL OR vec IS NULL", name="text_until_vector"),)

    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str | None]
    vec: Mapped[Any | None] = mapped_column(VECTOR())
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    created_at: Mapped[datetime] = stamped()


class LabelSet(Base):
    __tablename__ = "label_set"

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    note: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = stamped()


class Label(Base):
    __tablename__ = "label"
    __table_args__ = (CheckConstraint("label <> ''", name="not_empty"),)

    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    label: Mapped[str]
    group: Mapped[str | None]  # what must not straddle training and test: a slide, an author


class Classifier(Base):
    """A head on an encoder, trained on a named label set."""

    __tablename__ = "classifier"

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    encoder_id: Mapped[int] = mapped_column(ForeignKey("encoder.id"))
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    head: Mapped[dict[str, Any]] = mapped_column(JSONB)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB)
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()
