"""Catalogues that people brought."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "given_catalogues",
        sa.Column("catalogue_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("collection", string(64), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("mode", string(8), nullable=False),
        sa.Column("digest", string(32), nullable=False),
        sa.Column("entries", BIG, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("given_by", TEXT, nullable=False),
        sa.Column("given_at", sa.Float(), nullable=False),
        sa.Column("ended_by", TEXT, nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("catalogue_id"),
    )
