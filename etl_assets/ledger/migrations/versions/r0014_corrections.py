"""What people know better than the stages."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
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
        "corrections",
        sa.Column("correction_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("collection", string(64), nullable=False),
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("kind", string(16), nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("made_by", TEXT, nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("ended_by", TEXT, nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("correction_id"),
    )
    op.create_index("ix_corrections_document", "corrections", ["document_id"], unique=False)
    op.create_index("ix_corrections_tenant", "corrections", ["tenant", "collection"], unique=False)
