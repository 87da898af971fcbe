"""What people paused and put first; who started a run, how far it is, and whether it shall stop; keys that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables, and the columns of runs: nobody knows them of runs that there were."""
    op.create_table(
        "controls",
        sa.Column("scope", string(200), nullable=False),
        sa.Column("paused", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "held_arrivals",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("cid", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("partition", string(160), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("change", string(16), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("document_id"),
    )
    op.create_index("ix_held_arrivals_partition", "held_arrivals", ["partition"], unique=False)
    for column in (
        sa.Column("source", string(64), nullable=True),
        sa.Column("batch", string(64), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("cancel_at", sa.Float(), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=True),
    ):
        op.add_column("runs", column)
