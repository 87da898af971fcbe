"""Deleting documents from everything that holds them, step by step, and proving it by reading back.

Each step may be interrupted and done again. The steps are in an order in which nothing is forgotten that a later one
needs: mentions elsewhere are blanked while the text is still known, the ledger's rows go last.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from etl_assets.documents.document_names import DocumentName
from etl_assets.documents.model import PAGES, STAGES, slot_of
from etl_assets.documents.original_keys import tombstone_key
from etl_assets.documents.platform import Platform
from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger import deletions, tombstones
from etl_assets.ledger.catalogue import partitions
from etl_assets.ledger.deletions import DeletionRow, Remains
from etl_assets.ledger.erasing import erase_deleted
from etl_assets.ledger.leases import acquire
from etl_assets.ledger.outputs import batches
from etl_assets.ledger.tombstones import Tombstone
from etl_assets.protocols.erasure import ErasableGraph, ErasableRows
from etl_assets.protocols.indexes import IndexSpace, RowIndex
from etl_assets.stages import housekeeping, removal
from etl_assets.stages.engine import Work

WAIT_S = 600.0
"""How long a deletion waits for a run that is at work on one of its partitions."""

_NUMBERS = 1000
_LEAST_NAME = 5
"""A shorter path or title is not looked for in logs: it would be found everywhere."""


@dataclass(slots=True)
class _Part:
    """The documents of one partition, under its lease."""

    work: Work
    documents: list[str] = field(default_factory=list)


class CollectionDeletion:
    """The documents of one collection, deleted under the leases of their partitions; of all of them for a purge.

    What each step did is in ``evidence``, step -> facts, without a path or a word of a text.
    """

    def __init__(
        self,
        platform: Platform,
        row: DeletionRow,
        collection: str,
        doomed: Sequence[DocumentName],
        say: Callable[[str], None],
    ) -> None:
        self._platform = platform
        self._row = row
        self._tenant, self._collection = row.tenant, collection
        self._doomed = {one.document_id: one for one in doomed}
        self._ids = sorted(self._doomed)
        self._say = say
        self._parts: list[_Part] = []
        self._remains = Remains()
        self.evidence: dict[str, Any] = {}

    def run(self) -> None:
        """Every step.

        Raises:
            TransientError: a partition is worked on for over ``WAIT_S``, or a store does not answer: run again.
            PermanentError: a store still shows what was removed, or refuses.
        """
        with ExitStack() as held:
            self._take_leases(held)
            with self._platform.ledger.reading() as connection:
                self._remains = deletions.remains(connection, self._ids)
            self._note("versions", {one: self._remains.versions.get(one, []) for one in self._ids})
            self._note("found_before", self._left())
            steps: list[tuple[str, Callable[[], Mapping[str, Any]]]] = [
                ("traces", self._blank_traces), ("withdrawn", self._withdraw), ("keys", self._delete_keys),
                ("stores", self._collect), ("lake", self._rewrite_segments),
            ]  # fmt: skip
            if self._row.purge:
                steps += [
                    ("files", self._erase_stores), ("originals", self._delete_originals),
                    ("backups", self._settle_backups), ("ledger", self._strike_out),
                ]  # fmt: skip
            for name, step in steps:
                self._say(name)
                self._note(name, step())
            self._say("read back")
            self._note("found_after", self._read_back())

    def _note(self, name: str, facts: Mapping[str, Any]) -> None:
        """Keep facts, added to those of an attempt before this one: what that one removed was removed as well.

        What an attempt removed just before it was killed is in no count of its step, but in ``found_before``.
        """
        before = self._row.evidence.get(self._collection, {}).get(name)
        if name == "found_before":
            self.evidence[name] = before or facts
        else:
            self.evidence[name] = facts if before is None or name == "found_after" else _added(before, facts)
        with self._platform.ledger.writing() as connection:
            deletions.note(connection, self._row.deletion_id, {self._collection: self.evidence})

    def _take_leases(self, held: ExitStack) -> None:
        place = self._platform
        for one in partitions(place.ledger, tenant=self._tenant, collection=self._collection):
            mine = [identity for identity in self._ids if one.slot_low <= slot_of(identity) <= one.slot_high]
            if mine or self._row.purge:
                lease = acquire(
                    place.ledger,
                    one.key,
                    holder=f"deletion {self._row.deletion_id}",
                    wait_s=WAIT_S,
                    ttl_s=place.lease_s,
                )
                held.callback(lease.release)
                self._parts.append(_Part(Work(place.ledger, place.lake, lease, one, {}, lease.holder), mine))

    def _blank_traces(self) -> Mapping[str, int]:
        if not self._row.purge:
            return {}
        names = {self._doomed[one].path for one in self._ids} | {*self._remains.paths.values(), *self._remains.titles}
        texts = list(self._remains.messages)
        for part in self._parts:
            texts += removal.texts_of(part.work, PAGES.name, "text", part.documents)
        told = {name for name in names if len(name) >= _LEAST_NAME}
        found: Counter[str] = Counter()
        for one in self._platform.traces:
            found.update(one.erase(told, texts))
        return found

    def _withdraw(self) -> Mapping[str, list[int]]:
        """End the documents for every reader. Their tombstones are durable before."""
        stones = [
            Tombstone(one, version, self._tenant, self._collection, fingerprint)
            for one, (version, fingerprint) in self._remains.present.items()
        ]
        self._bury(stones)
        sequences = []
        for part in self._parts:
            mine = [one for one in stones if one.document_id in set(part.documents)]
            with part.work.lease.writing() as connection:
                tombstones.enter(connection, mine)
                if part.documents:
                    sequences.append(deletions.withdraw(connection, part.work.partition, part.documents))
        return {"sequences": sequences}

    def _bury(self, stones: Sequence[Tombstone]) -> None:
        """Keep them beside the originals, with one for each earlier version: a backup may show any of them."""
        originals = self._platform.originals
        every = {tombstone_key(one): one for one in stones}
        present = {one.document_id: one.version for one in stones}
        for document, versions in self._remains.versions.items():
            for version in versions:
                if version != present.get(document):
                    earlier = Tombstone(document, version, self._tenant, self._collection, "")
                    every[tombstone_key(earlier, earlier=True)] = earlier
        with originals.scratch() as folder:
            items = []
            for number, key in enumerate(every):
                (folder / str(number)).write_bytes(b"\n")
                items.append((key, folder / str(number)))
            originals.put_all(items)

    def _delete_keys(self) -> Mapping[str, int]:
        """Remove the keys; where that is refused, or the key came back, its tombstone stands."""
        gone, kept = [], 0
        for one in self._doomed.values():
            path = one.path or self._remains.paths.get(one.document_id, "")
            if not path:
                continue
            key = f"{self._tenant}/{self._collection}/{path}"
            try:
                self._platform.arrivals.delete(key)
            except PermanentError:
                kept += 1  # a read-only store: the tombstone keeps the document away
                continue
            if self._platform.arrivals.look(key) is None:
                gone.append(one.document_id)
            else:
                kept += 1
        with self._platform.ledger.writing() as connection:
            tombstones.see_absent(connection, gone)
        return {"removed": len(gone), "tombstones": kept}

    def _collect(self) -> Mapping[str, Mapping[str, int]]:
        """Remove the rows from every store, once no search can be reading them."""
        with self._platform.ledger.reading() as connection:
            numbers = deletions.remains(connection, self._ids).numbers
            wait_s = deletions.waited_long_enough(
                connection, self._ids, older_than_s=self._platform.search_time_limit_s
            )
        time.sleep(wait_s)
        every = {number for of_one in numbers.values() for number in of_one}
        done: dict[str, Mapping[str, int]] = {}
        for name in ("vector", "keyword"):
            done[name] = self._collect_rows(getattr(self._platform.stores, name), every)
        graph = self._platform.stores.graph
        strays = self._graph_strays(every) if self._row.purge else Counter()
        removed = strays.total()
        for part in batches(sorted(every), _NUMBERS):
            removed += sum(graph.counts(self._tenant, self._collection, part).values())
            graph.remove(self._tenant, self._collection, part)
        for part in batches(sorted(strays), _NUMBERS):  # such a number may be another document's
            graph.remove(self._tenant, self._collection, part, documents=self._doomed.keys())
        done["graph"] = {"publications": len(every | strays.keys()), "rows": removed}
        return done

    def _collect_rows(self, index: RowIndex, numbers: set[int]) -> Mapping[str, int]:
        removed, count = 0, len(numbers)
        for space in self._spaces(index):
            strays = self._row_numbers(index, space) if self._row.purge else set()
            count += len(strays - numbers)
            for part in batches(sorted(numbers | strays), _NUMBERS):
                removed += sum(index.counts(space, part).values())
                index.remove(space, part)
        return {"publications": count, "rows": removed}

    def _spaces(self, index: RowIndex) -> list[IndexSpace]:
        return [
            one for one in index.spaces() if (one.tenant, one.collection) == (self._tenant, self._collection)
        ]  # fmt: skip

    def _row_numbers(self, index: RowIndex, space: IndexSpace) -> set[int]:
        """Numbers under which a store has rows of the documents, whether or not the ledger knows of them."""
        return {row.publication for row in index.rows(space) if row.document_id in self._doomed}

    def _graph_strays(self, known: Collection[int]) -> Counter[int]:
        """How many edges of the documents stand under numbers that the ledger does not know for them."""
        edges = self._platform.stores.graph.edges(self._tenant, self._collection)
        mine = (edge.publication for edge in edges if edge.document_id in self._doomed)
        return Counter(number for number in mine if number not in known)

    def _rewrite_segments(self) -> Mapping[str, int]:
        stages = {stage.name: stage for stage in STAGES}
        done, deleted, strays = removal.Removal(), 0, 0
        for part in self._parts:
            if not part.documents:
                continue
            one = removal.remove_rows(part.work, stages, part.documents)
            done = removal.Removal(**{name: getattr(done, name) + count for name, count in asdict(one).items()})
            grace_s = self._platform.search_time_limit_s
            time.sleep(housekeeping.seconds_to_wait(part.work, grace_s=grace_s))
            # Whoever pins them begins again: a pin that a killed backup left would hold the document for minutes.
            deleted += removal.delete_dead(part.work)
            strays += housekeeping.delete_strays(part.work, list(stages))
        return {**asdict(done), "files_deleted": deleted + strays}

    def _erase_stores(self) -> Mapping[str, str]:
        """Rewrite what the stores keep on this machine; which could."""
        stores = self._platform.stores
        done: dict[str, str] = {}
        for name in ("vector", "keyword"):
            index = getattr(stores, name)
            spaces = self._spaces(index)
            done[name] = "rewritten" if isinstance(index, ErasableRows) else "left to the service"
            if isinstance(index, ErasableRows):
                for space in spaces:
                    index.erase(space)
        done["graph"] = "rewritten" if isinstance(stores.graph, ErasableGraph) else "left to the service"
        if isinstance(stores.graph, ErasableGraph):
            stores.graph.erase()
        return done

    def _delete_originals(self) -> Mapping[str, int]:
        originals, keys, destroyed = self._platform.originals, 0, 0
        with originals.scratch():
            pass  # it sweeps what killed processes left
        for identity in self._ids:
            for key, _, _ in list(originals.keys(f"{self._tenant}/{identity}/")):
                originals.delete(key)
                keys += 1
            destroyed += self._platform.destroy_key(f"{self._tenant}/{identity}")
        return {"versions": keys, "data_keys_destroyed": destroyed}

    def _settle_backups(self) -> Mapping[str, list[str]]:
        backups = self._platform.backups
        return {} if backups is None else backups.settle(self._tenant, self._doomed.keys())

    def _strike_out(self) -> Mapping[str, int]:
        names = {path: one for one, path in self._remains.paths.items() if len(path) >= _LEAST_NAME}
        names |= {one.path: one.document_id for one in self._doomed.values() if len(one.path) >= _LEAST_NAME}
        with self._platform.ledger.writing() as connection:
            deletions.settle_outbox(connection, self._ids)
            gone = deletions.strike_out(connection, self._ids, names)
        erase_deleted(self._platform.ledger)
        return {name: count for name, count in gone.items() if count}

    def _left(self) -> dict[str, int]:
        """What the stores have of the documents now; a purge looks at every row that they have."""
        stores, purge = self._platform.stores, self._row.purge
        left = {f"{name} rows": self._rows_in(getattr(stores, name)) for name in ("vector", "keyword")}
        if purge:
            edges = stores.graph.edges(self._tenant, self._collection)
            left["graph edges"] = sum(1 for edge in edges if edge.document_id in self._doomed)
        else:
            counted = (stores.graph.counts(self._tenant, self._collection, part) for part in self._numbers())
            left["graph edges"] = sum(sum(of_part.values()) for of_part in counted)
        left["lake rows"] = sum(
            removal.rows_left(one.work, one.documents, everywhere=purge) for one in self._parts if one.documents
        )
        if purge:
            originals = self._platform.originals
            left["originals"] = sum(1 for one in self._ids for _ in originals.keys(f"{self._tenant}/{one}/"))
            with self._platform.ledger.reading() as connection:
                left["ledger rows"] = deletions.rows_left(connection, self._ids)
        return left

    def _rows_in(self, index: RowIndex) -> int:
        spaces = self._spaces(index)
        if self._row.purge:
            return sum(1 for space in spaces for row in index.rows(space) if row.document_id in self._doomed)
        return sum(sum(index.counts(space, part).values()) for space in spaces for part in self._numbers())

    def _numbers(self) -> list[Sequence[int]]:
        """Every number that the ledger knew for the documents, in parts."""
        return list(batches(sorted({one for of_one in self._remains.numbers.values() for one in of_one}), _NUMBERS))

    def _read_back(self) -> Mapping[str, int]:
        """What every store still has of the documents: nothing, or this raises."""
        left = self._left()
        if found := {name: count for name, count in left.items() if count}:
            told = ", ".join(f"{count} {name}" for name, count in found.items())
            raise TransientError(
                f"deletion of {len(self._ids)} documents of {self._tenant}/{self._collection}: still there after the "
                f"removal: {told}; run the same command again, and `etl-assets check` if it stays so"
            )
        if not self._row.purge:
            with self._platform.ledger.writing() as connection:
                deletions.settle_outbox(connection, self._ids)
        return left


def _added(before: Any, now: Any) -> Any:
    """What two attempts did together: counts are added, lists joined; of anything else the later one is right."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return {name: _added(before.get(name), now.get(name)) for name in {**before, **now}}
    if isinstance(before, int) and isinstance(now, int):
        return before + now
    if isinstance(before, list) and isinstance(now, list):
        return [*before, *(one for one in now if one not in before)]
    return before if now is None else now
