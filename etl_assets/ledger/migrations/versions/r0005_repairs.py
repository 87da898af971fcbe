"""Where each store of a partition is, and partitions that were found to differ from their stores."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of store places and of repairs."""
    op.create_table(
        "store_places",
        sa.Column("partition", string(160), nullable=False),
        sa.Column("store", string(16), nullable=False),
        sa.Column("place", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("partition", "store"),
    )
    op.create_table(
        "repairs",
        sa.Column("partition", string(160), nullable=False),
        sa.Column("digest", string(32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("found_at", sa.Float(), nullable=False),
        sa.Column("retry_at", sa.Float(), nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
