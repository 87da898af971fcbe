"""Imports of other indexes: what each brought, and under which declared model."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "imports",
        sa.Column("import_id", string(32), nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("kind", string(16), nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("model", sa.JSON(), nullable=False),
        sa.Column("state", string(16), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("import_id"),
    )
    op.create_table(
        "imported_documents",
        sa.Column("import_id", string(32), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("former", string(64), nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("import_id", "path"),
    )
