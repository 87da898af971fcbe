"""Imported documents by id, so that a deletion finds what is kept about them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; "" for what was imported before."""
    kind = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
    op.add_column("imported_documents", sa.Column("document_id", kind, nullable=False, server_default=""))
    op.create_index("ix_imported_documents_document", "imported_documents", ["document_id"], unique=False)
