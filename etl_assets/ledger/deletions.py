"""Deletions that were asked for, and what the ledger itself holds of a document: found, ended, and struck out.

A deletion is a row from the moment it was asked for until its certificate is signed, so one that was interrupted is
found again by its documents. Its row holds ids and counts, never a path or a word of a text.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.database import clock, next_sequence
from etl_assets.ledger.outputs import batches

_IN_LIST = 5000
_STORES = ("vector", "keyword", "graph")


@dataclass(frozen=True, slots=True)
class DeletionRow:
    """One deletion. ``kind`` is ``document``, ``collection`` or ``tenant``; times are Unix seconds UTC."""

    deletion_id: str
    kind: str
    tenant: str
    collection: str
    purge: bool
    documents: tuple[str, ...]
    evidence: Mapping[str, Any]
    started_at: float
    ended_at: float | None


@dataclass(slots=True)
class Remains:
    """What the ledger knows of documents: names to look for elsewhere, versions by document, numbers in the stores.

    ``numbers`` is index generation -> publication numbers; ``messages`` are the quarantine's words.
    """

    paths: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    present: dict[str, tuple[str, str]] = field(default_factory=dict)
    titles: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    numbers: dict[int, set[int]] = field(default_factory=dict)


def opened(
    connection: Connection, kind: str, tenant: str, collection: str, documents: Sequence[str], *, purge: bool
) -> DeletionRow:
    """The unfinished deletion of exactly these documents, or a new one."""
    table = schema.deletions
    wanted = sorted(documents)
    same = (table.c.kind == kind, table.c.tenant == tenant, table.c.collection == collection)
    for row in _rows(connection, *same, table.c.purge == int(purge), table.c.ended_at.is_(None)):
        # What was found of a collection or a tenant at first may be struck out already.
        if list(row.documents) == wanted or kind != "document":
            return row
    new = {
        "deletion_id": uuid4().hex, "kind": kind, "tenant": tenant, "collection": collection, "purge": int(purge),
        "documents": wanted, "evidence": {}, "started_at": clock(connection), "ended_at": None,
    }  # fmt: skip
    connection.execute(insert(table), new)
    return deletion(connection, str(new["deletion_id"]))


def deletion(connection: Connection, deletion_id: str) -> DeletionRow:
    """One deletion, which must be there."""
    return _rows(connection, schema.deletions.c.deletion_id == deletion_id)[0]


def unfinished(connection: Connection) -> list[DeletionRow]:
    """Deletions without a certificate, oldest first."""
    return _rows(connection, schema.deletions.c.ended_at.is_(None))


def note(connection: Connection, deletion_id: str, evidence: Mapping[str, Any]) -> None:
    """Keep what was removed so far; what an earlier attempt noted under other names stays."""
    table = schema.deletions
    mine = table.c.deletion_id == deletion_id
    before = connection.scalar(select(table.c.evidence).where(mine).with_for_update()) or {}
    connection.execute(update(table).where(mine).values(evidence={**before, **evidence}))


def finish(connection: Connection, deletion_id: str) -> None:
    """Note that the certificate was signed."""
    table = schema.deletions
    connection.execute(
        update(table).where(table.c.deletion_id == deletion_id).values(ended_at=clock(connection))
    )  # fmt: skip


def _rows(connection: Connection, *where: Any) -> list[DeletionRow]:
    table = schema.deletions
    columns = [table.c[name] for name in DeletionRow.__dataclass_fields__]
    found = connection.execute(select(*columns).where(*where).order_by(table.c.started_at)).mappings()
    return [DeletionRow(**{**row, "purge": bool(row["purge"]), "documents": tuple(row["documents"])}) for row in found]


def remains(connection: Connection, documents: Sequence[str]) -> Remains:
    """What the ledger knows of these documents, present, gone or held."""
    found = Remains()
    o, p, b, q, t = schema.objects, schema.publications, schema.outbox, schema.quarantine, schema.touched
    for part in batches(documents, _IN_LIST):
        columns = (o.c.document_id, o.c.path, o.c.version, o.c.fingerprint, o.c.end_seq)
        for row in connection.execute(select(*columns).where(o.c.document_id.in_(part)).order_by(o.c.begin_seq)):
            found.paths[row.document_id] = row.path
            found.versions.setdefault(row.document_id, []).append(row.version)
            if row.end_seq is None:
                found.present[row.document_id] = (row.version, row.fingerprint)
        shown = select(p.c.generation_id, p.c.publication, p.c.path, p.c.record, p.c.document_id)
        for generation, number, path, record, document in connection.execute(shown.where(p.c.document_id.in_(part))):
            found.numbers.setdefault(generation, set()).add(number)
            found.paths.setdefault(document, path)
            found.titles.add(str((record or {}).get("title") or ""))
        waiting = select(b.c.generation_id, b.c.publication).where(b.c.document_id.in_(part))
        for generation, number in connection.execute(waiting):
            found.numbers.setdefault(generation, set()).add(number)
        held = select(q.c.document_id, q.c.path, q.c.message, q.c.fingerprint).where(q.c.document_id.in_(part))
        for document, path, message, fingerprint in connection.execute(held):
            found.paths.setdefault(document, path)
            found.messages.append(message)
            found.present.setdefault(document, ("", fingerprint))
        for document, path in connection.execute(select(t.c.document_id, t.c.path).where(t.c.document_id.in_(part))):
            found.paths.setdefault(document, path)
    found.titles.discard("")
    return found


def documents_of(connection: Connection, tenant: str, collection: str | None) -> dict[str, tuple[str, str]]:
    """Every document that the ledger has a row of, in a tenant or one collection of it: id -> (collection, path)."""
    o, owner, q = schema.objects, schema.collections, schema.quarantine
    known = select(o.c.document_id, owner.c.collection, o.c.path).join(owner, owner.c.cid == o.c.cid)
    held = select(q.c.document_id, q.c.collection, q.c.path).where(q.c.tenant == tenant)
    known = known.where(owner.c.tenant == tenant)
    if collection is not None:
        known, held = known.where(owner.c.collection == collection), held.where(q.c.collection == collection)
    found = {row[0]: (row[1], row[2]) for query in (known, held) for row in connection.execute(query.distinct())}
    return dict(sorted(found.items()))


def withdraw(connection: Connection, partition: Partition, documents: Sequence[str]) -> int:
    """End everything of these documents at one sequence number, which is returned: no search sees them after it.

    What was written of them, and what was being written, waits in the outbox to be collected.
    """
    owner = schema.collections
    connection.execute(select(owner.c.cid).where(owner.c.cid == partition.cid).with_for_update())
    n, at = next_sequence(connection), clock(connection)
    o, p, x, b = schema.objects, schema.publications, schema.outputs, schema.outbox
    for part in batches(documents, _IN_LIST):
        for table in (o, x):
            connection.execute(
                update(table).where(table.c.document_id.in_(part), table.c.end_seq.is_(None)).values(end_seq=n)
            )
        columns = (p.c.publication, p.c.document_id, p.c.cid, p.c.generation_id)
        mine = (p.c.document_id.in_(part), p.c.end_seq.is_(None))
        ending = [dict(row._mapping) for row in connection.execute(select(*columns).where(*mine))]
        connection.execute(update(p).where(*mine).values(end_seq=n))
        collect = {"token": 0, "state": "collect", "since": at, "stores": list(_STORES), "content_digest": ""}
        if ending:
            connection.execute(insert(b), [row | collect | {"partition": partition.key} for row in ending])
        connection.execute(
            update(b)
            .where(b.c.document_id.in_(part), b.c.state == "staged")
            .values(state="collect", stores=list(_STORES), since=at)
        )
        for table in (
            schema.quarantine, schema.touched, schema.pinned_versions, schema.held_arrivals, schema.corrections,
            schema.imported_documents,
        ):  # fmt: skip
            connection.execute(delete(table).where(table.c.document_id.in_(part)))
    mark_dirty(connection, partition.key, documents)
    return n


def waited_long_enough(connection: Connection, documents: Sequence[str], *, older_than_s: float) -> float:
    """Seconds until no search can read any more what was withdrawn of these documents; 0 when that is now."""
    b = schema.outbox
    newest = 0.0
    for part in batches(documents, _IN_LIST):
        for since in connection.scalars(select(b.c.since).where(b.c.document_id.in_(part))):
            newest = max(newest, float(since))
    return max(0.0, newest + older_than_s - clock(connection)) if newest else 0.0


def settle_outbox(connection: Connection, documents: Sequence[str]) -> None:
    """Strike out what waited to be collected of these documents: every store was read back without it."""
    b = schema.outbox
    for part in batches(documents, _IN_LIST):
        connection.execute(delete(b).where(b.c.document_id.in_(part), b.c.state == "collect"))


def strike_out(connection: Connection, documents: Sequence[str], names: Mapping[str, str]) -> dict[str, int]:
    """Remove every row of these documents, and their ``names`` (name -> what to put instead) from what is told of runs.

    Returns rows removed or changed, by table.
    """
    tables = (
        schema.objects, schema.publications, schema.outputs, schema.quarantine, schema.touched, schema.pinned_versions,
        schema.held_arrivals, schema.corrections, schema.imported_documents,
    )  # fmt: skip
    gone: dict[str, int] = {}
    for part in batches(documents, _IN_LIST):
        for table in tables:
            count = connection.execute(delete(table).where(table.c.document_id.in_(part))).rowcount
            gone[table.name] = gone.get(table.name, 0) + count
    gone["runs"] = _rewrite(connection, schema.runs, ("run_id", "partition"), ("report",), names)
    gone["generations"] = _rewrite(connection, schema.generations, ("generation_id",), ("verdict",), names)
    gone["repairs"] = _rewrite(connection, schema.repairs, ("partition",), ("problem",), names)
    gone["audit"] = _rewrite(connection, schema.audit, ("entry",), ("subject", "detail"), names)
    return gone


def rows_left(connection: Connection, documents: Sequence[str]) -> int:
    """How many rows of the ledger are of these documents; tombstones and deletions are not counted."""
    left = 0
    tables = (
        schema.objects, schema.publications, schema.outputs, schema.outbox, schema.quarantine, schema.touched,
        schema.held_arrivals, schema.corrections, schema.imported_documents,
    )  # fmt: skip
    for part in batches(documents, _IN_LIST):
        for table in tables:
            left += len(connection.execute(select(table.c.document_id).where(table.c.document_id.in_(part))).all())
    return left


def _rewrite(
    connection: Connection, table: Any, keys: Collection[str], columns: Iterable[str], names: Mapping[str, str]
) -> int:
    changed = 0
    for row in connection.execute(select(table)).mappings().all():
        new = {name: _without(row[name], names) for name in columns}
        if any(new[name] != row[name] for name in new):
            connection.execute(update(table).where(*(table.c[key] == row[key] for key in keys)).values(**new))
            changed += 1
    return changed


def _without(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, instead in names.items():
            value = value.replace(name, instead)
        return value
    if isinstance(value, Mapping):
        return {_without(key, names): _without(one, names) for key, one in value.items()}
    return [_without(one, names) for one in value] if isinstance(value, list) else value
