"""Listings that take several looks."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "listing_passes",
        sa.Column("cid", BIG, autoincrement=False, nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("parts", BIG, nullable=False),
        sa.Column("position", TEXT, nullable=False),
        sa.Column("listed", BIG, nullable=False),
        sa.Column("since", BIG, nullable=False),
        sa.PrimaryKeyConstraint("cid"),
    )
    op.create_table(
        "listing_parts",
        sa.Column("cid", BIG, nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("part", BIG, nullable=False),
        sa.Column("seen", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("cid", "number", "part"),
    )
