"""What each index generation shows, by number: searches hide what others show, as ranges."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OPEN = sa.text("end_seq IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_publications_shown", "publications", ["generation_id", "publication"], unique=False,
        sqlite_where=OPEN, postgresql_where=OPEN,
    )  # fmt: skip
