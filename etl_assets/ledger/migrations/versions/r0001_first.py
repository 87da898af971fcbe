"""The first schema: objects, outputs, segments, publications, leases, quarantine and what belongs to them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OPEN = sa.text("end_seq IS NULL")


def string(length: int) -> sa.types.TypeEngine[str]:
    """Text of at most ``length`` characters, in the order of code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of the first schema."""
    op.create_table(
        "audit",
        sa.Column("entry", BIG, autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("action", string(64), nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("entry"),
    )
    op.create_table(
        "check_marks",
        sa.Column("partition", string(160), nullable=False),
        sa.Column("check_name", string(100), nullable=False),
        sa.Column("output_id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("partition", "check_name"),
    )
    op.create_table(
        "collection_settings",
        sa.Column("cid", BIG, nullable=False),
        sa.Column("digest", string(64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("begin_seq", BIG, nullable=False),
        sa.Column("end_seq", BIG, nullable=True),
        sa.PrimaryKeyConstraint("cid", "begin_seq"),
    )
    op.create_table(
        "collections",
        sa.Column("cid", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("collection", string(64), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=False),
        sa.Column("layout_revision", sa.Integer(), nullable=False),
        sa.Column("generation_revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("cid"),
    )
    op.create_index("ix_collections_name", "collections", ["tenant", "collection"], unique=True)
    op.create_table(
        "counters",
        sa.Column("name", string(32), nullable=False),
        sa.Column("value", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "generations",
        sa.Column("generation_id", BIG, autoincrement=False, nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("state", string(16), nullable=False),
        sa.Column("embedding_model", TEXT, nullable=False),
        sa.Column("embedding_digest", string(64), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("retired_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("generation_id"),
    )
    op.create_index("ix_generations_cid", "generations", ["cid"], unique=False)
    op.create_table(
        "leases",
        sa.Column("name", string(200), nullable=False),
        sa.Column("token", BIG, nullable=False),
        sa.Column("holder", string(200), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("layout_revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "memo",
        sa.Column("tenant", string(64), nullable=False),
        sa.Column("producer_id", BIG, nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("segment_id", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "producer_id", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_memo_segment", "memo", ["segment_id"], unique=False)
    op.create_table(
        "meta",
        sa.Column("key", string(64), nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "objects",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("input_digest", string(96), nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("content_type", TEXT, nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("arrived_at", sa.Float(), nullable=False),
        sa.Column("begin_seq", BIG, nullable=False),
        sa.Column("end_seq", BIG, nullable=True),
        sa.PrimaryKeyConstraint("document_id", "begin_seq"),
    )
    op.create_index(
        "ix_objects_open",
        "objects",
        ["cid", "slot", "document_id"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_index("ix_objects_version", "objects", ["version"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("publication", BIG, autoincrement=False, nullable=False),
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("generation_id", BIG, nullable=False),
        sa.Column("partition", string(160), nullable=False),
        sa.Column("token", BIG, nullable=False),
        sa.Column("state", string(16), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("stores", sa.JSON(), nullable=False),
        sa.Column("content_digest", string(32), nullable=False),
        sa.PrimaryKeyConstraint("publication"),
    )
    op.create_index("ix_outbox_cid", "outbox", ["cid"], unique=False)
    op.create_index("ix_outbox_partition", "outbox", ["partition", "state"], unique=False)
    op.create_table(
        "outputs",
        sa.Column("output_id", BIG, autoincrement=False, nullable=False),
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("producer_id", BIG, nullable=False),
        sa.Column("input_digest", string(200), nullable=False),
        sa.Column("output_digest", string(32), nullable=False),
        sa.Column("row_count", BIG, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("tokens", BIG, nullable=False),
        sa.Column("segment_id", BIG, nullable=True),
        sa.Column("facts", sa.JSON(), nullable=True),
        sa.Column("run_id", string(64), nullable=False),
        sa.Column("computed_at", sa.Float(), nullable=False),
        sa.Column("begin_seq", BIG, nullable=False),
        sa.Column("end_seq", BIG, nullable=True),
        sa.PrimaryKeyConstraint("output_id"),
    )
    op.create_index(
        "ix_outputs_open",
        "outputs",
        ["document_id", "producer_id", "version", "input_digest"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_index("ix_outputs_segment", "outputs", ["segment_id"], unique=False)
    op.create_index("ix_outputs_twin", "outputs", ["input_digest", "producer_id"], unique=False)
    op.create_table(
        "partitions",
        sa.Column("partition", string(160), nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("slot_low", sa.Integer(), nullable=False),
        sa.Column("slot_high", sa.Integer(), nullable=False),
        sa.Column("dirty", sa.Integer(), nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.create_index("ix_partitions_cid", "partitions", ["cid"], unique=False)
    op.create_table(
        "pins",
        sa.Column("pin", string(64), nullable=False),
        sa.Column("taken_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("pin"),
    )
    op.create_table(
        "producers",
        sa.Column("producer_id", BIG, autoincrement=False, nullable=False),
        sa.Column("producer", string(200), nullable=False),
        sa.Column("stage", string(64), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("producer_id"),
        sa.UniqueConstraint("producer"),
    )
    op.create_table(
        "publications",
        sa.Column("publication", BIG, autoincrement=False, nullable=False),
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("generation_id", BIG, nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("object_seq", BIG, nullable=False),
        sa.Column("switches", string(32), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("content_digest", string(32), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("outputs_key", string(200), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("begin_seq", BIG, nullable=False),
        sa.Column("end_seq", BIG, nullable=True),
        sa.PrimaryKeyConstraint("publication"),
    )
    op.create_index("ix_publications_cid", "publications", ["cid", "publication"], unique=False)
    op.create_index("ix_publications_document", "publications", ["document_id"], unique=False)
    op.create_index(
        "ix_publications_open",
        "publications",
        ["generation_id", "document_id"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_table(
        "quarantine",
        sa.Column("document_id", string(32), nullable=False),
        sa.Column("stage", string(64), nullable=False),
        sa.Column("cid", BIG, nullable=True),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("collection", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("version", string(64), nullable=False),
        sa.Column("producer_id", BIG, nullable=False),
        sa.Column("input_digest", string(200), nullable=False),
        sa.Column("reason", string(64), nullable=False),
        sa.Column("error_class", string(64), nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", "stage"),
    )
    op.create_index("ix_quarantine_cid", "quarantine", ["cid"], unique=False)
    op.create_table(
        "reigns",
        sa.Column("cid", BIG, nullable=False),
        sa.Column("generation_id", BIG, nullable=False),
        sa.Column("begin_seq", BIG, nullable=False),
        sa.Column("end_seq", BIG, nullable=True),
        sa.PrimaryKeyConstraint("cid", "begin_seq"),
    )
    op.create_table(
        "run_requests",
        sa.Column("partition", string(160), nullable=False),
        sa.Column("run_key", string(260), nullable=False),
        sa.Column("arrivals", string(64), nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("open", sa.Integer(), nullable=False),
        sa.Column("requested_at", sa.Float(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", string(64), nullable=False),
        sa.Column("partition", string(160), nullable=False),
        sa.Column("state", string(16), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "partition"),
    )
    op.create_index("ix_runs_partition", "runs", ["partition", "started_at"], unique=False)
    op.create_table(
        "segments",
        sa.Column("segment_id", BIG, autoincrement=False, nullable=False),
        sa.Column("cid", BIG, nullable=False),
        sa.Column("partition", string(160), nullable=False),
        sa.Column("stage", string(64), nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("row_count", BIG, nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("sha256", string(64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("dead_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("segment_id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("ix_segments_partition", "segments", ["partition", "stage"], unique=False)
    op.create_table(
        "settled_recipes",
        sa.Column("partition", string(160), nullable=False),
        sa.Column("recipe", string(32), nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.bulk_insert(sa.table("meta", sa.column("key"), sa.column("value")), [{"key": "schema", "value": "1"}])
