"""The vector index in Pinecone: a serverless index for each dimension, a namespace for each index space."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from etl_assets.backends.circuit import Calls
from etl_assets.backends.ownership import Installation
from etl_assets.backends.pinecone_mark import claim
from etl_assets.backends.pinecone_namespace import Fetched, Namespace, Record, fetch_batches, floats
from etl_assets.backends.pinecone_records import (
    Admission,
    Condition,
    attributes_in,
    condition,
    metadata_of,
    names_in,
    publication_of,
    record_id,
    text_in,
    without,
)
from etl_assets.backends.pinecone_server import MissingError, PineconeAccess, PineconeServer
from etl_assets.errors import PermanentError, TransientError
from etl_assets.protocols.indexes import (
    Filters,
    IndexHit,
    IndexSpace,
    SpaceStats,
    StoredRow,
    vector_rows,
)
from etl_assets.protocols.row_digests import row_digest
from etl_assets.protocols.visibility import Visibility

MOST_HITS = 10_000
"""Records that one query may return."""

TIES = 16
"""How many records beyond ``k`` are asked for, so that records of one score are cut in a fixed order."""

MOST_EXCLUDED = 30_000
"""Publications that a query excludes by number after it met them, at most."""

_SPACE = re.compile(r"([a-z0-9_-]{1,64})\.([a-z0-9_-]{1,64})\.([0-9]+)")


class PineconeVectors:
    """VectorIndex in one Pinecone project. A write returns once queries reflect it; see ``PineconeAccess``.

    An index that belongs to another ``installation`` is not written to: that is a ConfigError. Without one, marks are
    not looked at.
    """

    def __init__(
        self, access: PineconeAccess, calls: Calls | None = None, installation: Installation | None = None
    ) -> None:
        self._server = PineconeServer(access, calls)
        self._installation = installation
        self._dimensions: dict[IndexSpace, int] = {}
        self._claimed: set[int] = set()

    def close(self) -> None:
        """Close the connections. The index may be used again afterwards."""
        self._server.close()

    def prepare(self, dimension: int) -> None:
        """Make the index for vectors of this dimension, if it is missing, and mark whose it is. Idempotent."""
        self._claim(self._server.made_index(dimension), dimension)

    def write(self, space: IndexSpace, rows: pa.Table) -> None:
        """See ``RowIndex.write``.

        Raises:
            PermanentError: columns, nulls or the vector width do not fit the space, or a limit of Pinecone's.
        """
        if not rows.num_rows:
            return
        records = _records(_fitting(space, rows))
        dimension = len(records[0].values)
        held = self._dimension(space)
        if held is not None and held != dimension:
            raise PermanentError(
                f"vector index {space.name}: its vectors have {held} components, the rows have {dimension}; "
                "vectors of another model need a new index generation"
            )
        address = self._server.made_index(dimension)
        try:
            self._claim(address, dimension)
            Namespace(self._server, address, dimension, space.name).write(records)
        except MissingError as e:
            self._forget(space)
            raise TransientError(f"{e}; the index was removed while it was written to") from e
        self._dimensions[space] = dimension

    def counts(self, space: IndexSpace, publications: Sequence[int]) -> Mapping[int, int]:
        """See ``RowIndex.counts``: by listing ids."""
        wanted = set(publications)
        found = Counter(publication_of(identity) for identity in self._ids(space, wanted))
        return dict(found)

    def remove(self, space: IndexSpace, publications: Sequence[int]) -> None:
        """See ``RowIndex.remove``. Back when queries find none of these rows.

        Raises:
            TransientError: queries still find some after ``freshness_s``.
        """
        namespace = self._namespace(space) if len(publications) else None
        if namespace is None:
            return
        try:
            self._claim(namespace.address, namespace.dimension)
            namespace.remove(publications)
            # No filter finds a record whose metadata were altered.
            namespace.remove_ids([*self._ids(space, set(publications))])
        except MissingError:
            self._forget(space)

    def rows(self, space: IndexSpace, *, publications: Sequence[int] | None = None) -> Iterator[StoredRow]:
        """See ``RowIndex.rows``: ids are listed, then their vectors fetched, a few pages ahead of the reader."""
        namespace = self._namespace(space)
        if namespace is None:
            return
        ids = self._ids(space, None if publications is None else set(publications))
        try:
            for batch in self._server.mapped(namespace.fetch, fetch_batches(ids)):
                for row in batch:
                    digest = row_digest(row.values, attributes_in(row.id, row.metadata))
                    yield StoredRow(publication_of(row.id), *_names(row), digest)
        except MissingError:
            self._forget(space)

    def spaces(self) -> Sequence[IndexSpace]:
        """See ``RowIndex.spaces``; by name."""
        found: dict[IndexSpace, int] = {}
        for dimension, address in self._server.indexes().items():
            for name in self._names_of(address):
                if match := _SPACE.fullmatch(name):
                    found[IndexSpace(match[1], match[2], int(match[3]))] = dimension
        self._dimensions.update(found)
        return sorted(found, key=lambda space: space.name)

    def stats(self, space: IndexSpace) -> SpaceStats:
        """See ``RowIndex.stats``: ids are listed, since the counts that Pinecone keeps come late."""
        return SpaceStats(sum(1 for _ in self._ids(space, None)))

    def drop(self, space: IndexSpace) -> None:
        """See ``RowIndex.drop``."""
        namespace = self._namespace(space)
        if namespace is None:
            return
        # Missing: dropped by another process, or by an attempt whose answer was lost.
        with suppress(MissingError):
            self._claim(namespace.address, namespace.dimension)
            namespace.drop()
        self._forget(space)

    def optimise(self, space: IndexSpace, *, now: bool = False) -> None:
        """Nothing: Pinecone keeps house by itself."""

    def query(
        self, space: IndexSpace, vector: NDArray[np.float32], *, k: int, visible: Visibility, filters: Filters
    ) -> list[IndexHit]:
        """See ``VectorIndex.query``. At most MOST_HITS hits.

        Raises:
            PermanentError: ``vector`` is not as wide as those of the space.
        """
        narrowed = condition(visible, filters)
        namespace = self._namespace(space) if k > 0 and narrowed is not None else None
        if namespace is None or narrowed is None:
            return []
        if vector.shape != (namespace.dimension,):
            raise PermanentError(
                f"vector index {space.name}: its vectors have {namespace.dimension} components, "
                f"the query {vector.shape}"
            )
        admits = Admission(visible, filters)
        try:
            scores = _best(namespace, floats(vector), min(k, MOST_HITS), narrowed, admits)
            return _hits(namespace, scores)[:k]
        except MissingError:
            self._forget(space)
            return []

    def _ids(self, space: IndexSpace, wanted: set[int] | None) -> Iterator[str]:
        """The ids held of these publications, or all."""
        namespace = self._namespace(space) if wanted is None or wanted else None
        if namespace is None:
            return
        try:
            for page in namespace.pages(wanted):
                yield from (one for one in page if wanted is None or publication_of(one) in wanted)
        except MissingError:
            self._forget(space)

    def _names_of(self, address: str) -> Iterator[str]:
        token: str | None = None
        while True:

            def page(token: str | None = token) -> tuple[list[str], str | None]:
                reply = self._server.at(address).list_namespaces_paginated(limit=100, pagination_token=token)
                return [one.name for one in reply.namespaces], reply.pagination.next if reply.pagination else None

            names, token = self._server.call("listing namespaces", page)
            yield from names
            if not token:
                return

    def _namespace(self, space: IndexSpace) -> Namespace | None:
        dimension = self._dimension(space)
        address = self._server.index(dimension) if dimension is not None else None
        if address is None or dimension is None:
            return None
        return Namespace(self._server, address, dimension, space.name)

    def _dimension(self, space: IndexSpace) -> int | None:
        """How wide the vectors of a space are, or None while there is no such space."""
        if space not in self._dimensions:
            for dimension, address in self._server.indexes().items():
                if self._holds(address, space.name):
                    self._dimensions[space] = dimension
                    break
        return self._dimensions.get(space)

    def _holds(self, address: str, name: str) -> bool:
        try:
            self._server.call(f"describing {name}", lambda: self._server.at(address).describe_namespace(name=name))
        except MissingError:
            return False
        return True

    def _claim(self, address: str, dimension: int) -> None:
        """Once in a process for each index, and again after one was missing: it may have been made anew."""
        if self._installation is not None and dimension not in self._claimed:
            claim(self._server, address, dimension, self._installation())
            self._claimed.add(dimension)

    def _forget(self, space: IndexSpace) -> None:
        self._claimed.clear()
        self._dimensions.pop(space, None)
        self._server.forget()


def _best(
    namespace: Namespace, vector: list[float], k: int, narrowed: Condition, admits: Admission
) -> dict[str, float]:
    """Scores that hold the best ``k`` admitted: asked again while a full answer has too few, or cuts equal scores."""
    asked, excluded = min(k + TIES, MOST_HITS), set[int]()
    while True:
        scores = namespace.nearest(vector, asked, without(narrowed, excluded))
        refused = {number for number in map(publication_of, scores) if not admits(number)}
        seen = {identity: score for identity, score in scores.items() if publication_of(identity) not in refused}
        ranked = sorted(seen.values(), reverse=True)
        is_cut_clean = len(ranked) > k and ranked[-1] < ranked[k - 1]
        if len(scores) < asked or is_cut_clean:
            return seen
        if refused and len(excluded) + len(refused) <= MOST_EXCLUDED:
            excluded |= refused
        elif asked == MOST_HITS:
            return seen
        asked = min(asked * 4, MOST_HITS)


def _hits(namespace: Namespace, scores: Mapping[str, float]) -> list[IndexHit]:
    """Best first. Ids too long to be spelt out are fetched; one that is gone by then is left out."""
    names = {identity: names_in(identity) for identity in scores}
    for batch in fetch_batches(identity for identity, spelt in [*names.items()] if spelt is None):
        names.update({row.id: _names(row) for row in namespace.fetch(batch)})
    hits = [
        IndexHit(publication_of(identity), *spelt, scores[identity])
        for identity, spelt in names.items()
        if spelt is not None
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.document_id, hit.chunk_id))


def _names(row: Fetched) -> tuple[str, str]:
    """(document id, chunk id)."""
    return names_in(row.id) or (text_in(row.metadata, "document_id"), text_in(row.metadata, "chunk_id"))


def _fitting(space: IndexSpace, rows: pa.Table) -> pa.Table:
    try:
        kind = rows.schema.field("vector").type
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else len(rows["vector"][0].as_py() or ())
        schema = vector_rows(width)
        fitting = rows.select(schema.names).cast(schema)
    except (KeyError, ValueError, pa.ArrowException) as e:
        raise PermanentError(f"vector index {space.name}: rows do not have its columns: {e}") from e
    nulls = [field.name for field in schema if not field.nullable and fitting[field.name].null_count]
    if nulls:
        raise PermanentError(f"vector index {space.name}: rows have no value for {', '.join(nulls)}")
    return fitting


def _records(rows: pa.Table) -> list[Record]:
    """The rows as records; of one (publication, chunk) given twice, the later stays."""
    vectors = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1)
    names = ["publication", "document_id", "chunk_id", "document_type", "document_date", "labels"]
    columns = (rows[name].to_pylist() for name in names)
    records: dict[tuple[int, str], Record] = {}
    for row, vector in zip(zip(*columns, strict=True), vectors, strict=True):
        publication, document_id, chunk_id, kind, day, labels = row
        identity = record_id(publication, document_id, chunk_id)
        records[publication, chunk_id] = Record(
            identity, vector, metadata_of(publication, document_id, chunk_id, kind, day, labels or ())
        )
    return [*records.values()]
