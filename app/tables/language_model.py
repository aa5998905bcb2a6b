"""Language models behind OpenAI-compatible endpoints: where they are, what they are asked, what they answered."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.tables.columns import choice, stamped


class Rung(StrEnum):
    """How an endpoint is made to answer in JSON, best first (FORMATS §4)."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    PROMPT = "prompt"


class Endpoint(Base):
    """A model on a server that speaks OpenAI's chat completions, and how that server has been doing.

    `key` names where the API key is read from and never holds it. Prices are per million tokens, in any currency.
    `down_since` stands while the last calls failed; nobody calls before `open_until`.
    """

    __tablename__ = "endpoint"
    __table_args__ = (
        CheckConstraint("in_flight >= 1 AND timeout_seconds >= 1 AND max_tokens >= 1", name="limits"),
        CheckConstraint("price_in >= 0 AND price_out >= 0", name="prices"),
    )

    id: Mapped[int] = identity()
    name: Mapped[str] = mapped_column(unique=True)
    base_url: Mapped[str]
    model: Mapped[str]
    key: Mapped[str] = mapped_column(server_default="")
    may_be_private: Mapped[bool] = mapped_column(server_default=text("false"))
    takes_pictures: Mapped[bool] = mapped_column(server_default=text("false"))
    in_flight: Mapped[int] = mapped_column(server_default=text("1"))
    per_minute: Mapped[int | None]
    timeout_seconds: Mapped[int] = mapped_column(server_default=text("120"))
    max_tokens: Mapped[int] = mapped_column(server_default=text("1024"))
    price_in: Mapped[float] = mapped_column(Double, server_default=text("0"))
    price_out: Mapped[float] = mapped_column(Double, server_default=text("0"))
    rung: Mapped[Rung | None] = mapped_column(choice(Rung))
    test: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    tested_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    down_since: Mapped[datetime | None]
    open_until: Mapped[datetime] = mapped_column(server_default=text("'epoch'"))
    last_error: Mapped[str] = mapped_column(server_default="")
    retired: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = stamped()


class Prompt(Base):
    """A version of what the model is asked about each caption; never changed once it is there."""

    __tablename__ = "prompt"
    __table_args__ = (CheckConstraint("text <> ''", name="not_empty"),)

    id: Mapped[int] = identity()
    version: Mapped[int] = mapped_column(unique=True)
    note: Mapped[str] = mapped_column(server_default="")
    text: Mapped[str]
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()


class LlmAnswer(Base):
    """An answer, kept so that the same question is not paid for twice.

    The question is model × prompt × caption × picture ('' for none). The answer itself, which quotes the post, is
    the evidence text; where a takedown blanked that, it is as if there were none.
    """

    __tablename__ = "llm_answer"
    __table_args__ = (
        Index(
            "uq_llm_answer_question",
            "endpoint_id",
            "model",
            "prompt_id",
            "caption_sha256",
            "image_sha256",
            unique=True,
        ),
        Index(None, "at"),
    )

    id: Mapped[int] = identity()
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoint.id"))
    model: Mapped[str]
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompt.id"))
    caption_sha256: Mapped[str]
    image_sha256: Mapped[str] = mapped_column(server_default="")
    text_id: Mapped[int] = mapped_column(ForeignKey("evidence_text.id"), index=True)
    answered_as: Mapped[str] = mapped_column(server_default="")
    rung: Mapped[Rung] = mapped_column(choice(Rung))
    tokens_in: Mapped[int]
    tokens_out: Mapped[int]
    cost: Mapped[float] = mapped_column(Double, server_default=text("0"))
    seconds: Mapped[float] = mapped_column(Double)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    at: Mapped[datetime] = stamped()


class TrialKind(StrEnum):
    TRY = "try"
    COMPARE = "compare"


class Trial(Base):
    """Prompts or models tried beside the one in use, on some candidates; what it found is in `result`, without text.

    `sides` lists {endpoint, prompt, with_picture}: one to try, two to compare.
    """

    __tablename__ = "trial"

    id: Mapped[int] = identity()
    kind: Mapped[TrialKind] = mapped_column(choice(TrialKind))
    sides: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    candidates: Mapped[list[int]] = mapped_column(JSONB)
    result: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    created_at: Mapped[datetime] = stamped()
