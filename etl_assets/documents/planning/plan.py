"""What the next runs of a collection would do and cost, and why: counted without a lease, and nothing is written.

Documents that have to be parsed and chunked are, in memory, so that chunks and the texts to embed are counted exactly;
vectors are never computed.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from etl_assets.documents.arrivals.intake import Changes, Sighting, arrivals_seen, survey
from etl_assets.documents.arrivals.update_modes import taken
from etl_assets.documents.generations.in_use import distinct, in_use, known_recipe
from etl_assets.documents.generations.work import overridden
from etl_assets.documents.model import CHUNKS, CLASSIFICATIONS, EMBEDDINGS, document_id, slot_of
from etl_assets.documents.parameters import CollectionSettings
from etl_assets.documents.planning.costs import Costs, StagePlan
from etl_assets.documents.planning.outlook import DOCUMENTS_AT_ONCE, Outcome, Seen, StagesOutlook, Wanted
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.moves import moved_stores
from etl_assets.documents.publication.publisher import Target, is_as_published
from etl_assets.errors import ConfigError
from etl_assets.ledger import outlook, outputs
from etl_assets.ledger import publications as ledger_publications
from etl_assets.ledger.catalogue import SLOTS, Partition, partition_key, partitions
from etl_assets.ledger.outlook import Candidate
from etl_assets.protocols.objects import UnusableKey

LABELS_BY_LOCAL = "labels: the packaged classifier would serve, and its records say so"

NOT_ENTERED = -1
"""Number of a collection that the ledger does not know yet."""


class NoSuchPartition(ConfigError):
    """None of a collection's partitions is called as it was asked for."""


@dataclass(slots=True)
class CollectionPlan:
    """What the runs of a collection would do. ``partitions`` are those with work; ``stages`` are in order of the run.

    ``documents`` would be computed or published anew, ``repointed`` have the contents that are published already.
    ``budget`` says by how much a budget would be exceeded, "" if it would not. ``standing_in`` counts, by the reason
    why, documents whose labels are the packaged classifier's in place of the chosen one's: they stay so until somebody
    asks for them again.
    """

    tenant: str
    collection: str
    partitions: list[str] = field(default_factory=list)
    added: int = 0
    changed: int = 0
    removed: int = 0
    held: int = 0
    documents: int = 0
    published: int = 0
    repointed: int = 0
    withdrawn: int = 0
    stages: list[StagePlan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    budget: str = ""
    standing_in: dict[str, int] = field(default_factory=dict)

    def stage(self, name: str) -> StagePlan:
        """The plan of one stage or store; one without work where there is nothing to do."""
        return next((one for one in self.stages if one.stage == name), StagePlan(name))

    @property
    def chunks(self) -> int:
        """Chunks that would be written."""
        return self.stage(CHUNKS.name).rows

    @property
    def seconds(self) -> float:
        """Of all steps, one after another."""
        return sum(one.seconds for one in self.stages)

    @property
    def error_s(self) -> float:
        """By how much ``seconds`` may be off either way."""
        return sum(one.error_s for one in self.stages)

    @property
    def money(self) -> Mapping[str, float]:
        """By currency, "?" for what has no price."""
        found: dict[str, float] = {}
        for one in self.stages:
            if one.currency:
                found[one.currency] = found.get(one.currency, 0.0) + one.money
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain values, for ``--json`` and Dagster's metadata."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "stages"}
        totals = {
            "chunks": self.chunks, "tokens": sum(one.tokens for one in self.stages),
            "calls": sum(one.calls for one in self.stages),
            "size_bytes": sum(one.size_bytes for one in self.stages), "seconds": round(self.seconds, 3),
            "error_s": round(self.error_s, 3), "money": dict(self.money),
        }  # fmt: skip
        return {**plain, **totals, "stages": [one.as_json() for one in self.stages]}


def plan_collection(
    platform: Platform, tenant: str, collection: str, *, only: Sequence[str] = (), full: bool = False,
    seen: Seen | None = None,
) -> CollectionPlan:  # fmt: skip
    """Plan the runs of a collection, or of those partitions of it whose keys match a pattern of ``only``.

    ``full`` is what it would take to make everything again from the originals. ``seen`` is shared by collections that
    are planned together. A collection that the ledger does not know is planned as it would be entered.

    Raises:
        NoSuchPartition: none of its partitions matches.
        ConfigError: its settings cannot be used.
        PermanentError, TransientError: the store, the lake or the originals do not answer, or the listing is not whole.
    """
    settings = platform.collections.of(tenant, collection)
    plan = CollectionPlan(tenant, collection)
    found = _changes(platform, tenant, collection, settings, plan)
    chosen = [one for one in found if not only or any(fnmatchcase(one.partition.key, pattern) for pattern in only)]
    if only and not chosen:
        raise NoSuchPartition(f"{tenant}/{collection}: no partition is called {', '.join(only)}")
    costs = Costs(platform.ledger, settings)
    for changes in chosen:
        _PartitionPlan(platform, settings, changes, plan, costs, full, {} if seen is None else seen).add()
    if found:
        plan.budget = costs.over_budget(found[0].partition)
        if not plan.budget and (why := costs.labels_over_budget(found[0].partition)):
            plan.notes.append(f"{LABELS_BY_LOCAL}: {why}")
    plan.stages = costs.stages()
    return plan


def trying(platform: Platform, tenant: str, collection: str, overrides: Mapping[str, str]) -> Platform:
    """The platform as it were if ``collections.yaml`` said this of the collection, as ``chunking.size`` -> ``40``.

    Raises:
        ConfigError: there is no such setting, or a value is not allowed.
    """
    if not overrides:
        return platform
    decided = platform.collections.of(tenant, collection)
    settings = overridden(tenant, collection, decided, overrides)
    return replace(platform, collections=platform.collections.with_settings(tenant, collection, settings))


def _changes(
    platform: Platform, tenant: str, collection: str, settings: CollectionSettings, plan: CollectionPlan
) -> list[Changes]:
    """What the store shows now, partition by partition."""
    if partitions(platform.ledger, tenant=tenant, collection=collection):
        found = survey(platform.ledger, platform.arrivals, tenant, collection, shards=settings.shards)
        plan.held = len(found.unusable)
        return [taken(one, settings.update_mode)[0] for one in found.changes.values()]
    width = SLOTS // settings.shards
    changes = [
        Changes(
            Partition(
                partition_key(tenant, collection, n, settings.shards), NOT_ENTERED, tenant, collection, n * width,
                n * width + width - 1,
            )
        )
        for n in range(settings.shards)
    ]  # fmt: skip
    skip = len(tenant) + len(collection) + 2
    for entry in platform.arrivals.list(tenant, collection):
        if isinstance(entry, UnusableKey):
            plan.held += 1
            continue
        identity = document_id(tenant, collection, entry.key[skip:])
        slot = slot_of(identity)
        changes[slot // width].added.append(Sighting(entry, identity, slot, entry.key[skip:], None))
    return [taken(one, settings.update_mode)[0] for one in changes]


class _PartitionPlan:
    """One partition on its way into the plan of its collection."""

    def __init__(
        self, platform: Platform, settings: CollectionSettings, changes: Changes, plan: CollectionPlan, costs: Costs,
        full: bool, seen: Seen,
    ) -> None:  # fmt: skip
        place = changes.partition
        using = in_use(platform, place, settings)
        self._platform, self._changes, self._plan, self._costs, self._full = platform, changes, plan, costs, full
        self._place = place
        self._gone = {one.document_id for one in changes.removed}
        self._served = using.served
        self._recipes = [known_recipe(platform, one) for one in using.served]
        self._targets = [
            Target(one.generation_id, recipe, one.settings.publications)
            for one, recipe in zip(using.served, self._recipes, strict=True)
        ]
        self._outlooks = [
            StagesOutlook(platform, place, one, recipe, full=full, seen=seen)
            for one, recipe in zip(using.served, self._recipes, strict=True)
        ]
        plan.notes += [problem for problem in using.problems.values() if problem not in plan.notes]

    def add(self) -> None:
        """Count everything of the partition."""
        plan = self._plan
        self._stand_ins()
        before = (plan.added, plan.changed, plan.published, plan.repointed, plan.withdrawn, plan.documents)
        entered: set[str] = set()
        for wanted in self._arriving():
            entered |= {one.candidate.document_id for one in wanted}
            self._look(wanted, {})
        plan.removed += len(self._changes.removed)
        self._left_over(entered)
        self._withdraw()
        after = (plan.added, plan.changed, plan.published, plan.repointed, plan.withdrawn, plan.documents)
        for place in range(len(self._outlooks)):
            for name, found in self._outlooks[place].stages.items():
                if place in distinct(self._recipes, name):
                    self._costs.add_stage(self._place, self._served[place], found)
        if self._moved() or before != after:
            plan.partitions.append(self._place.key)
            self._costs.add_run(self._place)

    def _stand_ins(self) -> None:
        """Documents whose labels wait for the classifier that was chosen."""
        if self._served[0].classifier is None or CLASSIFICATIONS.name not in self._recipes[0]:
            return
        with self._platform.ledger.reading() as connection:
            found = outlook.standing_in(connection, self._place, self._recipes[0][CLASSIFICATIONS.name].producer_id)
        for why, count in found.items():
            self._plan.standing_in[why] = self._plan.standing_in.get(why, 0) + count

    def _arriving(self) -> Iterator[list[Wanted]]:
        """What the store has new or changed, with its bytes, a part at a time."""
        sightings = sorted([*self._changes.added, *self._changes.changed], key=lambda one: one.document_id)
        store, limits = self._platform.arrivals, self._served[0].settings.parsing
        for part in outputs.batches(sightings, DOCUMENTS_AT_ONCE):
            with tempfile.TemporaryDirectory(prefix="etl-assets-plan-") as folder:
                seen = arrivals_seen(store, part, self._place.tenant, Path(folder), limits)
                yield [one for found in seen if (one := self._arrived(*found)) is not None]

    def _arrived(self, sighting: Sighting, arrived: Any, source: Path, error: Exception | None) -> Wanted | None:
        if error is not None:
            self._plan.held += 1
        if arrived is None:
            return None
        new = sighting.known is None
        self._plan.added += new
        self._plan.changed += not new
        same = sighting.known is not None and sighting.known.version == arrived.version
        self._costs.add_arrival(self._place, 0 if same else arrived.size_bytes)
        reason = "new document" if new else "changed metadata" if same else "changed bytes"
        candidate = Candidate(
            arrived.document_id, arrived.path, arrived.version, arrived.input_digest, arrived.size_bytes
        )  # fmt: skip
        return Wanted(candidate, reason, None if same else source)

    def _left_over(self, entered: set[str]) -> None:
        """What the ledger knows to be missing, unpublished or, in full, there at all."""
        if self._place.cid == NOT_ENTERED:
            return
        due: dict[int, dict[str, bool]] = {}
        with self._platform.ledger.reading() as connection:
            known = outlook.present_documents(connection, self._place)
            wanted = set(known) if self._full else set()
            for target in self._targets:
                for name in () if self._full else target.recipe:
                    missing = outputs.missing(connection, self._place, target.recipe, name)
                    wanted |= {one.document_id for one in missing}
                found = ledger_publications.due(
                    connection, self._place, target.recipe, target.generation_id, switches=target.switches
                )
                due[target.generation_id] = {one.document_id: is_as_published(one, target.switches) for one in found}
                wanted |= due[target.generation_id].keys()
        left = sorted(wanted - entered - self._gone)
        for part in outputs.batches(left, DOCUMENTS_AT_ONCE):
            self._look([Wanted(known[document]) for document in part if document in known], due)

    def _look(self, wanted: Sequence[Wanted], due: Mapping[int, Mapping[str, bool]]) -> None:
        if not wanted:
            return
        self._plan.documents += len(wanted)
        reasons = {one.candidate.document_id: one.reason for one in wanted}
        for target, stages in zip(self._targets, self._outlooks, strict=True):
            done = stages.look(wanted)
            with self._platform.ledger.reading() as connection:
                shown = outlook.shown_documents(connection, target.generation_id, list(done))
            same = due.get(target.generation_id, {})
            for document, outcome in done.items():
                why = self._why_publish(target, outcome, shown.get(document), same.get(document), reasons[document])
                if why is None:
                    self._plan.repointed += 1
                elif why:
                    self._publish(target, outcome, why)

    def _why_publish(
        self, target: Target, outcome: Outcome, shown: outlook.Shown | None, same: bool | None, reason: str
    ) -> str | None:
        """Why a document is written to the stores: "" if it is not due, ``None`` if only its row in the ledger is."""
        if reason == "new document" or shown is None:
            return reason or "never published"
        if self._full:
            return "asked for in full"
        if shown.switches != target.switches:
            return "publications switched on or off"
        if reason == "changed metadata":
            return reason
        changed = [
            name for name, digest in outcome.digests.items() if name != "pages" and shown.digests.get(name) != digest
        ]
        if changed:
            return f"{' and '.join(changed)} changed"
        if same is False:
            return "changed metadata"
        return None if same or reason or outcome.is_new else ""

    def _publish(self, target: Target, outcome: Outcome, why: str) -> None:
        self._plan.published += 1
        rows = {
            "vector": outcome.rows.get(EMBEDDINGS.name, 0), "keyword": outcome.rows.get(CHUNKS.name, 0),
            "graph": outcome.edges,
        }  # fmt: skip
        for store in target.stores:
            self._costs.add_store(self._place, store, rows[store], why)

    def _withdraw(self) -> None:
        with self._platform.ledger.reading() as connection:
            if self._place.cid != NOT_ENTERED:
                self._plan.withdrawn += len(ledger_publications.removed(connection, self._place))
            for target in self._targets:
                found = outlook.shown_documents(connection, target.generation_id, sorted(self._gone))
                self._plan.withdrawn += len(found)

    def _moved(self) -> bool:
        """Whether stores are elsewhere now: then all that is visible is published there."""
        if self._place.cid == NOT_ENTERED:
            return False
        moved = moved_stores(self._platform, self._place)
        for store, was in moved.items():
            with self._platform.ledger.reading() as connection:
                shown = outlook.visible_rows(connection, self._place, store)
            for rows in shown:
                self._costs.add_store(self._place, store, rows, f"the {store} store moved from {was}")
        return bool(moved)
