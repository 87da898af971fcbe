"""The tables of the ledger. Rows with ``begin_seq`` and ``end_seq`` are versions: a row holds at sequence ``s`` when
``begin_seq <= s`` and (``end_seq`` is null or ``s < end_seq``). Times are Unix seconds UTC by the database's clock.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

SCHEMA_VERSION = 17

metadata = MetaData()
Big = BigInteger().with_variant(Integer, "sqlite")

_OPEN = text("end_seq IS NULL")


def _only_open() -> dict[str, Any]:
    return {"sqlite_where": _OPEN, "postgresql_where": _OPEN}


meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))

counters = Table(
    "counters", metadata, Column("name", String(32), primary_key=True), Column("value", Big, nullable=False)
)

collections = Table(
    "collections", metadata,
    Column("cid", Big, primary_key=True, autoincrement=False),
    Column("tenant", String(64), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("shards", Integer, nullable=False),
    Column("layout_revision", Integer, nullable=False),
    Column("generation_revision", Integer, nullable=False),
    Column("wanted_recipe", String(64)),
    Index("ix_collections_name", "tenant", "collection", unique=True),
)  # fmt: skip

"""``wanted_recipe`` is what the settings asked for when generations were last begun or given up for them."""

collection_settings = Table(
    "collection_settings", metadata,
    Column("cid", Big, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("begin_seq", Big, nullable=False),
    Column("end_seq", Big),
    PrimaryKeyConstraint("cid", "begin_seq"),
)  # fmt: skip

partitions = Table(
    "partitions", metadata,
    Column("partition", String(160), primary_key=True),
    Column("cid", Big, nullable=False),
    Column("slot_low", Integer, nullable=False),
    Column("slot_high", Integer, nullable=False),
    Column("dirty", Integer, nullable=False),
    Column("revision", Big, nullable=False),
    Column("look_at", Integer, nullable=False, server_default="1"),
    Index("ix_partitions_cid", "cid"),
)  # fmt: skip
"""``look_at`` is 0 when a run need look only at ``changed_documents``, 1 when it must look at all documents, and 2
while one does, under the same recipe; whoever then changes what nobody can name makes it 1 again.

``dirty`` is 1 from the first change of a partition, 2 while a run tidies it, and 0 when nothing unwanted is left.
Whoever changes something while it is being tidied makes it 1 again, so that it is not taken for clean.
"""

objects = Table(
    "objects", metadata,
    Column("document_id", String(32), nullable=False),
    Column("cid", Big, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("version", String(64), nullable=False),
    Column("input_digest", String(96), nullable=False),
    Column("size_bytes", Big, nullable=False),
    Column("content_type", Text),
    Column("attributes", JSON, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("arrived_at", Float, nullable=False),
    Column("begin_seq", Big, nullable=False),
    Column("end_seq", Big),
    PrimaryKeyConstraint("document_id", "begin_seq"),
    Index("ix_objects_open", "cid", "slot", "document_id", unique=True, **_only_open()),
    Index("ix_objects_version", "version"),
)  # fmt: skip
"""``input_digest`` is what the first stage reads: the version, and the little else that parsing may depend on."""

changed_documents = Table(
    "changed_documents", metadata,
    Column("document_id", String(32), primary_key=True),
    Column("partition", String(160), nullable=False),
    Index("ix_changed_documents_partition", "partition"),
)  # fmt: skip
"""Documents for which a run may have something to do, since their partition was last brought up to date."""

producers = Table(
    "producers", metadata,
    Column("producer_id", Big, primary_key=True, autoincrement=False),
    Column("producer", String(200), nullable=False, unique=True),
    Column("stage", String(64), nullable=False),
    Column("parameters", JSON, nullable=False),
)  # fmt: skip

segments = Table(
    "segments", metadata,
    Column("segment_id", Big, primary_key=True, autoincrement=False),
    Column("cid", Big, nullable=False),
    Column("partition", String(160), nullable=False),
    Column("stage", String(64), nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("row_count", Big, nullable=False),
    Column("size_bytes", Big, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("dead_at", Float),
    Index("ix_segments_partition", "partition", "stage"),
)  # fmt: skip

outputs = Table(
    "outputs", metadata,
    Column("output_id", Big, primary_key=True, autoincrement=False),
    Column("document_id", String(32), nullable=False),
    Column("cid", Big, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("producer_id", Big, nullable=False),
    Column("input_digest", String(200), nullable=False),
    Column("output_digest", String(32), nullable=False),
    Column("row_count", Big, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("tokens", Big, nullable=False),
    Column("segment_id", Big),
    Column("facts", JSON),
    Column("run_id", String(64), nullable=False),
    Column("computed_at", Float, nullable=False),
    Column("begin_seq", Big, nullable=False),
    Column("end_seq", Big),
    Index("ix_outputs_open", "document_id", "producer_id", "version", "input_digest", unique=True, **_only_open()),
    Index("ix_outputs_segment", "segment_id"),
    Index("ix_outputs_twin", "input_digest", "producer_id"),
    Index("ix_outputs_producer", "producer_id", "cid", "slot", "document_id", "row_count", **_only_open()),
)  # fmt: skip
"""An output without rows names no segment. ``input_digest`` is the inputs' output digests, joined by "+"."""

memo = Table(
    "memo", metadata,
    Column("tenant", String(64), nullable=False),
    Column("producer_id", Big, nullable=False),
    Column("key", LargeBinary(16), nullable=False),
    Column("segment_id", Big, nullable=False),
    PrimaryKeyConstraint("tenant", "producer_id", "key"),
    Index("ix_memo_segment", "segment_id"),
    sqlite_with_rowid=False,
)  # fmt: skip
"""Where a row-wise result can be read again: key of the row -> a segment that holds it."""

generations = Table(
    "generations", metadata,
    Column("generation_id", Big, primary_key=True, autoincrement=False),
    Column("cid", Big, nullable=False),
    Column("state", String(16), nullable=False),
    Column("embedding_model", Text, nullable=False),
    Column("embedding_digest", String(64), nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("retired_at", Float),
    Column("settings", JSON),
    Column("recipe", String(64)),
    Column("origin", String(16)),
    Column("verdict", JSON),
    Column("dropped_at", Float),
    Index("ix_generations_cid", "cid"),
)  # fmt: skip
"""``state`` is ``building``, ``live``, ``previous`` (kept up to date, for a rollback) or ``retired``.

``settings`` define it, and ``recipe`` is their digest and the model's; ``origin`` is ``settings`` or ``command``;
``verdict`` is its last comparison with the live one; ``dropped_at`` is when its index spaces were removed.
"""

reigns = Table(
    "reigns", metadata,
    Column("cid", Big, nullable=False),
    Column("generation_id", Big, nullable=False),
    Column("begin_seq", Big, nullable=False),
    Column("end_seq", Big),
    PrimaryKeyConstraint("cid", "begin_seq"),
)  # fmt: skip
"""Which generation of a collection answers searches, by sequence number."""

publications = Table(
    "publications", metadata,
    Column("publication", Big, primary_key=True, autoincrement=False),
    Column("document_id", String(32), nullable=False),
    Column("cid", Big, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("generation_id", Big, nullable=False),
    Column("version", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("object_seq", Big, nullable=False),
    Column("switches", String(32), nullable=False),
    Column("record", JSON, nullable=False),
    Column("content_digest", String(32), nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("outputs_key", String(200), nullable=False),
    Column("counts", JSON, nullable=False),
    Column("begin_seq", Big, nullable=False),
    Column("end_seq", Big),
    Index("ix_publications_open", "generation_id", "document_id", unique=True, **_only_open()),
    Index("ix_publications_shown", "generation_id", "publication", **_only_open()),
    Index("ix_publications_cid", "cid", "publication"),
    Index("ix_publications_document", "document_id"),
)  # fmt: skip

"""``outputs`` maps stage to output id; ``outputs_key`` is the same ids joined by "+", to compare in SQL;
``content_digest`` covers what the stores were given; ``counts`` maps store to rows written.
"""

outbox = Table(
    "outbox", metadata,
    Column("publication", Big, primary_key=True, autoincrement=False),
    Column("document_id", String(32), nullable=False),
    Column("cid", Big, nullable=False),
    Column("generation_id", Big, nullable=False),
    Column("partition", String(160), nullable=False),
    Column("token", Big, nullable=False),
    Column("state", String(16), nullable=False),
    Column("since", Float, nullable=False),
    Column("stores", JSON, nullable=False),
    Column("content_digest", String(32), nullable=False),
    Index("ix_outbox_partition", "partition", "state"),
    Index("ix_outbox_cid", "cid"),
)  # fmt: skip
"""``state``: ``staged`` (``stores`` = those written) or ``collect`` (``stores`` = those still to be cleaned).
``content_digest`` is of what the number was drawn for: a resumed number is never written with anything else.
"""

leases = Table(
    "leases", metadata,
    Column("name", String(200), primary_key=True),
    Column("token", Big, nullable=False),
    Column("holder", String(200), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("layout_revision", Integer, nullable=False),
)  # fmt: skip

pins = Table(
    "pins", metadata,
    Column("pin", String(64), primary_key=True),
    Column("taken_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)  # fmt: skip
"""A reader's claim on every segment that was alive when it was taken."""

quarantine = Table(
    "quarantine", metadata,
    Column("document_id", String(32), nullable=False),
    Column("stage", String(64), nullable=False),
    Column("cid", Big),
    Column("tenant", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("version", String(64), nullable=False),
    Column("producer_id", Big, nullable=False),
    Column("input_digest", String(200), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("error_class", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    PrimaryKeyConstraint("document_id", "stage", "producer_id", "input_digest"),
    Index("ix_quarantine_cid", "cid"),
)  # fmt: skip
"""One document may be held at one stage by several index generations, each with its own producer or input."""

check_marks = Table(
    "check_marks", metadata,
    Column("partition", String(160), nullable=False),
    Column("check_name", String(100), nullable=False),
    Column("output_id", Big, nullable=False),
    PrimaryKeyConstraint("partition", "check_name"),
)  # fmt: skip
"""Outputs of a partition up to ``output_id`` have passed the check: output numbers only grow under one lease."""

runs = Table(
    "runs", metadata,
    Column("run_id", String(64), nullable=False),
    Column("partition", String(160), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("report", JSON, nullable=False),
    Column("source", String(64)),
    Column("batch", String(64)),
    Column("priority", Integer),
    Column("cancel_at", Float),
    Column("progress", JSON),
    PrimaryKeyConstraint("run_id", "partition"),
    Index("ix_runs_partition", "partition", "started_at"),
)  # fmt: skip
"""``source`` is who asked for the run, ``batch`` what it was asked for together with; ``cancel_at`` is when somebody
asked it to stop, ``progress`` how far the stage is that it works at.
"""

run_requests = Table(
    "run_requests", metadata,
    Column("partition", String(160), primary_key=True),
    Column("run_key", String(260), nullable=False),
    Column("arrivals", String(64), nullable=False),
    Column("revision", Big, nullable=False),
    Column("open", Integer, nullable=False),
    Column("requested_at", Float, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("retry_at", Float, nullable=False),
)  # fmt: skip
"""The last run that the arrival sensor asked for in each partition; ``open`` is 1 until it is known to have ended."""

touched = Table(
    "touched", metadata,
    Column("document_id", String(32), primary_key=True),
    Column("partition", String(160), nullable=False),
    Column("path", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("stamp", Big, nullable=False),
    Index("ix_touched_partition", "partition", "stamp"),
)  # fmt: skip
"""Keys that a run is to look at, without listing their collection: those that a sensor saw to differ from the ledger.
``fingerprint`` is what it saw, "" for a key that was gone; ``stamp`` rises whenever it differs in another way.
"""

listing_passes = Table(
    "listing_passes", metadata,
    Column("cid", Big, primary_key=True, autoincrement=False),
    Column("number", Big, nullable=False),
    Column("parts", Big, nullable=False),
    Column("position", Text, nullable=False),
    Column("listed", Big, nullable=False),
    Column("since", Big, nullable=False),
)  # fmt: skip
"""How far the listing of a collection has come that did not end in one look; ``position`` is the store's own."""

listing_parts = Table(
    "listing_parts", metadata,
    Column("cid", Big, nullable=False),
    Column("number", Big, nullable=False),
    Column("part", Big, nullable=False),
    Column("seen", LargeBinary, nullable=False),
    PrimaryKeyConstraint("cid", "number", "part"),
)  # fmt: skip
"""Ids of documents, and of keys that cannot be one, that each look of such a listing saw: 16 bytes each."""

settled_recipes = Table(
    "settled_recipes", metadata,
    Column("partition", String(160), primary_key=True),
    Column("recipe", String(32), nullable=False),
)  # fmt: skip
"""Digest of all that a partition's results depend on beside its documents, when it was last brought up to date."""

controls = Table(
    "controls", metadata,
    Column("scope", String(200), primary_key=True),
    Column("paused", Integer, nullable=False),
    Column("priority", Integer),
    Column("reason", Text, nullable=False),
    Column("changed_at", Float, nullable=False),
)  # fmt: skip
"""What a person paused or put first. ``scope`` is ``*``, a tenant, ``tenant/collection``, a partition key, or a batch
as ``batch:ID``; names have neither colons nor dots, so one is never taken for another.
"""

held_arrivals = Table(
    "held_arrivals", metadata,
    Column("document_id", String(32), primary_key=True),
    Column("cid", Big, nullable=False),
    Column("partition", String(160), nullable=False),
    Column("path", Text, nullable=False),
    Column("change", String(16), nullable=False),
    Column("since", Float, nullable=False),
    Index("ix_held_arrivals_partition", "partition"),
)  # fmt: skip
"""Keys that differ from the ledger and that the collection's update mode keeps out, as the last look found them;
``change`` is ``added``, ``changed`` or ``removed``.
"""

audit = Table(
    "audit", metadata,
    Column("entry", Big, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSON, nullable=False),
)  # fmt: skip
"""What a person asked for: retries, removals, promotions."""

data_keys = Table(
    "data_keys", metadata,
    Column("key_id", String(32), primary_key=True),
    Column("scope", String(200), nullable=False),
    Column("master", Text, nullable=False),
    Column("version", String(64), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("wrapped_at", Float, nullable=False),
    Index("ix_data_keys_scope", "scope", unique=True),
)  # fmt: skip
"""Keys that encrypt blobs, each wrapped by a master key that is kept elsewhere. A destroyed one has no row."""

store_places = Table(
    "store_places", metadata,
    Column("partition", String(160), nullable=False),
    Column("store", String(16), nullable=False),
    Column("place", Text, nullable=False),
    PrimaryKeyConstraint("partition", "store"),
)  # fmt: skip
"""Where the rows of a partition were published to, for each store: without credentials. A store that is opened
elsewhere lacks them.
"""

repairs = Table(
    "repairs", metadata,
    Column("partition", String(160), primary_key=True),
    Column("digest", String(32), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("found_at", Float, nullable=False),
    Column("retry_at", Float, nullable=False),
    Column("problem", Text, nullable=False),
)  # fmt: skip
"""Partitions whose stores were found to differ from the ledger. ``digest`` is of the differences; ``attempts`` counts
repairs that left these very ones, and none is tried by itself before ``retry_at``.
"""

tombstones = Table(
    "tombstones", metadata,
    Column("document_id", String(32), primary_key=True),
    Column("version", String(64), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("since", Float, nullable=False),
    Index("ix_tombstones_collection", "tenant", "collection"),
)  # fmt: skip
"""Versions that were deleted and whose bytes may still be under their key. It stands until the key was seen absent or
with other bytes; ``fingerprint`` is of the key when it was last seen, "" before that. A copy is beside the originals.
"""

deletions = Table(
    "deletions", metadata,
    Column("deletion_id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("purge", Integer, nullable=False),
    Column("documents", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
)  # fmt: skip
"""Deletions that were asked for: ``kind`` is ``document``, ``collection`` or ``tenant``, ``documents`` are ids, and
``evidence`` is what was removed so far, without a word of any text or path. ``ended_at`` is when it was signed.
"""

pinned_versions = Table(
    "pinned_versions", metadata,
    Column("document_id", String(32), primary_key=True),
    Column("version", String(64), nullable=False),
    Column("key_version", String(64), nullable=False),
    Column("since", Float, nullable=False),
)  # fmt: skip
"""Documents of which a person published an earlier version again; ``key_version`` is what their key held then."""

spend = Table(
    "spend", metadata,
    Column("spend_id", Big, primary_key=True, autoincrement=False),
    Column("tenant", String(64), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("stage", String(64), nullable=False),
    Column("model", String(200), nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("rows_computed", Big, nullable=False),
    Column("tokens", Big, nullable=False),
    Column("money", Float, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_spend_tenant", "tenant", "day"),
)  # fmt: skip
"""What was computed by a model, a row per batch, entered with the outputs it made: neither lost by a kill nor counted
twice. ``day`` is YYYY-MM-DD in UTC by the database's clock; ``money`` is by the prices of that moment.
"""

saved_searches = Table(
    "saved_searches", metadata,
    Column("tenant", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("query", Text, nullable=False),
    Column("filters", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("answered_at", Float, nullable=False),
    Column("answered_seq", Big, nullable=False),
    Column("hits", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)  # fmt: skip
"""Searches that a person saved; ``tenant`` is "" for those over all tenants. ``hits`` are those of the last answer,
best first, each with document, version and chunk, and no text.
"""

imports = Table(
    "imports", metadata,
    Column("import_id", String(32), primary_key=True),
    Column("cid", Big, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("source", Text, nullable=False),
    Column("model", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("counts", JSON, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
)  # fmt: skip
"""Indexes of other systems that were brought in. ``state`` is ``running``, ``done`` or ``undoing``; ``model`` is the
one that was declared; ``source`` holds no credentials.
"""

imported_documents = Table(
    "imported_documents", metadata,
    Column("import_id", String(32), nullable=False),
    Column("path", Text, nullable=False),
    Column("cid", Big, nullable=False),
    Column("version", String(64), nullable=False),
    Column("former", String(64), nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("document_id", String(32), nullable=False, server_default=""),
    PrimaryKeyConstraint("import_id", "path"),
    Index("ix_imported_documents_document", "document_id"),
)  # fmt: skip
"""Documents that an import wrote into the object store: ``version`` is the SHA-256 of what it wrote, or was about to
write in place of ``former``; ``fingerprint`` is what the key showed afterwards, "" before.
"""

corrections = Table(
    "corrections", metadata,
    Column("correction_id", Big, primary_key=True, autoincrement=False),
    Column("tenant", String(64), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("document_id", String(32), nullable=False),
    Column("path", Text, nullable=False),
    Column("version", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("value", JSON, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("ended_by", Text, nullable=False),
    Column("ended_at", Float),
    Index("ix_corrections_document", "document_id"),
    Index("ix_corrections_tenant", "tenant", "collection"),
)  # fmt: skip
"""What people know better than the stages: labels of a document, what a name in it means, which entities are one.

``collection`` and ``document_id`` are "" for what holds in the whole tenant. A row is in force until it is ended, and
stays as history.
"""

given_catalogues = Table(
    "given_catalogues", metadata,
    Column("catalogue_id", Big, primary_key=True, autoincrement=False),
    Column("tenant", String(64), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("mode", String(8), nullable=False),
    Column("digest", String(32), nullable=False),
    Column("entries", Big, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("given_at", Float, nullable=False),
    Column("ended_by", Text, nullable=False),
    Column("ended_at", Float),
)  # fmt: skip
"""Catalogues that people brought. ``tenant`` and ``collection`` are "" where they hold for all; ``mode`` is ``add`` or
``replace``. A row is in force until it is ended, and stays as history without its ``content``.
"""

for _table in metadata.tables.values():
    for _column in _table.columns:
        if isinstance(_column.type, String):
            # Text compares by code points, whatever the database's locale: as SQLite and Python do.
            _type = (
                Text(collation="C") if isinstance(_column.type, Text) else String(_column.type.length, collation="C")
            )
            _column.type = _column.type.with_variant(_type, "postgresql")
