"""Which documents a run has something to do for, so that what it costs follows the change and not the collection."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Every partition that there is is looked at as a whole first."""
    op.create_table(
        "changed_documents",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("partition", string(160), nullable=False),
        sa.PrimaryKeyConstraint("document_id"),
    )
    op.create_index("ix_changed_documents_partition", "changed_documents", ["partition"], unique=False)
    op.add_column("partitions", sa.Column("look_at", sa.Integer(), nullable=False, server_default="1"))
