"""Indexes of other systems that were brought in, and which documents each import wrote into the object store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import clock, upsert
from etl_assets.ledger.outputs import batches

RUNNING, DONE, UNDOING = "running", "done", "undoing"


@dataclass(frozen=True, slots=True)
class Import:
    """One import. ``model`` has ``kind``, ``name`` and ``dimension``, as they were declared, and ``embed``: whether
    another model may embed its texts. Times are Unix seconds UTC.
    """

    import_id: str
    tenant: str
    collection: str
    kind: str
    source: str
    model: Mapping[str, Any]
    state: str
    counts: Mapping[str, Any]
    started_at: float
    ended_at: float | None
    documents: int


@dataclass(frozen=True, slots=True)
class Brought:
    """A document that an import wrote, or was about to write in place of ``former`` when it was killed."""

    path: str
    version: str
    former: str = ""
    fingerprint: str = ""
    document_id: str = ""

    @property
    def versions(self) -> frozenset[str]:
        """SHA-256 of the bytes that the key may have from this import."""
        return frozenset(filter(None, (self.version, self.former)))


def imports(connection: Connection) -> list[Import]:
    """Every import that was not undone, by tenant, collection and time."""
    table, owner, brought = schema.imports, schema.collections, schema.imported_documents
    count = select(func.count()).where(brought.c.import_id == table.c.import_id).scalar_subquery()
    names = ("kind", "source", "model", "state", "counts", "started_at", "ended_at")
    query = (
        select(table.c.import_id, owner.c.tenant, owner.c.collection, *(table.c[name] for name in names), count)
        .join(owner, owner.c.cid == table.c.cid)
        .order_by(owner.c.tenant, owner.c.collection, table.c.started_at, table.c.import_id)
    )
    return [Import(*row) for row in connection.execute(query)]


def models_of(connection: Connection, cids: Sequence[int]) -> dict[int, list[Mapping[str, Any]]]:
    """The declared models of what was imported into these collections, by collection, each once."""
    table = schema.imports
    query = select(table.c.cid, table.c.model).where(table.c.cid.in_(list(cids))).order_by(table.c.import_id)
    found: dict[int, list[Mapping[str, Any]]] = {}
    for cid, model in connection.execute(query):
        if model not in found.setdefault(cid, []):
            found[cid].append(model)
    return found


def origin_of(connection: Connection, tenant: str, collection: str, path: str, version: str) -> Import | None:
    """The import that wrote these bytes; ``None`` where none did, or where it was undone."""
    table, owner = schema.imported_documents, schema.collections
    query = (
        select(table.c.import_id)
        .join(owner, owner.c.cid == table.c.cid)
        .where(owner.c.tenant == tenant, owner.c.collection == collection, table.c.path == path)
        .where((table.c.version == version) | (table.c.former == version))
    )
    number = connection.scalar(query)
    return next((one for one in imports(connection) if one.import_id == number), None) if number else None


def begin_import(
    connection: Connection, import_id: str, cid: int, *, kind: str, source: str, model: Mapping[str, Any]
) -> None:
    """Enter an import that begins, or begins again."""
    row = {
        "import_id": import_id, "cid": cid, "kind": kind, "source": source, "model": dict(model), "state": RUNNING,
        "counts": {}, "started_at": clock(connection), "ended_at": None,
    }  # fmt: skip
    upsert(connection, schema.imports, [row])


def end_import(connection: Connection, import_id: str, counts: Mapping[str, Any]) -> None:
    """Enter that everything was brought."""
    table = schema.imports
    values = {"state": DONE, "counts": dict(counts), "ended_at": clock(connection)}
    connection.execute(update(table).where(table.c.import_id == import_id).values(**values))


def begin_undoing(connection: Connection, import_id: str) -> None:
    """Enter that an import is being taken back: it is not to be relied upon from here on."""
    table = schema.imports
    connection.execute(update(table).where(table.c.import_id == import_id).values(state=UNDOING, ended_at=None))


def forget_import(connection: Connection, import_id: str) -> None:
    """Strike out an import that was taken back."""
    for table in (schema.imported_documents, schema.imports):
        connection.execute(delete(table).where(table.c.import_id == import_id))


def brought(connection: Connection, import_id: str) -> dict[str, Brought]:
    """What an import wrote, by path."""
    table = schema.imported_documents
    columns = (table.c[name] for name in Brought.__dataclass_fields__)
    query = select(*columns).where(table.c.import_id == import_id)
    return {row[0]: Brought(*row) for row in connection.execute(query)}


def record_brought(connection: Connection, import_id: str, cid: int, documents: Iterable[Brought]) -> None:
    """Enter what is about to be written, or what was written, in place of what stood for these paths."""
    rows = [
        {
            "import_id": import_id, "path": one.path, "cid": cid, "version": one.version, "former": one.former,
            "fingerprint": one.fingerprint, "document_id": one.document_id,
        }
        for one in documents
    ]  # fmt: skip
    upsert(connection, schema.imported_documents, rows)


def forget_brought(connection: Connection, import_id: str, paths: Sequence[str]) -> None:
    """Strike out documents that were removed from the object store, or that somebody replaced there."""
    table = schema.imported_documents
    for part in batches(paths, 500):
        connection.execute(delete(table).where(table.c.import_id == import_id, table.c.path.in_(part)))
