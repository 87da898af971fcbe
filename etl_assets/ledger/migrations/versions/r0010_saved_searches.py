"""Searches that were saved, with what they last found; and what each producer made, to ask what depends on it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OPEN = sa.text("end_seq IS NULL")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def text() -> sa.types.TypeEngine[str]:
    """Text of any length, in the order of code points on both databases."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table and the index."""
    op.create_table(
        "saved_searches",
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("name", string(100), nullable=False),
        sa.Column("query", text(), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("answered_at", sa.Float(), nullable=False),
        sa.Column("answered_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hits", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_index(
        "ix_outputs_producer", "outputs", ["producer_id", "cid", "slot", "document_id", "row_count"],
        sqlite_where=OPEN, postgresql_where=OPEN,
    )  # fmt: skip
