"""Everything in which the stores of one partition differ from the ledger, found without a lease and without a write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from etl_assets.documents.consistency.file_checks import FileDifferences, compare_originals, compare_segments
from etl_assets.documents.consistency.store_checks import Differences, compare_all
from etl_assets.documents.publication.index_rows import SOURCES
from etl_assets.ledger import audits
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import digest_of
from etl_assets.ledger.publications import STORES
from etl_assets.ledger.segments import segment_files
from etl_assets.protocols.damage import DamagedError
from etl_assets.protocols.indexes import Filters, IndexSpace
from etl_assets.protocols.visibility import Visibility
from etl_assets.stages.lake import SegmentLost

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform

_ATTEMPTS = 3
"""A run beside this one may merge segments away while they are read."""


@dataclass(slots=True)
class Drift:
    """What was found. ``damaged`` is store -> what it says of its files, which cannot be read."""

    partition: Partition
    stores: Mapping[str, Differences] = field(default_factory=dict)
    segments: FileDifferences = field(default_factory=FileDifferences)
    originals: FileDifferences = field(default_factory=FileDifferences)
    damaged: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lines())

    @property
    def wrong(self) -> set[int]:
        """Open publications that some store does not hold as the lake says."""
        return {number for one in self.stores.values() for number in one.wrong}

    @property
    def is_ahead(self) -> bool:
        """Whether a store holds numbers that the ledger has not drawn: it was put back to an older state."""
        return self.segments.is_ahead or any(one.is_ahead for one in self.stores.values())

    def by_store(self) -> dict[str, list[str]]:
        """What differs, in words, by store; a store that is as it should be is left out."""
        found = {store: one.lines() for store, one in self.stores.items()}
        for store, problem in self.damaged.items():
            found[store] = [*found.get(store, []), problem]
        found |= {"lake": self.segments.segment_lines(), "originals": self.originals.original_lines()}
        return {store: lines for store, lines in found.items() if lines}

    def lines(self) -> list[str]:
        """Every difference, with its store."""
        return [f"{store}: {line}" for store, lines in self.by_store().items() for line in lines]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many differences of each kind, by store."""
        kinds: dict[str, dict[str, int]] = {}
        for store, one in self.stores.items():
            kinds[store] = {kind: count for kind, count in one.counts().items() if kind != "rows"}
        for store in self.damaged:
            kinds.setdefault(store, {})["damaged"] = 1
        lake = self.segments
        kinds["lake"] = {"lost": len(lake.segments), "unmade": len(lake.unmade), "stray": len(lake.strays)}
        kinds["originals"] = {"lost": len(self.originals.originals)}
        some = {store: {kind: count for kind, count in held.items() if count} for store, held in kinds.items()}
        return {store: held for store, held in some.items() if held}

    def digest(self) -> str:
        """Digest of exactly these differences: a repair that leaves the very same ones did not help."""
        return digest_of(sorted(self.lines()))

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"counts": self.counts(), "differences": self.by_store()}


def find_drift(platform: "Platform", partition: Partition) -> Drift:
    """Read everything that a partition has, in the lake, the originals and every store, against the ledger.

    It may run beside an ingest: what a run at work could explain is no difference.

    Raises:
        TransientError, PermanentError: a store does not answer, or refuses.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _drift(platform, partition)
        except SegmentLost:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _drift(platform: "Platform", partition: Partition) -> Drift:
    segments = compare_segments(platform, partition)
    lost = [one.file.segment_id for one in segments.segments]
    stores: dict[str, Differences] = {}
    damaged: dict[str, str] = {}
    for store in STORES:
        try:
            stores[store] = compare_all(platform, partition, store, lost=lost)
            if not stores[store].wrong:
                _ask(platform, partition, store, lost)
        except DamagedError as error:
            damaged[store] = str(error)
    return Drift(partition, stores, segments, compare_originals(platform, partition), damaged)


def _ask(platform: "Platform", partition: Partition, store: str, lost: Sequence[int]) -> None:
    """One query with what one document holds: the files that only queries read may be damaged too.

    Raises:
        DamagedError: it cannot be answered.
    """
    with platform.ledger.reading() as connection:
        shown = audits.known(connection, partition).open
        one = next((held for _, held in sorted(shown.items()) if store in held.stores), None)
        stage = SOURCES[store][0]
        if store == "graph" or one is None or stage not in one.outputs:
            return
        places = audits.segments_of(connection, [one.outputs[stage]])
        files = segment_files(connection, places)
    if not places or set(places) - set(files) or set(places) & set(lost):
        return
    column = "vector" if store == "vector" else "text"
    value = platform.lake.read(files, places, [column])[column][0]
    space = IndexSpace(partition.tenant, partition.collection, one.generation_id)
    visible, only = Visibility(0, one.publication), Filters(publications=(one.publication,))
    if store == "keyword":
        platform.stores.keyword.query(space, value, k=1, visible=visible, filters=only)
        return
    import numpy as np

    vector = np.asarray(value.to_list(), dtype=np.float32)
    if not platform.stores.vector.query(space, vector, k=1, visible=visible, filters=only):
        raise DamagedError(f"vector index {space.name} does not find {one.path} by its own vector; rebuild it")
