"""Whether an index or the graph holds exactly what the ledger says: ids and digests, read back from the store.

What should be there is made as a publication makes it, from the lake and the published record, so that every column
that a store is given is compared.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etl_assets.documents.model import slot_of
from etl_assets.documents.publication.index_rows import COLUMNS, SOURCES, graph_edges, keyword_table, vector_table
from etl_assets.documents.publication.publisher import document_record
from etl_assets.ledger import audits
from etl_assets.ledger.audits import Held, Known
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.segments import segment_files
from etl_assets.protocols.graph import MentionEdge, RelationEdge, edge_digest, relation_digest
from etl_assets.protocols.indexes import IndexSpace, RowIndex
from etl_assets.protocols.row_digests import row_digests

if TYPE_CHECKING:
    import polars as pl

    from etl_assets.documents.platform import Platform

DOCUMENTS_AT_ONCE = 256
Stored = Mapping[int, Mapping[str, str]]
"""Publication -> id of a row (chunk, entity or relation) -> its digest."""

TWICE = "twice"
"""In place of the digest of a row that a store holds more than once."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Rows under a number that nobody shows or waits for, in one index space; ``None``: in the graph.

    ``document``: only the rows of this one, under a number that is another document's.
    """

    space: IndexSpace | None
    publication: int
    document: str | None = None


@dataclass(slots=True)
class Differences:
    """What differs, as lines that name the document, by kind.

    ``wrong`` are open publications whose rows are not what the lake says; ``strangers`` are numbers to be removed;
    ``foreign`` are index spaces of no generation; ``is_ahead``: a number was found that nobody has drawn yet.
    """

    missing: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    documents: set[str] = field(default_factory=set)
    wrong: set[int] = field(default_factory=set)
    wrong_paths: set[str] = field(default_factory=set)
    strangers: set[Stranger] = field(default_factory=set)
    foreign: list[IndexSpace] = field(default_factory=list)
    unused_entities: bool = False
    is_ahead: bool = False
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
        numbers = [one.publication for one in part]
        found = _Found()
        for space in spaces_of(platform, partition, store):
            found.read(platform, partition, store, space, numbers)
        expected = expected_rows(platform, partition, store, part)
        _compare(differences, store, {number: rows for (_, number), rows in found.rows.items()}, expected)
    return differences


def compare_all(
    platform: "Platform", partition: Partition, store: str, *, lost: Collection[int] | None = None
) -> Differences:
    """Everything the store holds of a partition against the ledger.

    A row is judged only where no run at work could explain it: missing is what was visible both before and after the
    store was read, orphaned is what neither moment knows and nobody drew in between. Publications that rest on the
    segments ``lost`` are left out.

    Raises:
        SegmentLost: the lake lacks rows, and ``lost`` is not given.
        DamagedError: the store's files cannot be read.
    """
    spaces = spaces_of(platform, partition, store)
    with platform.ledger.reading() as connection:
        before = audits.known(connection, partition)
    differences, found = Differences(), _Found(before)
    for space in spaces:
        if space is not None and space.generation not in before.generations:
            differences.foreign.append(space)
        else:
            found.read(platform, partition, store, space, None)
    with platform.ledger.reading() as connection:
        after = audits.known(connection, partition)
        ended = audits.ended(connection, [number for _, number in found.rows])
        steady = [one for number, one in after.open.items() if number in before.open and store in one.stores]
        if lost is not None:
            outputs = {number for one in steady for number in _feeding(store, one.outputs)}
            unread = audits.without_rows(connection, sorted(outputs), lost)
            steady = [one for one in steady if unread.isdisjoint(_feeding(store, one.outputs))]
    differences.is_ahead = any(number > after.highest_drawn for _, number in found.rows)
    for generation in sorted({one.generation_id for one in steady}):  # a document has one number in each
        mine = [one for one in steady if one.generation_id == generation]
        place = 0 if store == "graph" else generation
        there = {number: rows for (held, number), rows in found.rows.items() if held == place}
        _compare(differences, store, there, expected_rows(platform, partition, store, mine))
    _find_strangers(differences, partition, store, found, before, after, ended)
    _find_intruders(differences, found)
    _find_lost_places(differences, platform, partition, store)
    return differences


def _find_lost_places(differences: Differences, platform: "Platform", partition: Partition, store: str) -> None:
    """What belongs to no document is told by the collection's first shard."""
    if partition.slot_low != 0:
        differences.foreign.clear()
        return
    differences.orphaned += [f"index {one.name} belongs to no generation" for one in differences.foreign]
    if store == "graph":
        unused = platform.stores.graph.orphans(partition.tenant)
        differences.unused_entities = bool(unused)
        differences.orphaned += [f"entity {entity} of tenant {partition.tenant} has no document" for entity in unused]


def expected_rows(
    platform: "Platform", partition: Partition, store: str, held: Sequence[Held]
) -> Iterator[tuple[Sequence[Held], Stored]]:
    """Some publications at a time, with the rows that the lake says they have.

    Raises:
        SegmentLost: the lake does not hold them any more.
    """
    stage = SOURCES[store][0]
    for part in _by_generation(held):
        if store == "graph":
            yield part, _edge_digests(platform, partition, part)
            continue
        rows = rows_of(platform, stage, [one.outputs[stage] for one in part if stage in one.outputs])
        if rows is None:
            yield part, {}
        else:
            records = _records(platform, part)
            known = [one for one in part if one.document_id in records]
            yield known, _index_digests(store, rows, known, records)


def rows_of(platform: "Platform", stage: str, output_ids: Sequence[int]) -> "pl.DataFrame | None":
    """What stores are given of these outputs of a stage, from the lake; ``None`` when they have no rows.

    Raises:
        SegmentLost: the lake does not hold them any more.
    """
    with platform.ledger.reading() as connection:
        wanted = audits.segments_of(connection, output_ids)
        files = segment_files(connection, wanted)
    return platform.lake.read(files, wanted, ["document_id", *COLUMNS[stage]]) if wanted else None


def edges_of(
    platform: "Platform", partition: Partition, outputs: Sequence[Mapping[str, int]], numbers: Mapping[str, int]
) -> tuple[list[MentionEdge], list[RelationEdge]]:
    """What the graph is given of the documents with these outputs (stage -> id), under these numbers.

    Raises:
        SegmentLost: the lake does not hold them any more.
    """

    def read(stage: str) -> "pl.DataFrame | None":
        return rows_of(platform, stage, [one[stage] for one in outputs if stage in one])

    return graph_edges(read, partition, numbers)


def _feeding(store: str, outputs: Mapping[str, int]) -> list[int]:
    return [outputs[stage] for stage in SOURCES[store] if stage in outputs]


def _by_generation(held: Sequence[Held]) -> Iterator[Sequence[Held]]:
    """Some at a time, of one generation each: a document has a publication in every one, and rows tell no other."""
    for generation_id in sorted({one.generation_id for one in held}):
        yield from batches([one for one in held if one.generation_id == generation_id], DOCUMENTS_AT_ONCE)


def _records(platform: "Platform", held: Sequence[Held]) -> dict[str, Mapping[str, Any]]:
    """The record of each document; one whose publication has ended and was pruned since it was listed has none."""
    with platform.ledger.reading() as connection:
        published = audits.records(connection, [one.publication for one in held if one.due is None])
    staged = {one.document_id: document_record(one.due) for one in held if one.due is not None}
    return staged | {one.document_id: published[one.publication] for one in held if one.publication in published}


def _index_digests(
    store: str, rows: "pl.DataFrame", held: Sequence[Held], records: Mapping[str, Mapping[str, Any]]
) -> Stored:
    build = vector_table if store == "vector" else keyword_table
    table = build(rows, {one.document_id: one.publication for one in held}, records)
    found: dict[int, dict[str, str]] = {}
    ids = (table[name].to_pylist() for name in ("publication", "chunk_id"))
    for publication, chunk, digest in zip(*ids, row_digests(table), strict=True):
        found.setdefault(publication, {})[chunk] = digest
    return found


def _edge_digests(platform: "Platform", partition: Partition, held: Sequence[Held]) -> Stored:
    numbers = {one.document_id: one.publication for one in held}
    edges, relations = edges_of(platform, partition, [one.outputs for one in held], numbers)
    found: dict[int, dict[str, str]] = {}
    for edge in edges:
        found.setdefault(edge.publication, {})[edge.entity.entity_id] = edge_digest(edge)
    for one in relations:
        found.setdefault(one.publication, {})[one.edge_id] = relation_digest(one)
    return found


class _Found:
    """What a store holds of one partition: (generation, 0 in the graph; publication) -> row -> digest.

    ``intruders`` are edges of one document under the number of another: (number, document) -> rows. An index keys its
    rows by number alone, so there they are rows of the number that differ.
    """

    def __init__(self, known: Known | None = None) -> None:
        self.rows: dict[tuple[int, int], dict[str, str]] = {}
        self.intruders: dict[tuple[int, str], set[str]] = {}
        self.owners: dict[tuple[int, int], str] = {}
        self._known = known

    def read(
        self, platform: "Platform", partition: Partition, store: str, space: IndexSpace | None,
        only: Sequence[int] | None,
    ) -> None:  # fmt: skip
        """Take in what is of the partition: by its number where the ledger shows that, else by its document."""
        slots = self._known.slots if self._known is not None else {}
        opened = self._known.open if self._known is not None else {}
        for publication, document, row, digest in _stored(platform, partition, store, space, only):
            slot = slots.get(publication)
            if not partition.slot_low <= (_slot(document) if slot is None else slot) <= partition.slot_high:
                continue
            address = (space.generation if space is not None else 0, publication)
            owner = opened.get(publication)
            if owner is not None and owner.document_id != document:
                if space is None:
                    self.intruders.setdefault((publication, document), set()).add(row)
                    continue
                digest = f"{digest} of {document}"
            held = self.rows.setdefault(address, {})
            held[row] = TWICE if row in held else digest
            self.owners[address] = document


def spaces_of(platform: "Platform", partition: Partition, store: str) -> Sequence[IndexSpace | None]:
    """The spaces of the partition's collection that an index holds; of the graph ``[None]``."""
    if store == "graph":
        return [None]
    place = (partition.tenant, partition.collection)
    return [one for one in index_of(platform, store).spaces() if (one.tenant, one.collection) == place]


def index_of(platform: "Platform", store: str) -> RowIndex:
    """The vector index or the keyword index."""
    return platform.stores.vector if store == "vector" else platform.stores.keyword


def _stored(
    platform: "Platform", partition: Partition, store: str, space: IndexSpace | None, only: Sequence[int] | None
) -> Iterator[tuple[int, str, str, str]]:
    if space is None:
        for edge in platform.stores.graph.edges(partition.tenant, partition.collection, publications=only):
            yield edge.publication, edge.document_id, edge.edge_id, edge.digest
        return
    for row in index_of(platform, store).rows(space, publications=only):
        yield row.publication, row.document_id, row.chunk_id, row.digest


def _slot(document: str) -> int:
    try:
        return slot_of(document)
    except ValueError:
        return 0  # no document of ours: the first shard reports it


def _compare(
    differences: Differences, store: str, found: Stored, expected: Iterable[tuple[Sequence[Held], Stored]]
) -> None:
    for part, wanted in expected:
        for one in part:
            there, should = found.get(one.publication, {}), wanted.get(one.publication, {})
            if should:  # a document whose edges are gone lacks edges: that its row stayed is no second difference
                there = {row: digest for row, digest in there.items() if row}
            differences.rows += len(should)
            line = f"{one.path}: publication {one.publication}, "
            names = {row: f"{line}{_named(store, row)}" for row in should.keys() | there.keys()}
            differences.missing += [f"{names[row]} is missing" for row in sorted(should.keys() - there.keys())]
            differences.orphaned += [f"{names[row]} is a stranger" for row in sorted(there.keys() - should.keys())]
            for row in sorted(should.keys() & there.keys()):
                if there[row] != should[row]:
                    differences.altered.append(
                        f"{names[row]} {'is there twice' if there[row] == TWICE else 'was altered'}"
                    )
            if should != dict(there):
                differences.documents.add(one.document_id)
                differences.wrong.add(one.publication)
                differences.wrong_paths.add(one.path)


def _named(store: str, row: str) -> str:
    """A row in words: the id of a relation says what it is."""
    if not row:
        return "a document without an edge"
    if store == "graph":
        return row if row.startswith("relation ") else f"entity {row}"
    return f"chunk {row}"


def _find_strangers(
    differences: Differences, partition: Partition, store: str, found: _Found, before: Known, after: Known,
    ended: frozenset[int],
) -> None:  # fmt: skip
    for address, rows in sorted(found.rows.items()):
        generation, publication = address
        opened = after.open.get(publication)
        here = opened is not None and (store == "graph" or opened.generation_id == generation)
        in_transit = (
            publication in before.waiting
            or publication in after.waiting
            or before.highest_drawn < publication <= after.highest_drawn
            or (opened is None and publication in before.open)
        )
        if in_transit or (here and opened is not None and store in opened.stores):
            continue
        kind, why = (differences.stale, "superseded") if publication in ended else (differences.orphaned, "unknown")
        line = f"document {found.owners[address]}: publication {publication} is {why}, row "
        kind += [line + (row or _named(store, row)) for row in sorted(rows)]
        differences.documents.add(found.owners[address])
        if here and opened is not None:
            differences.wrong.add(publication)
            differences.wrong_paths.add(opened.path)
        else:
            space = None if store == "graph" else IndexSpace(partition.tenant, partition.collection, generation)
            differences.strangers.add(Stranger(space, publication))


def _find_intruders(differences: Differences, found: _Found) -> None:
    """A number is one document's for ever, so that no run at work explains the edge of another one."""
    for (publication, document), rows in sorted(found.intruders.items()):
        line = f"document {document}: publication {publication} is another document's, row "
        differences.orphaned += [line + row for row in sorted(rows)]
        differences.documents.add(document)
        differences.strangers.add(Stranger(None, publication, document))
