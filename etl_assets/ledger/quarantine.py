"""Documents, and keys, that could not be processed: where, why, how often. Nothing is dropped without a row here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select

from etl_assets.errors import DataError
from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.database import Ledger, clock, draw, insert_rows

RAW_STAGE = "raw_documents"
IMPORT_STAGE = "import"
"""The stage at which rows of other indexes are held that cannot be imported: no document, and so of no partition."""

AWAITS_RETRY = -1
"""The producer of a row that a person asked to try again: no stage's producer, so the row holds nothing back, and
keeps its count of attempts and its first time.
"""


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
    """Put documents in quarantine at a stage; a document that is there already counts one more attempt.

    What another producer, or the same one for another input, is held for stays as long as the version is the same.
    """
    if not held:
        return
    if partition is None:
        draw(connection, "stray")  # no lease keeps others out: the counter, held to the commit, does
    table = schema.quarantine
    before: dict[str, Any] = {}
    for row in sorted(_at(connection, stage, [one.document_id for one in held]), key=_attempts):
        if row.producer_id == producer_id or row.document_id not in before:
            before[row.document_id] = row
    settle(connection, stage, producer_id, [(one.document_id, one.version, one.input_digest) for one in held])
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
        mark_dirty(connection, partition.key, ())


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


def settle(connection: Connection, stage: str, producer_id: int, made: Sequence[tuple[str, str, str]]) -> None:
    """Lift what a new result answers; ``made`` is (document, version, input digest).

    That is what was held for the same producer and input, for another version, or until it would be tried again.
    """
    table = schema.quarantine
    now = {document: (version, digest) for document, version, digest in made}
    gone = [
        (row.document_id, row.producer_id, row.input_digest)
        for row in _at(connection, stage, list(now))
        if (row.producer_id, row.input_digest) == (producer_id, now[row.document_id][1])
        or row.version != now[row.document_id][0]
        or row.producer_id == AWAITS_RETRY
    ]
    for document, producer, digest in gone:
        connection.execute(
            delete(table).where(
                table.c.document_id == document, table.c.stage == stage, table.c.producer_id == producer,
                table.c.input_digest == digest,
            )
        )  # fmt: skip


def _attempts(row: Any) -> int:
    return int(row.attempts)


def _at(connection: Connection, stage: str, document_ids: Sequence[str]) -> list[Any]:
    table = schema.quarantine
    found: list[Any] = []
    for start in range(0, len(document_ids), 5000):
        part = document_ids[start : start + 5000]
        found += connection.execute(select(table).where(table.c.stage == stage, table.c.document_id.in_(part))).all()
    return found


def count(ledger: Ledger) -> int:
    """How many rows are in quarantine."""
    with ledger.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(schema.quarantine)) or 0)


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
