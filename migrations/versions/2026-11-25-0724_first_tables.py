"""Every table of the first release."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import BIT, VECTOR
from sqlalchemy.dialects import postgresql

revision = "2cbac2bf794e"
down_revision = None
branch_labels = None
depends_on = None

# Of each piece of a PDQ hash that has a key: its first bit, its width, which of its bits are in odd columns and in odd
# rows, and the place of one that is in an odd column alone, and of one that is in an odd row alone.
PDQ_PIECES = (
    (0, 24, 5592405, 255, 22, 7),
    (24, 24, 5592405, 16711680, 14, 23),
    (48, 24, 5592405, 16776960, 6, 23),
    (72, 23, 2796202, 32767, 21, 14),
    (95, 23, 5592405, 4194367, 20, 5),
    (118, 23, 2796202, 8380416, 11, 22),
    (141, 23, 5592405, 1048560, 22, 19),
    (164, 23, 2796202, 2047, 21, 10),
    (187, 23, 5592405, 8126467, 16, 21),
    (210, 23, 2796202, 8388096, 7, 22),
    (233, 23, 5592405, 65535, 22, 15),
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "author",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_author")),
        sa.UniqueConstraint("platform", "account_id", name=op.f("uq_author_platform_account_id")),
    )
    op.create_index(
        "ix_author_label_trigrams",
        "author",
        ["label"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"label": "gin_trgm_ops"},
    )
    op.create_table(
        "duplicate_group",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duplicate_group")),
    )
    op.create_table(
        "encoder",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("pretrained", sa.Text(), server_default="", nullable=False),
        sa.Column("seed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("image", "image_text", name="encoder_kind", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column(
            "weights",
            sa.Enum("trained", "random", name="weights", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("licence", sa.Text(), server_default="", nullable=False),
        sa.Column("reaches_data", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("quick_gelu", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("checksum", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_encoder")),
        sa.UniqueConstraint("name", name=op.f("uq_encoder_name")),
        sa.UniqueConstraint("source", "model", "pretrained", name=op.f("uq_encoder_source_model_pretrained")),
    )
    op.create_table(
        "image",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("source_sha256", sa.Text(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("pdq", BIT(256), nullable=True),
        sa.Column("pdq_quality", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "sha256 ~ '^[0-9a-f]{64}$' AND source_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_image_hashes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("sha256", name=op.f("uq_image_sha256")),
    )
    op.create_index(op.f("ix_image_source_sha256"), "image", ["source_sha256"], unique=False)
    for place, (start, width, columns, rows, column, row) in enumerate(PDQ_PIECES):
        piece = f"SUBSTRING(pdq FROM {start + 1} FOR {width})::bit({width})::integer"
        key = f"(({piece} # ((({piece} >> {column}) & 1) * {columns})) # ((({piece} >> {row}) & 1) * {rows}))"
        op.create_index(f"ix_image_pdq_piece_{place}", "image", [sa.text(key)])
    op.create_table(
        "label_set",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_set")),
        sa.UniqueConstraint("name", name=op.f("uq_label_set_name")),
    )
    op.create_table(
        "login_attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name_sha256", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_login_attempt")),
    )
    op.create_index(op.f("ix_login_attempt_address_at"), "login_attempt", ["address", "at"], unique=False)
    op.create_index(op.f("ix_login_attempt_name_sha256_at"), "login_attempt", ["name_sha256", "at"], unique=False)
    op.create_table(
        "queue",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("filter", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue")),
        sa.UniqueConstraint("name", name=op.f("uq_queue_name")),
    )
    op.create_table(
        "reason",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("digit", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_reason")),
        sa.UniqueConstraint("digit", name=op.f("uq_reason_digit")),
        sa.UniqueConstraint("label", name=op.f("uq_reason_label")),
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_setting")),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "account", "hashtag", "files", name="source_kind", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column(
            "consent",
            sa.Enum(
                "agreed", "ids_only", "not_asked", name="consent", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column("consent_note", sa.Text(), server_default="", nullable=False),
        sa.Column("licence", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
    )
    op.create_table(
        "stage",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("active_version", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("setting", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column(
            "changed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_stage")),
    )
    op.create_table(
        "tally",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tally")),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "reviewer", "researcher", "admin", name="role", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column("adjudicator", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("daily_goal", sa.BigInteger(), server_default=sa.text("200"), nullable=False),
        sa.Column("keys", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("NOT adjudicator OR role = 'reviewer'", name=op.f("ck_user_adjudicator_is_reviewer")),
        sa.CheckConstraint(
            "name = lower(name) AND name ~ '^[a-z0-9][a-z0-9._-]{0,39}$'", name=op.f("ck_user_name_plain")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("name", name=op.f("uq_user_name")),
    )
    op.create_table(
        "classifier",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("encoder_id", sa.BigInteger(), nullable=False),
        sa.Column("label_set_id", sa.BigInteger(), nullable=False),
        sa.Column("head", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoder.id"], name=op.f("fk_classifier_encoder_id")),
        sa.ForeignKeyConstraint(["label_set_id"], ["label_set.id"], name=op.f("fk_classifier_label_set_id")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_classifier_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classifier")),
        sa.UniqueConstraint("name", name=op.f("uq_classifier_name")),
    )
    op.create_table(
        "duplicate_edit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("split", "merge", name="duplicate_edit_kind", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("image_a", sa.BigInteger(), nullable=False),
        sa.Column("image_b", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("image_a < image_b", name=op.f("ck_duplicate_edit_ordered")),
        sa.ForeignKeyConstraint(["image_a"], ["image.id"], name=op.f("fk_duplicate_edit_image_a")),
        sa.ForeignKeyConstraint(["image_b"], ["image.id"], name=op.f("fk_duplicate_edit_image_b")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_duplicate_edit_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duplicate_edit")),
        sa.UniqueConstraint("image_a", "image_b", name=op.f("uq_duplicate_edit_image_a_image_b")),
    )
    op.create_table(
        "embedding",
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("encoder_id", sa.BigInteger(), nullable=False),
        sa.Column("vec", VECTOR(), nullable=False),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoder.id"], name=op.f("fk_embedding_encoder_id")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_embedding_image_id")),
        sa.PrimaryKeyConstraint("image_id", "encoder_id", name=op.f("pk_embedding")),
    )
    op.create_table(
        "image_match",
        sa.Column("image_a", sa.BigInteger(), nullable=False),
        sa.Column("image_b", sa.BigInteger(), nullable=False),
        sa.Column("cosine", sa.Double(), nullable=False),
        sa.Column("agrees", sa.Double(), nullable=False),
        sa.Column("covers_a", sa.Double(), nullable=False),
        sa.Column("covers_b", sa.Double(), nullable=False),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("image_a < image_b", name=op.f("ck_image_match_ordered")),
        sa.ForeignKeyConstraint(["image_a"], ["image.id"], name=op.f("fk_image_match_image_a")),
        sa.ForeignKeyConstraint(["image_b"], ["image.id"], name=op.f("fk_image_match_image_b")),
        sa.PrimaryKeyConstraint("image_a", "image_b", name=op.f("pk_image_match")),
    )
    op.create_index(op.f("ix_image_match_image_b"), "image_match", ["image_b"], unique=False)
    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "queue",
            sa.Enum(
                "cpu",
                "gpu",
                "llm",
                "train",
                "export",
                name="work_queue",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("arguments", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "running",
                "succeeded",
                "failed",
                "cancelled",
                name="job_state",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            server_default="queued",
            nullable=False,
        ),
        sa.Column(
            "wait_reason",
            sa.Enum(
                "disk",
                "endpoint",
                "deploy",
                "turn",
                name="wait_reason",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=True,
        ),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("'epoch'"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default=sa.text("'epoch'"), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=True),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cursor", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("unit", sa.Text(), server_default="", nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("lost", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("dedupe", sa.Text(), nullable=True),
        sa.Column("retry_of", sa.BigInteger(), nullable=True),
        sa.Column("requested_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'running') = (token IS NOT NULL)", name=op.f("ck_job_running_has_token")),
        sa.CheckConstraint("lost BETWEEN 0 AND 3", name=op.f("ck_job_lost")),
        sa.ForeignKeyConstraint(["requested_by"], ["user.id"], name=op.f("fk_job_requested_by")),
        sa.ForeignKeyConstraint(["retry_of"], ["job.id"], name=op.f("fk_job_retry_of")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(
        "ix_job_open", "job", ["queue", "id"], unique=False, postgresql_where=sa.text("state IN ('queued', 'running')")
    )
    op.create_index(
        "uq_job_dedupe", "job", ["dedupe"], unique=True, postgresql_where=sa.text("state IN ('queued', 'running')")
    )
    op.create_table(
        "query_vector",
        sa.Column("encoder_id", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("vec", VECTOR(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("text IS NULL OR vec IS NULL", name=op.f("ck_query_vector_text_until_vector")),
        sa.ForeignKeyConstraint(
            ["encoder_id"], ["encoder.id"], name=op.f("fk_query_vector_encoder_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_query_vector_job_id")),
        sa.PrimaryKeyConstraint("encoder_id", "sha256", name=op.f("pk_query_vector")),
    )
    op.create_table(
        "label",
        sa.Column("label_set_id", sa.BigInteger(), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=True),
        sa.CheckConstraint("label <> ''", name=op.f("ck_label_not_empty")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_label_image_id")),
        sa.ForeignKeyConstraint(["label_set_id"], ["label_set.id"], name=op.f("fk_label_label_set_id")),
        sa.PrimaryKeyConstraint("label_set_id", "image_id", name=op.f("pk_label")),
    )
    op.create_table(
        "post",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("natural_key", sa.Text(), nullable=False),
        sa.Column("shortcode", sa.Text(), nullable=True),
        sa.Column("media_pk", sa.Text(), nullable=True),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("author_id", sa.BigInteger(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("permalink", sa.Text(), nullable=True),
        sa.Column("is_edited", sa.Boolean(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["author_id"], ["author.id"], name=op.f("fk_post_author_id")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_post_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_post")),
        sa.UniqueConstraint("platform", "natural_key", name=op.f("uq_post_platform_natural_key")),
    )
    op.create_index(op.f("ix_post_author_id"), "post", ["author_id"], unique=False)
    op.create_index(
        op.f("ix_post_platform_media_pk"),
        "post",
        ["platform", "media_pk"],
        unique=True,
        postgresql_where=sa.text("media_pk IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_post_platform_shortcode"),
        "post",
        ["platform", "shortcode"],
        unique=True,
        postgresql_where=sa.text("shortcode IS NOT NULL"),
    )
    op.create_index(op.f("ix_post_source_id"), "post", ["source_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_session_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_session_token_sha256")),
    )
    op.create_index(op.f("ix_session_user_id"), "session", ["user_id"], unique=False)
    op.create_table(
        "withdrawal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "author", "post", "image", name="withdrawal_kind", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_withdrawal_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawal")),
        sa.UniqueConstraint("kind", "key", name=op.f("uq_withdrawal_kind_key")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_event_job_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_event_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_act_id"), "event", ["act", "id"], unique=False)
    op.create_index(
        op.f("ix_event_subject_kind_subject_id_id"), "event", ["subject_kind", "subject_id", "id"], unique=False
    )
    op.create_index(op.f("ix_event_user_id_id"), "event", ["user_id", "id"], unique=False)
    op.create_table(
        "import",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("retry_of", sa.BigInteger(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("location", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("format", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("taken_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_import_job_id")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_import_made_by")),
        sa.ForeignKeyConstraint(["retry_of"], ["import.id"], name=op.f("fk_import_retry_of")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_import_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import")),
    )
    op.create_index(op.f("ix_import_source_id"), "import", ["source_id"], unique=False)
    op.create_table(
        "snapshot",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("setting", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("event_position", sa.BigInteger(), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("built_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("files", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint("number >= 1", name=op.f("ck_snapshot_number")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_snapshot_job_id")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_snapshot_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint("number", name=op.f("uq_snapshot_number")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("queues", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("memory", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_worker_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
        sa.UniqueConstraint("host", "pid", name=op.f("uq_worker_host_pid")),
    )
    op.create_table(
        "candidate",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("post_id", sa.BigInteger(), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("caption_ordinal", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "incoming",
                "filtering",
                "queued",
                "filtered_out",
                "accepted",
                "rejected",
                "flagged",
                "conflicted",
                "withdrawn",
                name="candidate_state",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            server_default="incoming",
            nullable=False,
        ),
        sa.Column("stopped_by", sa.Text(), nullable=True),
        sa.Column(
            "flag_origin",
            sa.Enum("person", "machine", name="flag_origin", native_enum=False, create_constraint=True, length=40),
            nullable=True,
        ),
        sa.Column("caption_id", sa.BigInteger(), nullable=True),
        sa.Column("caption_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("priority", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("round", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("settled_by", sa.BigInteger(), nullable=True),
        sa.Column("settled_caption_id", sa.BigInteger(), nullable=True),
        sa.Column("crop", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "(state = 'flagged') = (flag_origin IS NOT NULL)", name=op.f("ck_candidate_flag_has_origin")
        ),
        sa.CheckConstraint(
            "settled_by IS NULL OR state IN ('accepted', 'rejected', 'withdrawn')", name=op.f("ck_candidate_settled")
        ),
        sa.CheckConstraint(
            "state <> 'filtered_out' OR stopped_by IS NOT NULL", name=op.f("ck_candidate_stopped_by_a_stage")
        ),
        sa.CheckConstraint("position >= 1 AND caption_ordinal >= 1 AND round >= 1", name=op.f("ck_candidate_ordinals")),
        sa.ForeignKeyConstraint(["caption_id"], ["caption.id"], name=op.f("fk_candidate_caption_id"), use_alter=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_candidate_image_id")),
        sa.ForeignKeyConstraint(["import_id"], ["import.id"], name=op.f("fk_candidate_import_id")),
        sa.ForeignKeyConstraint(["post_id"], ["post.id"], name=op.f("fk_candidate_post_id")),
        sa.ForeignKeyConstraint(["settled_by"], ["review.id"], name=op.f("fk_candidate_settled_by"), use_alter=True),
        sa.ForeignKeyConstraint(
            ["settled_caption_id"], ["caption.id"], name=op.f("fk_candidate_settled_caption_id"), use_alter=True
        ),
        sa.ForeignKeyConstraint(["stopped_by"], ["stage.name"], name=op.f("fk_candidate_stopped_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candidate")),
    )
    op.create_index(op.f("ix_candidate_image_id"), "candidate", ["image_id"], unique=False)
    op.create_index(op.f("ix_candidate_import_id"), "candidate", ["import_id"], unique=False)
    op.create_index(op.f("ix_candidate_state_id"), "candidate", ["state", "id"], unique=False)
    op.create_index(
        "uq_candidate_post_id_position_caption_ordinal_image_id",
        "candidate",
        ["post_id", "position", "caption_ordinal", "image_id"],
        unique=True,
        postgresql_where=sa.text("state <> 'withdrawn'"),
    )
    op.create_table(
        "import_file",
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("name_sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "used", "ignored", "refused", name="file_outcome", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint("(outcome = 'ignored') = (kind IS NOT NULL)", name=op.f("ck_import_file_ignored_has_kind")),
        sa.CheckConstraint(
            "(outcome = 'refused') = (reason IS NOT NULL)", name=op.f("ck_import_file_refused_has_reason")
        ),
        sa.ForeignKeyConstraint(["import_id"], ["import.id"], name=op.f("fk_import_file_import_id")),
        sa.PrimaryKeyConstraint("import_id", "name_sha256", name=op.f("pk_import_file")),
    )
    op.create_table(
        "assignment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum(
                "main",
                "audit",
                "gold",
                "training",
                "adjudication",
                "resolution",
                name="purpose",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("slot", sa.BigInteger(), nullable=True),
        sa.Column("priority", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default=sa.text("'epoch'"), nullable=False),
        sa.Column("review_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(slot IS NULL) = (purpose IN ('gold', 'training'))", name=op.f("ck_assignment_slot_by_purpose")
        ),
        sa.CheckConstraint("review_id IS NULL OR user_id IS NOT NULL", name=op.f("ck_assignment_reviewed_by_someone")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_assignment_candidate_id")),
        sa.ForeignKeyConstraint(["review_id"], ["review.id"], name=op.f("fk_assignment_review_id"), use_alter=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_assignment_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
        sa.UniqueConstraint("review_id", name=op.f("uq_assignment_review_id")),
    )
    op.create_index(
        "ix_assignment_open",
        "assignment",
        ["purpose", sa.literal_column("priority DESC"), "candidate_id", "slot"],
        unique=False,
        postgresql_where=sa.text("review_id IS NULL"),
    )
    op.create_index(
        "ix_assignment_open_user",
        "assignment",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("review_id IS NULL"),
    )
    op.create_index(
        "uq_assignment_gold",
        "assignment",
        ["user_id", "candidate_id", "round", "purpose"],
        unique=True,
        postgresql_where=sa.text("purpose IN ('gold', 'training')"),
    )
    op.create_index(
        "uq_assignment_one_slot_a_person",
        "assignment",
        ["candidate_id", "round", "user_id"],
        unique=True,
        postgresql_where=sa.text("purpose IN ('main', 'adjudication')"),
    )
    op.create_index(
        "uq_assignment_slot",
        "assignment",
        ["candidate_id", "round", "purpose", "slot"],
        unique=True,
    )
    op.create_table(
        "caption",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "raw",
                "cleaned",
                "edited",
                "proposed",
                name="caption_kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("text_sha256", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("based_on", sa.BigInteger(), nullable=True),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('english'::regconfig, coalesce(text, ''))", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["based_on"], ["caption.id"], name=op.f("fk_caption_based_on")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_caption_candidate_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_caption")),
        sa.UniqueConstraint("candidate_id", "version", name=op.f("uq_caption_candidate_id_version")),
    )
    op.create_index(op.f("ix_caption_words"), "caption", ["words"], unique=False, postgresql_using="gin")
    op.create_index(
        "ix_caption_text_trigrams",
        "caption",
        ["text"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"text": "gin_trgm_ops"},
        postgresql_where=sa.text("kind <> 'cleaned'"),
    )
    op.create_table(
        "draft",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("caption_version", sa.BigInteger(), nullable=False),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_draft_candidate_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_draft_user_id")),
        sa.PrimaryKeyConstraint("user_id", "candidate_id", name=op.f("pk_draft")),
    )
    op.create_table(
        "duplicate_member",
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_duplicate_member_candidate_id")),
        sa.ForeignKeyConstraint(["group_id"], ["duplicate_group.id"], name=op.f("fk_duplicate_member_group_id")),
        sa.PrimaryKeyConstraint("candidate_id", name=op.f("pk_duplicate_member")),
    )
    op.create_index(op.f("ix_duplicate_member_group_id"), "duplicate_member", ["group_id"], unique=False)
    op.create_table(
        "evidence_text",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "typed",
                "alt_text",
                "earlier_caption",
                "burned_in",
                "llm_answer",
                name="evidence_kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            server_default="typed",
            nullable=False,
        ),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("text_sha256", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_evidence_text_candidate_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence_text")),
    )
    op.create_index(op.f("ix_evidence_text_candidate_id"), "evidence_text", ["candidate_id"], unique=False)
    op.create_index(
        "uq_evidence_text_of_source",
        "evidence_text",
        ["candidate_id", "kind", "text_sha256"],
        unique=True,
        postgresql_where=sa.text("kind <> 'typed'"),
    )
    op.create_table(
        "finding",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("stage_version", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum("ok", "error", "not_run", name="outcome", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_finding_candidate_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_finding_job_id")),
        sa.ForeignKeyConstraint(["stage"], ["stage.name"], name=op.f("fk_finding_stage")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint(
            "candidate_id",
            "stage",
            "stage_version",
            "input_hash",
            "attempt",
            name=op.f("uq_finding_candidate_id_stage_stage_version_input_hash_attempt"),
        ),
    )
    op.create_index(
        "uq_finding_ok",
        "finding",
        ["candidate_id", "stage", "stage_version", "input_hash"],
        unique=True,
        postgresql_where=sa.text("outcome = 'ok'"),
    )
    for name in ("stain", "organ"):
        op.create_index(
            f"ix_finding_{name}",
            "finding",
            [sa.text(f"(evidence #>> '{{fields,{name}}}')")],
            unique=False,
        )
    # Only the caption's findings have fields, and organ and stain go together: without this the planner takes a
    # filter by both to leave a fifth of a fifth of what it does.
    op.execute(
        """CREATE STATISTICS finding_fields (mcv)
        ON stage, (evidence #>> '{fields,organ}'), (evidence #>> '{fields,stain}') FROM finding"""
    )
    op.create_table(
        "import_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "taken",
                "updated",
                "unchanged",
                "refused",
                name="entry_outcome",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("file_sha256", sa.Text(), nullable=True),
        sa.Column("file_name", sa.Text(), server_default="", nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(outcome = 'refused') = (candidate_id IS NULL)", name=op.f("ck_import_entry_kept_has_candidate")
        ),
        sa.CheckConstraint(
            "(outcome = 'refused') = (reason IS NOT NULL)", name=op.f("ck_import_entry_refused_has_reason")
        ),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_import_entry_candidate_id")),
        sa.ForeignKeyConstraint(["import_id"], ["import.id"], name=op.f("fk_import_entry_import_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_entry")),
        sa.UniqueConstraint("import_id", "ordinal", name=op.f("uq_import_entry_import_id_ordinal")),
    )
    op.create_index(op.f("ix_import_entry_candidate_id"), "import_entry", ["candidate_id"], unique=False)
    op.create_index(
        op.f("ix_import_entry_import_id_outcome_reason_ordinal"),
        "import_entry",
        ["import_id", "outcome", "reason", "ordinal"],
        unique=False,
    )
    op.create_table(
        "skip",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_skip_candidate_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_skip_user_id")),
        sa.PrimaryKeyConstraint("user_id", "candidate_id", name=op.f("pk_skip")),
    )
    op.create_table(
        "stage_todo",
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), server_default=sa.text("'epoch'"), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_stage_todo_candidate_id")),
        sa.ForeignKeyConstraint(["stage"], ["stage.name"], name=op.f("fk_stage_todo_stage")),
        sa.PrimaryKeyConstraint("stage", "candidate_id", name=op.f("pk_stage_todo")),
    )
    op.create_index(
        op.f("ix_stage_todo_stage_until_candidate_id"), "stage_todo", ["stage", "until", "candidate_id"], unique=False
    )
    op.create_table(
        "finding_now",
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum("ok", "error", "not_run", name="outcome", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("stale", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_finding_now_candidate_id")),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_finding_now_finding_id")),
        sa.ForeignKeyConstraint(["stage"], ["stage.name"], name=op.f("fk_finding_now_stage")),
        sa.PrimaryKeyConstraint("candidate_id", "stage", name=op.f("pk_finding_now")),
    )
    op.create_index(op.f("ix_finding_now_stage_score"), "finding_now", ["stage", "score"], unique=False)
    op.create_table(
        "review",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("assignment_id", sa.BigInteger(), nullable=True),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column(
            "purpose",
            sa.Enum(
                "main",
                "audit",
                "gold",
                "training",
                "adjudication",
                "resolution",
                name="purpose",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "accept",
                "reject",
                "flag",
                "undo",
                name="review_kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("caption_before_id", sa.BigInteger(), nullable=True),
        sa.Column("caption_after_id", sa.BigInteger(), nullable=True),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("note_id", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("supersedes", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("(kind = 'undo') = (supersedes IS NOT NULL)", name=op.f("ck_review_undo_supersedes")),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_review_seconds")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_review_candidate_id")),
        sa.ForeignKeyConstraint(["caption_after_id"], ["caption.id"], name=op.f("fk_review_caption_after_id")),
        sa.ForeignKeyConstraint(["caption_before_id"], ["caption.id"], name=op.f("fk_review_caption_before_id")),
        sa.ForeignKeyConstraint(["note_id"], ["evidence_text.id"], name=op.f("fk_review_note_id")),
        sa.ForeignKeyConstraint(["supersedes"], ["review.id"], name=op.f("fk_review_supersedes")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_review_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("submission_id", name=op.f("uq_review_submission_id")),
        sa.UniqueConstraint("supersedes", name=op.f("uq_review_supersedes")),
    )
    op.create_index(op.f("ix_review_candidate_id_id"), "review", ["candidate_id", "id"], unique=False)
    op.create_index(op.f("ix_review_user_id_at"), "review", ["user_id", "at"], unique=False)
    op.create_index(op.f("ix_review_user_id_id"), "review", ["user_id", "id"], unique=False)
    op.create_table(
        "review_reason",
        sa.Column("review_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["reason"], ["reason.code"], name=op.f("fk_review_reason_reason")),
        sa.ForeignKeyConstraint(["review_id"], ["review.id"], name=op.f("fk_review_reason_review_id")),
        sa.PrimaryKeyConstraint("review_id", "reason", name=op.f("pk_review_reason")),
    )
    op.create_table(
        "snapshot_member",
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("image_sha256", sa.Text(), nullable=False),
        sa.Column("crop", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("caption_id", sa.BigInteger(), nullable=False),
        sa.Column("review_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "split",
            sa.Enum(
                "train", "val", "test", "reserve", name="split", native_enum=False, create_constraint=True, length=40
            ),
            nullable=False,
        ),
        sa.Column("row", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("key ~ '^[0-9]{12}$'", name=op.f("ck_snapshot_member_key")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_snapshot_member_candidate_id")),
        sa.ForeignKeyConstraint(["caption_id"], ["caption.id"], name=op.f("fk_snapshot_member_caption_id")),
        sa.ForeignKeyConstraint(["review_id"], ["review.id"], name=op.f("fk_snapshot_member_review_id")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_snapshot_member_snapshot_id")),
        sa.PrimaryKeyConstraint("snapshot_id", "key", name=op.f("pk_snapshot_member")),
    )
    op.create_index(op.f("ix_snapshot_member_candidate_id"), "snapshot_member", ["candidate_id"], unique=False)
    op.create_table(
        "endpoint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), server_default="", nullable=False),
        sa.Column("may_be_private", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("takes_pictures", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("in_flight", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("per_minute", sa.BigInteger(), nullable=True),
        sa.Column("timeout_seconds", sa.BigInteger(), server_default=sa.text("120"), nullable=False),
        sa.Column("max_tokens", sa.BigInteger(), server_default=sa.text("1024"), nullable=False),
        sa.Column("price_in", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("price_out", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "rung",
            sa.Enum(
                "json_schema",
                "json_object",
                "prompt",
                name="rung",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=True,
        ),
        sa.Column("test", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("tested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("down_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("open_until", sa.DateTime(timezone=True), server_default=sa.text("'epoch'"), nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("retired", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "in_flight >= 1 AND timeout_seconds >= 1 AND max_tokens >= 1", name=op.f("ck_endpoint_limits")
        ),
        sa.CheckConstraint("price_in >= 0 AND price_out >= 0", name=op.f("ck_endpoint_prices")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint")),
        sa.UniqueConstraint("name", name=op.f("uq_endpoint_name")),
    )
    op.create_table(
        "prompt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("text <> ''", name=op.f("ck_prompt_not_empty")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_prompt_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt")),
        sa.UniqueConstraint("version", name=op.f("uq_prompt_version")),
    )
    op.create_table(
        "trial",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("try", "compare", name="trial_kind", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("sides", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("candidates", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_trial_job_id")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_trial_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trial")),
    )
    op.create_table(
        "llm_answer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt_id", sa.BigInteger(), nullable=False),
        sa.Column("caption_sha256", sa.Text(), nullable=False),
        sa.Column("image_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("text_id", sa.BigInteger(), nullable=False),
        sa.Column("answered_as", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "rung",
            sa.Enum(
                "json_schema",
                "json_object",
                "prompt",
                name="rung",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name=op.f("fk_llm_answer_endpoint_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_llm_answer_job_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_llm_answer_prompt_id")),
        sa.ForeignKeyConstraint(["text_id"], ["evidence_text.id"], name=op.f("fk_llm_answer_text_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_answer")),
    )
    op.create_index(
        "uq_llm_answer_question",
        "llm_answer",
        ["endpoint_id", "model", "prompt_id", "caption_sha256", "image_sha256"],
        unique=True,
    )
    op.create_index(op.f("ix_llm_answer_at"), "llm_answer", ["at"], unique=False)
    op.create_index(op.f("ix_llm_answer_text_id"), "llm_answer", ["text_id"], unique=False)
    op.create_table(
        "release",
        sa.Column("candidate_id", sa.BigInteger(), nullable=False),
        sa.Column("finding_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidate.id"], name=op.f("fk_release_candidate_id")),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name=op.f("fk_release_finding_id")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_release_user_id")),
        sa.PrimaryKeyConstraint("candidate_id", "finding_id", name=op.f("pk_release")),
    )
    later_foreign_keys()


def later_foreign_keys() -> None:
    """Those of tables that point at each other."""
    for table, column, target in (
        ("assignment", "review_id", "review"),
        ("candidate", "settled_by", "review"),
        ("candidate", "settled_caption_id", "caption"),
        ("candidate", "caption_id", "caption"),
    ):
        op.create_foreign_key(f"fk_{table}_{column}", table, target, [column], ["id"])
