"""What was sent to hosted models and what it cost."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table of spend."""
    op.create_table(
        "spend",
        sa.Column("spend_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("collection", string(64), nullable=False),
        sa.Column("day", string(10), nullable=False),
        sa.Column("stage", string(64), nullable=False),
        sa.Column("model", string(200), nullable=False),
        sa.Column("run_id", string(64), nullable=False),
        sa.Column("rows_computed", BIG, nullable=False),
        sa.Column("tokens", BIG, nullable=False),
        sa.Column("money", sa.Float(), nullable=False),
        sa.Column("currency", string(3), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("spend_id"),
    )
    op.create_index("ix_spend_tenant", "spend", ["tenant", "day"])
