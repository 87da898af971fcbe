"""Whether an index or the graph holds exactly what the ledger says: ids and digests, read back from the store."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.documents.index_rows import mention_edges
from etl_assets.documents.model import CHUNKS, EMBEDDINGS, MENTIONS, slot_of
from etl_assets.ledger import audits
from etl_assets.ledger.audits import Held, Known
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import batches, segment_files
from etl_assets.protocols.graph import edge_digest
from etl_assets.protocols.indexes import text_digest, vector_digest

if TYPE_CHECKING:
    import polars as pl

    from etl_assets.documents.platform import Platform

DOCUMENTS_AT_ONCE = 256
SOURCES = {"vector": EMBEDDINGS.name, "keyword": CHUNKS.name, "graph": MENTIONS.name}
"""The stage that each store is fed from."""

_COLUMNS = {
    "vector": ("chunk_id", "vector"),
    "keyword": ("chunk_id", "text"),
    "graph": ("page", "start", "end", "entity_id", "entity_type", "name", "chunk_id", "confidence"),
}

Stored = Mapping[int, Mapping[str, str]]
"""Publication -> id of a row (chunk, or entity) -> its digest."""


@dataclass(slots=True)
class Differences:
    """What differs, as lines that name the document, by kind."""

    missing: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    documents: set[str] = field(default_factory=set)
    rows: int = 0

    def counts(self) -> dict[str, int]:
        """Rows of each kind."""
        kinds = ("missing", "altered", "orphaned", "stale")
        return {"rows": self.rows, **{kind: len(getattr(self, kind)) for kind in kinds}}

    def lines(self) -> list[str]:
        """Every difference."""
        return [*self.missing, *self.altered, *self.orphaned, *self.stale]


def compare_staged(platform: "Platform", partition: Partition, store: str, staged: Sequence[Held]) -> Differences:
    """Numbers that were written and are not committed yet, against what the lake says they should hold."""
    differences = Differences()
    for part in batches(staged, DOCUMENTS_AT_ONCE):
        found: dict[int, dict[str, str]] = {}
        for publication, _, row, digest in _stored(platform, partition, store, [one.publication for one in part]):
            found.setdefault(publication, {})[row] = digest
        _compare(differences, store, found, expected_rows(platform, partition, store, part))
    return differences


def compare_all(platform: "Platform", partition: Partition, store: str) -> Differences:
    """Everything the store holds of a partition against the ledger.

    A row is judged only where no run at work could explain it: missing is what was visible both before and after the
    store was read, orphaned is what neither moment knows and what was drawn before the first.
    """
    with platform.ledger.reading() as connection:
        before = audits.known(connection, partition)
    found, owners = _held(platform, partition, store)
    with platform.ledger.reading() as connection:
        after = audits.known(connection, partition)
        ended = audits.ended(connection, list(found))
    steady = [one for number, one in after.open.items() if number in before.open and store in one.stores]
    differences = Differences()
    _compare(differences, store, found, expected_rows(platform, partition, store, steady))
    _find_strangers(differences, store, found, owners, before, after, ended)
    if store == "graph" and partition.slot_low == 0:
        lost = platform.stores.graph.orphans(partition.tenant)
        differences.orphaned += [f"entity {entity} of tenant {partition.tenant} has no document" for entity in lost]
    return differences


def expected_rows(
    platform: "Platform", partition: Partition, store: str, held: Sequence[Held]
) -> Iterator[tuple[Sequence[Held], Stored]]:
    """Some publications at a time, with the rows that the lake says they have.

    Raises:
        SegmentLost: the lake does not hold them any more.
    """
    stage = SOURCES[store]
    digests = _DIGESTS[store]
    for part in batches(held, DOCUMENTS_AT_ONCE):
        with platform.ledger.reading() as connection:
            wanted = audits.segments_of(connection, [one.outputs[stage] for one in part if stage in one.outputs])
            files = segment_files(connection, wanted)
        if not wanted:
            yield part, {}
            continue
        rows = platform.lake.read(files, wanted, ["document_id", *_COLUMNS[store]])
        yield part, digests(rows, partition, part)


def _vector_digests(rows: "pl.DataFrame", _partition: Partition, held: Sequence[Held]) -> Stored:
    import numpy as np

    vectors = [np.asarray(vector, dtype=np.float32) for vector in rows["vector"].to_list()]
    return _by_publication(rows, held, [vector_digest(vector) for vector in vectors])


def _text_digests(rows: "pl.DataFrame", _partition: Partition, held: Sequence[Held]) -> Stored:
    return _by_publication(rows, held, [text_digest(text) for text in rows["text"].to_list()])


def _edge_digests(rows: "pl.DataFrame", partition: Partition, held: Sequence[Held]) -> Stored:
    numbers = {one.document_id: one.publication for one in held}
    found: dict[int, dict[str, str]] = {}
    for edge in mention_edges(rows.drop("output_id"), partition, numbers):
        found.setdefault(edge.publication, {})[edge.entity.entity_id] = edge_digest(edge)
    return found


_DIGESTS: Mapping[str, Callable[["pl.DataFrame", Partition, Sequence[Held]], Stored]] = {
    "vector": _vector_digests, "keyword": _text_digests, "graph": _edge_digests,
}  # fmt: skip


def _by_publication(rows: "pl.DataFrame", held: Sequence[Held], digests: Iterable[str]) -> Stored:
    numbers = {one.document_id: one.publication for one in held}
    found: dict[int, dict[str, str]] = {}
    for document, chunk, digest in zip(rows["document_id"].to_list(), rows["chunk_id"].to_list(), digests, strict=True):
        found.setdefault(numbers[document], {})[chunk] = digest
    return found


def _held(platform: "Platform", partition: Partition, store: str) -> tuple[dict[int, dict[str, str]], dict[int, str]]:
    """Digests by publication and row of all that the store holds of the partition, and each publication's document."""
    found: dict[int, dict[str, str]] = {}
    owners: dict[int, str] = {}
    for publication, document, row, digest in _stored(platform, partition, store, None):
        if partition.slot_low <= _slot(document) <= partition.slot_high:
            found.setdefault(publication, {})[row] = digest
            owners[publication] = document
    return found, owners


def _stored(
    platform: "Platform", partition: Partition, store: str, only: Sequence[int] | None
) -> Iterator[tuple[int, str, str, str]]:
    tenant, collection = partition.tenant, partition.collection
    if store == "graph":
        for edge in platform.stores.graph.edges(tenant, collection, publications=only):
            yield edge.publication, edge.document_id, edge.entity_id, edge.digest
        return
    index = platform.stores.vector if store == "vector" else platform.stores.keyword
    for space in index.spaces():
        if (space.tenant, space.collection) == (tenant, collection):
            for row in index.rows(space, publications=only):
                yield row.publication, row.document_id, row.chunk_id, row.digest


def _slot(document: str) -> int:
    try:
        return slot_of(document)
    except ValueError:
        return 0  # no document of ours: the first shard reports it


def _compare(
    differences: Differences, store: str, found: Stored, expected: Iterable[tuple[Sequence[Held], Stored]]
) -> None:
    what = "entity" if store == "graph" else "chunk"
    for part, wanted in expected:
        for one in part:
            there, should = found.get(one.publication, {}), wanted.get(one.publication, {})
            differences.rows += len(should)
            line = f"{one.path}: publication {one.publication}, {what} "
            differences.missing += [f"{line}{row} is missing" for row in sorted(should.keys() - there.keys())]
            differences.orphaned += [f"{line}{row} is a stranger" for row in sorted(there.keys() - should.keys())]
            common = should.keys() & there.keys()
            differences.altered += [f"{line}{row} was altered" for row in sorted(common) if should[row] != there[row]]
            if should != dict(there):
                differences.documents.add(one.document_id)


def _find_strangers(
    differences: Differences, store: str, found: Stored, owners: Mapping[int, str], before: Known, after: Known,
    ended: frozenset[int],
) -> None:  # fmt: skip
    for publication, rows in sorted(found.items()):
        opened = after.open.get(publication)
        in_transit = (
            publication in before.waiting
            or publication in after.waiting
            or publication > before.highest_drawn
            or (opened is None and publication in before.open)
        )
        if in_transit or (opened is not None and store in opened.stores):
            continue
        kind, why = (differences.stale, "superseded") if publication in ended else (differences.orphaned, "unknown")
        line = f"document {owners[publication]}: publication {publication} is {why}, row "
        kind += [line + row for row in sorted(rows)]
        differences.documents.add(owners[publication])
