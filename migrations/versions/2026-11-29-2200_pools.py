"""Retrieval is also measured on sets of pairs."""

from alembic import op

revision = "a4b8c1d27e36"
down_revision = "5c0e7d41b9a2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_evaluation_retrieval_on_snapshot"), "evaluation")
    op.create_check_constraint(
        op.f("ck_evaluation_snapshot_for_retrieval"), "evaluation", "snapshot_id IS NULL OR task = 'retrieval'"
    )
