"""Deletions with their tombstones, and versions that were published again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of tombstones, of deletions and of pinned versions."""
    op.create_table(
        "tombstones",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("collection", string(64), nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("document_id"),
    )
    op.create_index("ix_tombstones_collection", "tombstones", ["tenant", "collection"])
    op.create_table(
        "deletions",
        sa.Column("deletion_id", string(32), nullable=False),
        sa.Column("kind", string(16), nullable=False),
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("collection", string(64), nullable=False),
        sa.Column("purge", sa.Integer(), nullable=False),
        sa.Column("documents", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("deletion_id"),
    )
    op.create_table(
        "pinned_versions",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("key_version", string(64), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("document_id"),
    )
