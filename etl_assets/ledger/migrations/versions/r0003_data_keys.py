"""Keys that encrypt blobs, wrapped."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table of wrapped data keys."""
    op.create_table(
        "data_keys",
        sa.Column("key_id", string(32), nullable=False),
        sa.Column("scope", string(200), nullable=False),
        sa.Column("master", TEXT, nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("wrapped_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_index("ix_data_keys_scope", "data_keys", ["scope"], unique=True)
