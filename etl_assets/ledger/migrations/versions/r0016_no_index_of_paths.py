"""No index of present documents by path: every query that names a path names its document, by the digest of it.

What it still served, the present documents of a collection, ``ix_objects_open`` serves as well.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_objects_path", table_name="objects")
