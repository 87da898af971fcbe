"""One namespace of a Pinecone index: its records written, listed, fetched, found and removed, within every limit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from etl_assets.backends.circuit import Unavailable
from etl_assets.backends.pinecone_records import (
    VALUES_PER_IN,
    Condition,
    Metadata,
    of_publications,
    prefix_of,
    publication_of,
)
from etl_assets.backends.pinecone_server import PineconeServer

if TYPE_CHECKING:
    from pinecone import Index

RECORDS_PER_UPSERT = 1_000
BYTES_PER_UPSERT = 2_000_000
"""A request may have 2 MiB; what is left is for its frame."""

BYTES_PER_VALUE = 16
"""The longest text of a float32 that reads back as the same one, and its comma."""

IDS_PER_LIST = 100
IDS_PER_DELETE = 1_000
IDS_PER_FETCH = 1_000
BYTES_PER_FETCH = 6_000
"""Ids go into the URL of a fetch, and servers on the way cut URLs beyond 8 kB."""

LISTED_ALONE = 64
"""Up to this many prefixes are listed one by one; beyond it, listing the whole namespace may be quicker."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record to be written."""

    id: str
    values: NDArray[np.float32]
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Fetched:
    """One record as it is stored."""

    id: str
    values: NDArray[np.float32]
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Namespace:
    """Every method may raise MissingError: the namespace, or its index, is not there."""

    server: PineconeServer
    address: str
    dimension: int
    name: str

    @property
    def index(self) -> "Index":
        """The client in use now, to be asked for inside each request; see ``PineconeServer``."""
        return self.server.at(self.address)

    def write(self, records: Sequence[Record]) -> None:
        """Upsert, and wait until queries reflect it.

        Raises:
            TransientError: queries do not reflect it within ``freshness_s``, though the records are written.
        """
        sequences = [*self.server.mapped(self._upsert, _batches(records))]
        self._wait_until_indexed(max((known for known in sequences if known is not None), default=None))

    def remove(self, publications: Sequence[int]) -> None:
        """Delete the records of these, and wait until no query finds one; deletes give no log sequence number."""
        numbers = sorted(set(publications))
        for start in range(0, len(numbers), VALUES_PER_IN):
            gone = of_publications(numbers[start : start + VALUES_PER_IN])
            self._delete(gone)
            self._wait_until_gone(gone)

    def remove_ids(self, ids: Sequence[str]) -> None:
        """Delete these records, whatever their metadata say. Queries may find them for a while yet."""
        for start in range(0, len(ids), IDS_PER_DELETE):

            def delete(part: Sequence[str] = ids[start : start + IDS_PER_DELETE]) -> None:
                self.index.delete(ids=part, namespace=self.name)

            self.server.call(f"deleting from {self.name}", delete)

    def drop(self) -> None:
        """Remove the namespace whole, and wait until no query finds a record of it."""
        self.server.call(f"dropping {self.name}", lambda: self.index.delete_namespace(name=self.name))
        self._wait_until_gone({"publication": {"$gte": 0}})

    def pages(self, publications: set[int] | None) -> Iterator[list[str]]:
        """Ids, a page at a time: of these publications, or of more where listing everything is quicker."""
        groups = {} if publications is None else prefixes_of(publications)
        if publications is None or self._is_quicker_whole(len(groups)):
            yield from self._listed(None)
            return

        def of_group(prefix: str) -> list[list[str]]:
            wanted = groups[prefix]
            return [[one for one in page if publication_of(one) in wanted] for page in self._listed(prefix)]

        for pages in self.server.mapped(of_group, groups):
            yield from pages

    def fetch(self, ids: Sequence[str]) -> list[Fetched]:
        """Those of ``ids`` that are there; a batch as ``fetch_batches`` makes them."""
        reply = self.server.call(
            f"fetching from {self.name}", lambda: self.index.fetch(ids=list(ids), namespace=self.name)
        )
        return [
            Fetched(one, np.asarray(found.values, np.float32), cast("Mapping[str, object]", found.metadata or {}))
            for one, found in reply.vectors.items()
        ]

    def nearest(self, vector: list[float], top_k: int, narrowed: Condition) -> dict[str, float]:
        """Cosine by id, of at most ``top_k`` records that satisfy the condition."""
        reply = self.server.call(
            f"query of {self.name}",
            lambda: self.index.query(top_k=top_k, vector=vector, namespace=self.name, filter=narrowed),
        )
        return {match.id: min(max(float(match.score), -1.0), 1.0) for match in reply.matches}

    def _upsert(self, batch: Sequence[Record]) -> int | None:
        """The log sequence number of the write, where Pinecone says it."""
        vectors = [{"id": one.id, "values": floats(one.values), "metadata": one.metadata} for one in batch]

        def upsert() -> int | None:
            reply = self.index.upsert(vectors=vectors, namespace=self.name)
            if reply.upserted_count != len(batch):
                raise Unavailable(f"Pinecone, {self.name}: {reply.upserted_count} of {len(batch)} records were taken")
            return reply.response_info.lsn_committed if reply.response_info is not None else None

        return self.server.call(f"upsert into {self.name}", upsert)

    def _delete(self, gone: Condition) -> None:
        self.server.call(f"deleting from {self.name}", lambda: self.index.delete(filter=gone, namespace=self.name))

    def _wait_until_indexed(self, sequence: int | None) -> None:
        """Back when queries reflect this log sequence number; None: Pinecone gave none, and there is no wait.

        That a fetch finds an id proves nothing about queries.
        """
        if sequence is None:
            return

        def is_reflected() -> bool:
            seen = self.server.call(
                f"query of {self.name}",
                lambda: self.index.query(top_k=1, vector=self._probe(), namespace=self.name).response_info,
            )
            return seen is not None and seen.is_reconciled(sequence)

        what = f"{self.name}: a write (log sequence number {sequence})"
        self.server.poll(is_reflected, self.server.access.freshness_s, what)

    def _wait_until_gone(self, gone: Condition) -> None:
        limit_s = self.server.access.freshness_s
        self.server.poll(lambda: not self.nearest(self._probe(), 1, gone), limit_s, f"{self.name}: a removal")

    def _probe(self) -> list[float]:
        return [1.0] + [0.0] * (self.dimension - 1)

    def _is_quicker_whole(self, prefixes: int) -> bool:
        """The pages of a whole namespace come one after the other, those of prefixes ``concurrency`` at a time."""
        if prefixes <= LISTED_ALONE:
            return False
        held = self.server.call(
            f"describing {self.name}", lambda: self.index.describe_namespace(name=self.name).record_count
        )
        return held / IDS_PER_LIST < prefixes / self.server.access.concurrency

    def _listed(self, prefix: str | None) -> Iterator[list[str]]:
        token: str | None = None
        while True:

            def page(token: str | None = token) -> tuple[list[str], str | None]:
                reply = self.index.list_paginated(
                    prefix=prefix, limit=IDS_PER_LIST, namespace=self.name, pagination_token=token
                )
                ids = [item.id for item in reply.vectors if item.id]
                return ids, reply.pagination.next if reply.pagination is not None else None

            ids, token = self.server.call(f"listing {self.name}", page)
            yield ids
            if not token:
                return


def prefixes_of(publications: set[int]) -> dict[str, set[int]]:
    """Prefixes that together list the ids of these publications, and of which each of them is for.

    One prefix serves ten numbers that follow one another (``123`` for 1230 to 1239), as long as the numbers with one
    more digit, which it finds too, lie beyond the highest asked for.
    """
    groups: dict[str, set[int]] = {}
    highest = max(publications, default=0)
    for number in sorted(publications):
        ten = number // 10
        prefix = str(ten) if ten and 100 * ten > highest else prefix_of(number)
        groups.setdefault(prefix, set()).add(number)
    return {prefix_of(min(group)) if len(group) == 1 else prefix: group for prefix, group in groups.items()}


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Within RECORDS_PER_UPSERT and BYTES_PER_UPSERT, by an upper bound of what each record takes."""
    batch: list[Record] = []
    size = 0
    for record in records:
        texts = sum(6 * len(text) for text in record.metadata.values() if isinstance(text, str))
        taken = BYTES_PER_VALUE * len(record.values) + len(record.id) + texts + 200
        if batch and (len(batch) == RECORDS_PER_UPSERT or size + taken > BYTES_PER_UPSERT):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += taken
    if batch:
        yield batch


def fetch_batches(ids: Iterable[str]) -> Iterator[list[str]]:
    """Within IDS_PER_FETCH and BYTES_PER_FETCH."""
    batch: list[str] = []
    size = 0
    for identity in ids:
        taken = len(identity) + len("&ids=")
        if batch and (len(batch) == IDS_PER_FETCH or size + taken > BYTES_PER_FETCH):
            yield batch
            batch, size = [], 0
        batch.append(identity)
        size += taken
    if batch:
        yield batch


def floats(vector: NDArray[np.float32]) -> list[float]:
    """Nine digits name a float32 exactly, and take 40 % fewer bytes than the double it widens to."""
    return [float(f"{value:.9g}") for value in vector.tolist()]
