"""What state each document is in, as people see it: current, pending, quarantined or removed. Asks the ledger only."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from etl_assets.documents.generations.in_use import in_use
from etl_assets.documents.generations.in_use import known_recipe as recipe_of
from etl_assets.documents.model import PAGES, STAGES, slot_of
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError
from etl_assets.ledger import documents_view, pinned_versions
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.database import digest_of
from etl_assets.ledger.documents_view import GoneDocument, HeldDocument, PresentDocument
from etl_assets.ledger.held_arrivals import HeldArrival, held_arrivals
from etl_assets.ledger.outputs import Recipe, Step
from etl_assets.ledger.quarantine import AWAITS_RETRY

State = Literal["current", "pending", "quarantined", "removed"]
KEPT_OUT = "held-back"
"""Reason of documents that wait since the update mode keeps out what happened to their keys."""
STATES: tuple[State, ...] = ("current", "pending", "quarantined", "removed")


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """One line of a listing.

    ``current``: searches see exactly this version under today's settings. ``pending``: a run has something to compute
    or to publish (``reason`` is ``not-computed`` or ``not-published``), or the update mode keeps a change of its key
    out (``held-back``). ``quarantined``: this version is held back;
    ``reason`` is a short code, ``message`` says more and ``stage`` where. ``removed``: its key is gone, by the ledger.
    ``version`` is "" for what never could be read. ``published_version`` is what searches see, if anything.
    ``is_pinned``: an earlier version was published again, and stays until the key changes.
    """

    document_id: str
    tenant: str
    collection: str
    path: str
    version: str
    state: State
    reason: str | None = None
    message: str | None = None
    stage: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    title: str | None = None
    arrived_at: float | None = None
    publication: int | None = None
    published_version: str | None = None
    is_pinned: bool = False


def listed_documents(
    platform: Platform,
    *,
    tenant: str | None = None,
    collection: str | None = None,
    name: str | None = None,
    state: State | None = None,
) -> Iterator[ListedDocument]:
    """Every document the ledger knows, by tenant, collection and path; keys that cannot name one are quarantined.

    ``name`` is a pattern of shell globs, matched against the whole path and against its last part.
    """
    places = partitions(platform.ledger, tenant=tenant, collection=collection)
    with platform.ledger.reading() as connection:
        held = documents_view.held_documents(connection, tenant=tenant, collection=collection)
    found = [one for place in places for one in _of_partition(platform, place, held)]
    known = {one.document_id for one in found}
    found += [_held_only(one) for one in held if one.document_id not in known]
    for one in sorted(found, key=lambda one: (one.tenant, one.collection, one.path)):
        if (state is None or one.state == state) and (name is None or _matches(one.path, name)):
            yield one


def known_recipe(platform: Platform, partition: Partition) -> Recipe:
    """The producers wanted now, with -1 for those that never ran. It writes nothing.

    Under settings that cannot be used nothing after the parsing has run.
    """
    run = PartitionRun(platform, partition.key, run_id="listing")
    try:
        wanted = run.parameters()
    except ConfigError:
        never = {stage.name: Step(stage.name, -1, stage.inputs) for stage in STAGES}
        parsed = platform.ledger.known_producer_id(PAGES.producer({}))
        return {**never, PAGES.name: Step(PAGES.name, parsed, PAGES.inputs)}
    return {
        name: Step(name, platform.ledger.known_producer_id(stage.producer(parameters)), stage.inputs)
        for name, (stage, parameters) in wanted.items()
    }


def unusable_settings(
    platform: Platform, *, tenant: str | None = None, collection: str | None = None
) -> dict[tuple[str, str], str]:
    """What is wrong with a collection's settings, by (tenant, collection): its documents stay as they are."""
    problems: dict[tuple[str, str], str] = {}
    places = partitions(platform.ledger, tenant=tenant, collection=collection)
    for name, key in {(place.tenant, place.collection): place.key for place in places}.items():
        try:
            PartitionRun(platform, key, run_id="listing").parameters()
        except ConfigError as e:
            problems[name] = str(e)
    return problems


def row_counts(platform: Platform, partition: Partition) -> dict[str, tuple[int, int]]:
    """(documents, rows) that are finished at each stage of a partition."""
    recipe = known_recipe(platform, partition)
    with platform.ledger.reading() as connection:
        return documents_view.row_counts(connection, partition, recipe)


def partition_of(places: list[Partition], held: HeldDocument) -> str | None:
    """The partition that a quarantined document belongs to; ``None`` for what belongs to no collection."""
    slot = slot_of(held.document_id)
    for place in places:
        if (place.tenant, place.collection) == (held.tenant, held.collection) and (
            place.slot_low <= slot <= place.slot_high
        ):
            return place.key
    return None


def _of_partition(platform: Platform, place: Partition, held: list[HeldDocument]) -> Iterator[ListedDocument]:
    recipe = known_recipe(platform, place)
    switches = digest_of(platform.collections.of(place.tenant, place.collection).publications.parameters())
    with platform.ledger.reading() as connection:
        present = documents_view.present_documents(connection, place, recipe, switches=switches)
        gone = documents_view.gone_documents(connection, place)
        pinned = pinned_versions.pinned(connection, [one.document_id for one in present])
        holding = documents_view.holding(connection, place, recipe)
        kept_out = held_arrivals(connection, place.key)
    building = _waiting_elsewhere(platform, place)
    rows: dict[str, HeldDocument] = {}
    named = set()
    for row in held:
        named.add(row.document_id)
        if (row.document_id, row.stage) in holding:
            rows.setdefault(row.document_id, row)
    for one in present:
        listed = _present(place, one, rows.get(one.document_id), is_waiting=one.document_id in building)
        if one.document_id in kept_out and listed.state == "current":
            listed = replace(listed, state="pending", **_kept_out(kept_out[one.document_id]))
        yield replace(listed, is_pinned=True) if one.document_id in pinned else listed
    for last in gone:
        if last.document_id not in named and last.document_id not in kept_out:
            yield _gone(place, last)
    known = named | {one.document_id for one in present}
    for new in kept_out.values():
        if new.document_id not in known:
            place_of_it = (new.document_id, place.tenant, place.collection, new.path, "")
            yield ListedDocument(*place_of_it, "pending", **_kept_out(new))


def _kept_out(one: HeldArrival) -> dict[str, Any]:
    return {"reason": KEPT_OUT, "message": f"{one.change}; the collection's update mode keeps it out"}


def _waiting_elsewhere(platform: Platform, place: Partition) -> set[str]:
    """Documents that a run has to compute or publish for an index that does not answer, or not yet."""
    settings = platform.collections.of(place.tenant, place.collection)
    try:
        others = in_use(platform, place, settings).served[1:]
    except ConfigError:
        return set()
    waiting: set[str] = set()
    for one in others:
        recipe = recipe_of(platform, one)
        switches = digest_of(one.settings.publications.parameters())
        with platform.ledger.reading() as connection:
            lacking = documents_view.unpublished_in(connection, place, recipe, one.generation_id, switches=switches)
            waiting |= lacking - {document for document, _ in documents_view.holding(connection, place, recipe)}
    return waiting


def _present(place: Partition, one: PresentDocument, held: HeldDocument | None, *, is_waiting: bool) -> ListedDocument:
    state: State = "current"
    why: dict[str, Any] = {}
    if held is not None:
        state, why = "quarantined", {"reason": held.reason, "message": held.message, "stage": held.stage}
    elif not one.is_published:
        state, why = "pending", {"reason": "not-published" if one.is_finished else "not-computed"}
    elif is_waiting:
        state, why = "pending", {"reason": "not-computed"}
    return ListedDocument(
        one.document_id, place.tenant, place.collection, one.path, one.version, state, **why,
        size_bytes=one.size_bytes, content_type=one.content_type, title=one.record.get("title"),
        arrived_at=one.arrived_at, publication=one.publication, published_version=one.published_version,
    )  # fmt: skip


def _gone(place: Partition, last: GoneDocument) -> ListedDocument:
    return ListedDocument(
        last.document_id, place.tenant, place.collection, last.path, last.version, "removed",
        size_bytes=last.size_bytes, content_type=last.content_type, arrived_at=last.arrived_at,
    )  # fmt: skip


def _held_only(held: HeldDocument) -> ListedDocument:
    """Something that never became a document."""
    place = (held.document_id, held.tenant, held.collection, held.path, held.version)
    if held.producer_id == AWAITS_RETRY:
        return ListedDocument(*place, "pending", reason="not-computed")
    return ListedDocument(*place, "quarantined", held.reason, held.message, held.stage)


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)
