"""Bringing in the index of another system: its rows become documents in the object store, with their own vectors.

Everything after that is the ordinary chain, so history, deletion, backup and lineage hold for them as for any
document. The other index is only read. What an import wrote is in the ledger before it is in the store, so that a
killed import can be run again, or undone, and nothing of somebody else's is ever overwritten or removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl_assets.documents.importing.foreign_rows import FieldNames, first_rows_fit, usable
from etl_assets.documents.importing.foreign_spool import RowSpool, planned_paths
from etl_assets.documents.importing.model import (
    SAMPLE,
    Declared,
    ModelCheck,
    check_model,
    known_dimension,
    what_to_configure,
)
from etl_assets.documents.importing.objects import ImportedObjects, Written, held_objects
from etl_assets.documents.parsing.chunk_file import ChunkFile
from etl_assets.errors import ConfigError, DataError
from etl_assets.ledger import imports, quarantine
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.protocols.declared_models import GivenModel

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.protocols.foreign_index import ForeignIndex, ForeignRow

HELD_ROWS = 10_000
"""So many rows are named in quarantine; the others are only counted."""

_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for. ``kind`` is that of the source, ``under`` a folder in the collection.

    ``again`` is the id of an import of which the source is a newer state; ``embed`` lets other models embed the texts.
    """

    tenant: str
    collection: str
    kind: str
    model: Declared
    fields: FieldNames = field(default_factory=FieldNames)
    under: str = ""
    again: str | None = None
    trust_model: bool = False
    embed: bool = False


@dataclass(slots=True)
class ImportReport:
    """What an import did, or would do. ``rejected`` counts rows by reason; ``configure`` is what is missing in
    collections.yaml for searches by vector, "" for nothing.
    """

    import_id: str = ""
    source: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    repeated: int = 0
    normalised: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    documents: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    replaced: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    check: ModelCheck = field(default_factory=ModelCheck)
    configure: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found["check"] = {name: getattr(self.check, name) for name in ModelCheck.__dataclass_fields__}
        return found


def import_id(wish: Wish, source: str) -> str:
    """The same for the same source into the same place: so a second run brings it up to date."""
    identity = "\0".join((wish.tenant, wish.collection, wish.under, wish.kind, source))
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def bring(platform: Platform, source: ForeignIndex, wish: Wish, *, dry: bool = False) -> ImportReport:
    """Read a foreign index whole, then write what differs from what its last import brought.

    ``dry`` writes nothing. The documents are computed and published by the next runs of the collection.

    Raises:
        ConfigError: fields, model or collection do not fit; nothing was written.
        TransientError: another import of the collection is at work.
        PermanentError: the source cannot be read whole, or the store refuses.
    """
    number = wish.again or import_id(wish, source.name)
    _refuse_unknown(platform, wish)
    report = ImportReport(number, source.name)
    with platform.originals.scratch() as scratch, RowSpool(scratch) as spool:
        held = _read(platform, source, wish, spool, report)
        model = wish.model.model(_dimension_of(spool))
        report.model = model.as_json()
        report.configure = what_to_configure(platform.collections.of(wish.tenant, wish.collection).embedder, model)
        partitions = [] if dry else _partitions(platform, wish)
        _prove(platform, wish, spool, model, partitions[0] if partitions else None, report)
        if dry:
            _count(platform, wish, spool, model, report, scratch)
            return report
        _write(platform, wish, spool, model, partitions[0], report, held, scratch)
    return report


def undo(platform: Platform, name: str) -> tuple[imports.Import, Written]:
    """Remove from the object store what an import brought, and nothing else; the next runs take it out everywhere.

    ``name`` is its id, or TENANT/COLLECTION of a collection with one import.

    Raises:
        ConfigError: there is no such import.
        TransientError: another import of the collection is at work.
        PermanentError: the store refuses; run it again to go on.
    """
    found = known_import(platform, name)
    number = found.import_id
    with held_objects(platform, found.tenant, found.collection) as objects:
        with platform.ledger.writing() as connection:
            imports.begin_undoing(connection, number)
        with platform.ledger.reading() as connection:
            brought = imports.brought(connection, number)
        done = objects.remove(number, list(brought.values()))
        _hold(platform, found.tenant, found.collection, number, [])
        with platform.ledger.writing() as connection:
            imports.forget_import(connection, number)
    return found, done


def known_import(platform: Platform, name: str) -> imports.Import:
    """The import of an id, or the only one of TENANT/COLLECTION.

    Raises:
        ConfigError: there is none, it was undone, or the collection has several.
    """
    with platform.ledger.reading() as connection:
        found = [
            one for one in imports.imports(connection) if name in (one.import_id, f"{one.tenant}/{one.collection}")
        ]
    if len(found) > 1:
        raise ConfigError(f"{name}: has the imports {', '.join(one.import_id for one in found)}; choose one")
    if not found:
        raise ConfigError(f"import {name}: there is none; `etl-assets import list` shows those that there are")
    return found[0]


def _refuse_unknown(platform: Platform, wish: Wish) -> None:
    """Find out before anything is read whether the place is one that may be written, and the import that is meant."""
    next(iter(platform.arrivals.list(wish.tenant, wish.collection)), None)
    if wish.again is None:
        return
    found = known_import(platform, wish.again)
    if (found.tenant, found.collection) != (wish.tenant, wish.collection):
        raise ConfigError(f"import {wish.again}: it is one of {found.tenant}/{found.collection}")
    if found.state == imports.UNDOING:
        raise ConfigError(
            f"import {wish.again}: it is being undone; run `etl-assets import undo {wish.again}` to its end"
        )


def _partitions(platform: Platform, wish: Wish) -> list[Partition]:
    shards = platform.collections.of(wish.tenant, wish.collection).shards
    return ensure_collection(platform.ledger, wish.tenant, wish.collection, shards=shards)


def _read(
    platform: Platform, source: ForeignIndex, wish: Wish, spool: RowSpool, report: ImportReport
) -> list[quarantine.Held]:
    """Put every usable row in the spool; those that are not, as they shall be quarantined."""
    held: list[quarantine.Held] = []
    dimension = known_dimension(platform, platform.collections.of(wish.tenant, wish.collection).embedder, wish.model)
    for row in _looked_at(source, wish.fields):
        report.rows += 1
        try:
            one = usable(row, wish.fields, dimension)
            spool.add(one)
        except DataError as e:
            report.rejected[e.reason] = report.rejected.get(e.reason, 0) + 1
            if len(held) < HELD_ROWS:
                held.append(_held(wish, report, row, e))
            continue
        dimension = dimension or len(one.vector) // 4
        report.normalised += not one.was_unit
    report.repeated = spool.repeated
    if not spool.rows:
        why = ", ".join(f"{count:,} {reason}" for reason, count in report.rejected.items())
        first = f"; the first one: {held[0].error}" if held else ""
        raise ConfigError(f"{source.name}: {f'no row can be used ({why})' if why else 'it has no rows'}{first}")
    return held


def _looked_at(source: ForeignIndex, names: FieldNames) -> Iterator[ForeignRow]:
    """Every row, once the fields are known to be there."""
    first: list[ForeignRow] = []
    rows = source.rows()
    for row in rows:
        first.append(row)
        if len(first) == _LOOKED_AT:
            break
    first_rows_fit(first, names)
    yield from first
    yield from rows


def _held(wish: Wish, report: ImportReport, row: ForeignRow, error: DataError) -> quarantine.Held:
    place = f"{report.source} {row.place}"
    digest = hashlib.blake2b(f"import\0{report.import_id}\0{row.place}".encode(), digest_size=16).hexdigest()
    return quarantine.Held(
        digest, place, "", DataError(f"{place}: {error}", reason=error.reason), report.import_id, wish.tenant,
        wish.collection,
    )  # fmt: skip


def _dimension_of(spool: RowSpool) -> int:
    return len(spool.sample(1)[0][1]) // 4


def _prove(
    platform: Platform,
    wish: Wish,
    spool: RowSpool,
    model: GivenModel,
    partition: Partition | None,
    report: ImportReport,
) -> None:
    if wish.trust_model:
        report.check = ModelCheck(skipped="the model is trusted, as was asked for")
        return
    report.check = check_model(platform, (wish.tenant, wish.collection), model, spool.sample(SAMPLE), partition)
    if report.check.problem:
        raise ConfigError(
            f"{report.source}: its vectors are not of {wish.model}: {report.check.problem}. Declare the model that "
            "made them, or add --trust-model if they are of this model all the same"
        )


def _count(
    platform: Platform, wish: Wish, spool: RowSpool, model: GivenModel, report: ImportReport, scratch: Path
) -> None:
    """What would be done."""
    objects = ImportedObjects(platform, wish.tenant, wish.collection, 0)
    with platform.ledger.reading() as connection:
        before = imports.brought(connection, report.import_id)
    files = _files(wish, spool, model, report)
    _settle(report, objects.write(report.import_id, before, files, scratch, dry=True))
    report.removed = len(before.keys() - objects.seen)


def _write(
    platform: Platform, wish: Wish, spool: RowSpool, model: GivenModel, place: Partition, report: ImportReport,
    held: Sequence[quarantine.Held], scratch: Path,
) -> None:  # fmt: skip
    number = report.import_id
    with held_objects(platform, wish.tenant, wish.collection, place.cid) as objects:
        with platform.ledger.writing() as connection:
            imports.begin_import(
                connection, number, place.cid, kind=wish.kind, source=report.source,
                model={**report.model, "embed": wish.embed},
            )  # fmt: skip
        with platform.ledger.reading() as connection:
            before = imports.brought(connection, number)
        _settle(report, objects.write(number, before, _files(wish, spool, model, report), scratch))
        gone = [one for path, one in before.items() if path not in objects.seen]
        done = objects.remove(number, gone)
        report.removed = len(done.removed)
        report.replaced += done.replaced
        _hold(platform, wish.tenant, wish.collection, number, held)
        with platform.ledger.writing() as connection:
            counts = report.as_json()
            kept = ("rows", "repeated", "normalised", "rejected", "documents", "check")
            imports.end_import(connection, number, {name: counts[name] for name in kept})


def _settle(report: ImportReport, done: Written) -> None:
    report.added, report.changed, report.unchanged = done.added, done.changed, done.unchanged
    report.replaced += done.replaced
    report.conflicts += done.conflicts


def _files(wish: Wish, spool: RowSpool, model: GivenModel, report: ImportReport) -> Iterator[tuple[str, ChunkFile]]:
    """(path, document) of each document of the import."""
    paths = planned_paths([f"{wish.under}/{name}" if wish.under else name for name in spool.names()])
    report.documents = len(paths)
    origin = f"{wish.kind}, import {report.import_id}"
    for name, file in spool.documents(model, embed=wish.embed, origin=origin):
        yield paths[f"{wish.under}/{name}" if wish.under else name], file


def _hold(platform: Platform, tenant: str, collection: str, number: str, held: Sequence[quarantine.Held]) -> None:
    """Quarantine these rows of an import, and let go of those that were held before and are not any more."""
    rows = quarantine.rows(platform.ledger, tenant=tenant, collection=collection)
    now = {one.document_id for one in held}
    gone = [one.document_id for one in rows if one.stage == quarantine.IMPORT_STAGE and one.fingerprint == number]
    gone = [document for document in gone if document not in now]
    if gone or held:
        with platform.ledger.writing() as connection:
            quarantine.release(connection, quarantine.IMPORT_STAGE, gone)
            quarantine.hold(connection, None, quarantine.IMPORT_STAGE, 0, held)
