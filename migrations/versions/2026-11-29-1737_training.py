"""Fine-tuning: runs with their curves, and what a model was made of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "9371a024ef3d"
down_revision = "9b1f6a2c7d10"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=True),
        sa.Column("base_id", sa.BigInteger(), nullable=True),
        sa.Column("architecture", sa.Text(), server_default="", nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("sweep", sa.BigInteger(), nullable=True),
        sa.Column("like_id", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("command", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("best_epoch", sa.BigInteger(), nullable=True),
        sa.Column("encoder_id", sa.BigInteger(), nullable=True),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(base_id IS NULL) <> (architecture = '')", name=op.f("ck_run_starts_from_one")),
        sa.ForeignKeyConstraint(["base_id"], ["encoder.id"], name=op.f("fk_run_base_id")),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoder.id"], name=op.f("fk_run_encoder_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_run_job_id")),
        sa.ForeignKeyConstraint(["like_id"], ["run.id"], name=op.f("fk_run_like_id")),
        sa.ForeignKeyConstraint(["made_by"], ["user.id"], name=op.f("fk_run_made_by")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_run_snapshot_id")),
        sa.ForeignKeyConstraint(["sweep"], ["run.id"], name=op.f("fk_run_sweep")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_sweep"), "run", ["sweep"], unique=False, postgresql_where=sa.text("sweep IS NOT NULL"))
    op.create_table(
        "run_epoch",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_epoch_run_id")),
        sa.PrimaryKeyConstraint("run_id", "epoch", name=op.f("pk_run_epoch")),
    )
    op.create_table(
        "run_step",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("learning_rate", sa.Double(), nullable=False),
        sa.Column("logit_scale", sa.Double(), nullable=False),
        sa.Column("pairs_per_second", sa.Double(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=True),
        sa.Column("gpu_memory", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_run_step_job_id")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_step_run_id")),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_run_step")),
    )
    op.add_column("encoder", sa.Column("parameters", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("encoder", sa.Column("package", sa.Text(), server_default="", nullable=False))
    op.add_column("encoder", sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column(
        "encoder",
        sa.Column(
            "provenance", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
    )
