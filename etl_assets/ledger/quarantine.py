"""Documents, and keys, that could not be processed: where, why, how often. Nothing is dropped without a row here."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from etl_assets.errors import DataError
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.database import Ledger, clock, draw, insert_rows

RAW_STAGE = "raw_documents"


@dataclass(frozen=True, slots=True)
class Held:
    """What is held back, and for which reason. ``producer_id`` 0 means before any stage."""

    document_id: str
    path: str
    version: str
    error: DataError
    fingerprint: str = ""
    tenant: str = ""
    collection: str = ""
    input_digest: str = ""


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """One row of the quarantine, as people see it. Times are Unix seconds UTC."""

    document_id: str
    stage: str
    tenant: str
    collection: str
    path: str
    version: str
    reason: str
    error_class: str
    message: str
    fingerprint: str
    attempts: int
    first_at: float
    last_at: float


def hold(
    connection: Connection, partition: Partition | None, stage: str, producer_id: int, held: Sequence[Held]
) -> None:
    """Put documents in quarantine at a stage; a document that is there already counts one more attempt."""
    if not held:
        return
    if partition is None:
        draw(connection, "stray")  # no lease keeps others out: the counter, held to the commit, does
    table = schema.quarantine
    ids = [one.document_id for one in held]
    before = {
        row.document_id: row
        for row in connection.execute(
            select(table.c.document_id, table.c.attempts, table.c.first_at).where(
                table.c.stage == stage, table.c.document_id.in_(ids)
            )
        )
    }
    release(connection, stage, ids)
    at = clock(connection)
    rows = []
    for one in held:
        known = before.get(one.document_id)
        rows.append(
            {
                "document_id": one.document_id, "stage": stage, "cid": partition.cid if partition else None,
                "tenant": partition.tenant if partition else one.tenant,
                "collection": partition.collection if partition else one.collection,
                "path": one.path, "version": one.version, "producer_id": producer_id,
                "input_digest": one.input_digest, "reason": one.error.reason,
                "error_class": type(one.error).__name__, "message": _storable(str(one.error)),
                "fingerprint": one.fingerprint,
                "attempts": known.attempts + 1 if known else 1, "first_at": known.first_at if known else at,
                "last_at": at,
            }
        )  # fmt: skip
    insert_rows(connection, table, rows)
    if partition is not None:
        mark_dirty(connection, partition.key)


def _storable(message: str) -> str:
    """A message may quote a document's own text; PostgreSQL keeps no NUL, and no database half a surrogate pair."""
    return message.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def release(connection: Connection, stage: str | None, document_ids: Sequence[str]) -> int:
    """Take documents out of quarantine, at one stage or at all; how many rows went."""
    table = schema.quarantine
    gone = 0
    for start in range(0, len(document_ids), 5000):
        statement = delete(table).where(table.c.document_id.in_(document_ids[start : start + 5000]))
        if stage is not None:
            statement = statement.where(table.c.stage == stage)
        gone += connection.execute(statement).rowcount
    return gone


def rows(ledger: Ledger, *, tenant: str | None = None, collection: str | None = None) -> list[QuarantineRow]:
    """Everything in quarantine, by tenant, collection and path."""
    table = schema.quarantine
    columns = [table.c[name] for name in QuarantineRow.__dataclass_fields__]
    query = select(*columns).order_by(table.c.tenant, table.c.collection, table.c.path, table.c.stage)
    if tenant is not None:
        query = query.where(table.c.tenant == tenant)
    if collection is not None:
        query = query.where(table.c.collection == collection)
    with ledger.reading() as connection:
        return [QuarantineRow(*row) for row in connection.execute(query).all()]


def held_fingerprints(connection: Connection, stage: str, document_ids: Sequence[str]) -> dict[str, str]:
    """Fingerprint of those of these documents that are quarantined at a stage, by document id."""
    table = schema.quarantine
    found: dict[str, str] = {}
    for start in range(0, len(document_ids), 5000):
        query = select(table.c.document_id, table.c.fingerprint).where(
            table.c.stage == stage, table.c.document_id.in_(document_ids[start : start + 5000])
        )
        found.update((row[0], row[1]) for row in connection.execute(query).all())
    return found


def held_at(ledger: Ledger, stage: str, cid: int | None) -> dict[str, QuarantineRow]:
    """Quarantined at one stage, in one collection or (``None``) outside any, by document id."""
    table = schema.quarantine
    columns = [table.c[name] for name in QuarantineRow.__dataclass_fields__]
    query = select(*columns).where(table.c.stage == stage, table.c.cid == cid)
    with ledger.reading() as connection:
        return {str(row[0]): QuarantineRow(*row) for row in connection.execute(query).all()}
