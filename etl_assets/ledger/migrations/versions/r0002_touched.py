"""Keys that a run is to look at without listing their collection, and finding documents by their path."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OPEN = sa.text("end_seq IS NULL")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table of keys that events told of."""
    op.create_table(
        "touched",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("partition", string(160), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("stamp", BIG, nullable=False),
        sa.PrimaryKeyConstraint("document_id"),
    )
    op.create_index("ix_touched_partition", "touched", ["partition", "stamp"], unique=False)
    op.create_index(
        "ix_objects_path", "objects", ["cid", "path"], unique=False, sqlite_where=OPEN, postgresql_where=OPEN
    )
