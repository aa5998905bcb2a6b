"""Evaluation sets, how their classes are worded, and models measured on them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "13e3f66f1830"
down_revision = "9371a024ef3d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "class_prompts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("templates", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_class_prompts_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_class_prompts")),
        sa.UniqueConstraint("layout", "version", name=op.f("uq_class_prompts_layout_version")),
    )
    op.create_table(
        "evaluation_set",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("importer_version", sa.Text(), server_default="", nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("items_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("licence", sa.Text(), server_default="", nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_evaluation_set_job_id")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_evaluation_set_made_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation_set")),
        sa.UniqueConstraint("name", name=op.f("uq_evaluation_set_name")),
    )
    op.create_table(
        "evaluation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("encoder_id", sa.BigInteger(), nullable=False),
        sa.Column("set_id", sa.BigInteger(), nullable=True),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "task",
            sa.Enum(
                "zero_shot",
                "linear_probe",
                "few_shot",
                "retrieval",
                name="evaluation_task",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("prompts_id", sa.BigInteger(), nullable=True),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("settings_sha256", sa.Text(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("passport_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(task = 'retrieval') = (snapshot_id IS NOT NULL)", name=op.f("ck_evaluation_retrieval_on_snapshot")
        ),
        sa.CheckConstraint("(set_id IS NULL) <> (snapshot_id IS NULL)", name=op.f("ck_evaluation_on_one")),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoder.id"], name=op.f("fk_evaluation_encoder_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_evaluation_job_id")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_evaluation_made_by")),
        sa.ForeignKeyConstraint(["prompts_id"], ["class_prompts.id"], name=op.f("fk_evaluation_prompts_id")),
        sa.ForeignKeyConstraint(["set_id"], ["evaluation_set.id"], name=op.f("fk_evaluation_set_id")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_evaluation_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
    )
    op.create_index(
        op.f("ix_evaluation_encoder_id_set_id_task"), "evaluation", ["encoder_id", "set_id", "task"], unique=False
    )
    op.create_index(op.f("ix_evaluation_set_id_task"), "evaluation", ["set_id", "task"], unique=False)
    op.execute("REVOKE UPDATE, DELETE ON class_prompts FROM ipath_app")
    op.execute(
        """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON class_prompts
        FOR EACH ROW EXECUTE FUNCTION refuse_change()"""
    )
    op.execute(
        """CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON class_prompts
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"""
    )
