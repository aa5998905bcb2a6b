"""Posts, images, candidates, and the only two tables that hold text of posts."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pgvector.sqlalchemy import BIT
from sqlalchemy import CheckConstraint, Computed, Double, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, identity
from app.prefilter import pdq
from app.tables.columns import choice, stamped


class Post(Base):
    __tablename__ = "post"
    __table_args__ = (
        UniqueConstraint("platform", "natural_key"),
        Index(None, "platform", "shortcode", unique=True, postgresql_where=text("shortcode IS NOT NULL")),
        Index(None, "platform", "media_pk", unique=True, postgresql_where=text("media_pk IS NOT NULL")),
    )

    id: Mapped[int] = identity()
    platform: Mapped[str]
    natural_key: Mapped[str]
    shortcode: Mapped[str | None]
    media_pk: Mapped[str | None]
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), index=True)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"), index=True)
    taken_at: Mapped[datetime | None]
    permalink: Mapped[str | None]
    is_edited: Mapped[bool | None]
    created_at: Mapped[datetime] = stamped()


class Image(Base):
    """Our clean copy of a picture: JPEG, sRGB, no metadata. `pdq` is its 256-bit PDQ hash."""

    __tablename__ = "image"
    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$' AND source_sha256 ~ '^[0-9a-f]{64}$'", name="hashes"),
        *(Index(f"ix_image_pdq_piece_{place}", text(piece.sql)) for place, piece in enumerate(pdq.PIECES)),
    )

    id: Mapped[int] = identity()
    sha256: Mapped[str] = mapped_column(unique=True)
    source_sha256: Mapped[str] = mapped_column(index=True)
    width: Mapped[int]
    height: Mapped[int]
    size: Mapped[int]
    pdq: Mapped[str | None] = mapped_column(BIT(256))
    pdq_quality: Mapped[int | None]
    created_at: Mapped[datetime] = stamped()


class ImageMatch(Base):
    """Two pictures of one view, as a worker saw by what they show: one is cut, framed, turned or smaller.

    `cosine` is that of the vectors by which they were found. `covers_a` and `covers_b` are the shares of the pictures
    that the view takes up, `agrees` that of its structure that is alike. The evidence says where the view lies.
    """

    __tablename__ = "image_match"
    __table_args__ = (CheckConstraint("image_a < image_b", name="ordered"),)

    image_a: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    image_b: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True, index=True)
    cosine: Mapped[float] = mapped_column(Double)
    agrees: Mapped[float] = mapped_column(Double)
    covers_a: Mapped[float] = mapped_column(Double)
    covers_b: Mapped[float] = mapped_column(Double)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    at: Mapped[datetime] = stamped()


class CandidateState(StrEnum):
    INCOMING = "incoming"
    FILTERING = "filtering"
    QUEUED = "queued"
    FILTERED_OUT = "filtered_out"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FLAGGED = "flagged"
    CONFLICTED = "conflicted"
    WITHDRAWN = "withdrawn"


class FlagOrigin(StrEnum):
    PERSON = "person"
    MACHINE = "machine"


class Candidate(Base):
    """One picture of one post with one caption: what is filtered, reviewed and published.

    `caption_id` is the text on offer; a reviewer's own edit is `settled_caption_id`.
    """

    __tablename__ = "candidate"
    __table_args__ = (
        # A post may get another picture at a position, and a taken-back import may come again.
        Index(
            "uq_candidate_post_id_position_caption_ordinal_image_id",
            "post_id",
            "position",
            "caption_ordinal",
            "image_id",
            unique=True,
            postgresql_where=text("state <> 'withdrawn'"),
        ),
        Index(None, "state", "id"),
        Index(None, "image_id"),
        CheckConstraint("position >= 1 AND caption_ordinal >= 1 AND round >= 1", name="ordinals"),
        CheckConstraint("state <> 'filtered_out' OR stopped_by IS NOT NULL", name="stopped_by_a_stage"),
        CheckConstraint("(state = 'flagged') = (flag_origin IS NOT NULL)", name="flag_has_origin"),
        CheckConstraint("settled_by IS NULL OR state IN ('accepted', 'rejected', 'withdrawn')", name="settled"),
    )

    id: Mapped[int] = identity()
    post_id: Mapped[int] = mapped_column(ForeignKey("post.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    import_id: Mapped[int] = mapped_column(ForeignKey("import.id"), index=True)
    position: Mapped[int]
    caption_ordinal: Mapped[int] = mapped_column(server_default=text("1"))
    state: Mapped[CandidateState] = mapped_column(choice(CandidateState), server_default="incoming")
    stopped_by: Mapped[str | None] = mapped_column(ForeignKey("stage.name"))
    flag_origin: Mapped[FlagOrigin | None] = mapped_column(choice(FlagOrigin))
    caption_id: Mapped[int | None] = mapped_column(ForeignKey("caption.id", use_alter=True))
    caption_version: Mapped[int] = mapped_column(server_default=text("0"))
    priority: Mapped[float] = mapped_column(Double, server_default=text("0"))
    round: Mapped[int] = mapped_column(server_default=text("1"))
    settled_by: Mapped[int | None] = mapped_column(ForeignKey("review.id", use_alter=True))
    settled_caption_id: Mapped[int | None] = mapped_column(ForeignKey("caption.id", use_alter=True))
    crop: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = stamped()


class CaptionKind(StrEnum):
    RAW = "raw"
    CLEANED = "cleaned"
    EDITED = "edited"
    PROPOSED = "proposed"


class Caption(Base):
    """A version of a candidate's text, and the one it was made from.

    A takedown blanks `text` and so `words`, its stems; its hash stays.
    """

    __tablename__ = "caption"
    __table_args__ = (
        UniqueConstraint("candidate_id", "version"),
        Index(None, "words", postgresql_using="gin"),
        # Cleaned captions are left out: what the rules keep of a raw one adds no word to it.
        Index(
            "ix_caption_text_trigrams",
            "text",
            postgresql_using="gin",
            postgresql_ops={"text": "gin_trgm_ops"},
            postgresql_where=text("kind <> 'cleaned'"),
        ),
    )
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012  # else every insert would read `words` back

    id: Mapped[int] = identity()
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    kind: Mapped[CaptionKind] = mapped_column(choice(CaptionKind))
    version: Mapped[int]
    text: Mapped[str | None]
    text_sha256: Mapped[str]
    made_by: Mapped[str]
    based_on: Mapped[int | None] = mapped_column(ForeignKey("caption.id"))
    words: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english'::regconfig, coalesce(text, ''))", persisted=True), deferred=True
    )
    created_at: Mapped[datetime] = stamped()


class EvidenceKind(StrEnum):
    TYPED = "typed"
    ALT_TEXT = "alt_text"
    EARLIER_CAPTION = "earlier_caption"
    BURNED_IN = "burned_in"
    LLM_ANSWER = "llm_answer"


class EvidenceText(Base):
    """Text about a post that is no caption: typed by a person, brought by the source, read in the picture, or answered.

    Append-only tables point to it by id. What is not typed is kept once.
    """

    __tablename__ = "evidence_text"
    __table_args__ = (
        Index(
            "uq_evidence_text_of_source",
            "candidate_id",
            "kind",
            "text_sha256",
            unique=True,
            postgresql_where=text("kind <> 'typed'"),
        ),
    )

    id: Mapped[int] = identity()
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), index=True)
    kind: Mapped[EvidenceKind] = mapped_column(choice(EvidenceKind), server_default="typed")
    text: Mapped[str | None]
    text_sha256: Mapped[str]
    created_at: Mapped[datetime] = stamped()


class DuplicateGroup(Base):
    __tablename__ = "duplicate_group"

    id: Mapped[int] = identity()
    created_at: Mapped[datetime] = stamped()


class DuplicateMember(Base):
    """A candidate in its group. `dropped` copies stay behind the kept one."""

    __tablename__ = "duplicate_member"

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("duplicate_group.id"), index=True)
    kept: Mapped[bool] = mapped_column(server_default=text("false"))


class DuplicateEditKind(StrEnum):
    SPLIT = "split"
    MERGE = "merge"


class DuplicateEdit(Base):
    """A person's word on two images, which every recomputation respects."""

    __tablename__ = "duplicate_edit"
    __table_args__ = (
        CheckConstraint("image_a < image_b", name="ordered"),
        UniqueConstraint("image_a", "image_b"),
    )

    id: Mapped[int] = identity()
    kind: Mapped[DuplicateEditKind] = mapped_column(choice(DuplicateEditKind))
    image_a: Mapped[int] = mapped_column(ForeignKey("image.id"))
    image_b: Mapped[int] = mapped_column(ForeignKey("image.id"))
    made_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    at: Mapped[datetime] = stamped()
