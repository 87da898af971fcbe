"""What a sync would do, the doing of it, and what is said of it afterwards."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl_assets.cli.output import printable, say, shortened, table, warn
from etl_assets.cli.session import opened, unknown_collection

if TYPE_CHECKING:
    from etl_assets.documents.anew import Anew
    from etl_assets.documents.arrivals.intake import Survey
    from etl_assets.documents.parameters import UpdateMode
    from etl_assets.documents.platform import Platform
    from etl_assets.launching import PartitionOutcome
    from etl_assets.settings import Settings
    from etl_assets.stages.report import Progress

STEPS = (
    "raw_documents", "pages", "chunks", "embeddings", "knowledge", "classifications", "mentions", "relations",
    "vector_index", "keyword_index", "graph_index",
)  # fmt: skip
"""Steps of a run's report that are shown, in order."""

SHOWN = 20
"""How many quarantined documents are named after a run."""


@dataclass(slots=True)
class CollectionPlan:
    """What a sync would do in one collection. Paths of documents; ``compute`` is stage -> documents, at most.

    ``partitions`` are those with anything to do; ``held`` counts keys that cannot name a document. ``held_back`` are
    paths that the update mode keeps out, by ``added``, ``changed`` and ``removed``; ``anew`` are computed
    although nothing changed.
    """

    tenant: str
    collection: str
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    compute: dict[str, int] = field(default_factory=dict)
    publish: int = 0
    withdraw: int = 0
    held: int = 0
    seen: int = 0
    update_mode: str = "auto"
    held_back: dict[str, list[str]] = field(default_factory=dict)
    anew: list[str] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(slots=True)
class Plans:
    """Every collection asked for. ``errors`` are those that could not be listed, with the reason."""

    collections: list[CollectionPlan] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    strays: int = 0

    @property
    def partitions(self) -> list[str]:
        """Keys of the partitions with something to do."""
        return [key for one in self.collections for key in one.partitions]

    @property
    def documents(self) -> int:
        """How many documents the store shows."""
        return sum(one.seen for one in self.collections)


def plan(
    platform: Platform, tenant: str | None, collection: str | None, *, dry: bool, mode: UpdateMode | None = None
) -> Plans:
    """List the store, compare it with the ledger, and ask the ledger what is unfinished.

    ``mode`` is in place of the update mode of each collection. ``dry`` writes nothing: not even that a collection is
    new, or that a key is unusable.

    Raises:
        ConfigError: names were given and nothing has them.
    """
    from etl_assets.documents.arrivals.unusable_keys import hold_strays
    from etl_assets.errors import ConfigError, PermanentError
    from etl_assets.ledger.catalogue import partitions

    known = {(one.tenant, one.collection) for one in partitions(platform.ledger)}
    places = sorted(
        place for place in {*platform.arrivals.collections(), *known}
        if tenant in (None, place[0]) and collection in (None, place[1])
    )  # fmt: skip
    if not places and (tenant or collection):
        raise unknown_collection(tenant, collection)
    plans = Plans()
    if tenant is None and collection is None:
        plans.strays = (
            sum(1 for _ in platform.arrivals.strays()) if dry else hold_strays(platform.ledger, platform.arrivals)
        )
    for place in places:
        try:
            chosen = mode or platform.collections.of(*place).update_mode
            is_new = dry and place not in known
            found = _of_new(platform, *place, chosen) if is_new else _of_known(platform, *place, chosen, dry=dry)
        except (PermanentError, ConfigError) as error:  # what one collection lacks costs that collection only
            plans.errors.append(f"{place[0]}/{place[1]}: {error}")
        else:
            plans.collections.append(found)
    return plans


@contextmanager
def opened_dry(settings: Settings) -> Iterator[Platform]:
    """The platform for looking only: a home without a ledger gets a throw-away one, and stays as it is.

    A ledger on PostgreSQL is opened where it is, and so are arrivals on S3.
    """
    if settings.postgres is not None or settings.home.ledger_file.exists():
        with opened(settings) as platform:
            yield platform
        return
    from etl_assets.backends.local_arrivals import LocalArrivals
    from etl_assets.documents.collections import Collections

    with tempfile.TemporaryDirectory() as folder:
        home = settings.home
        objects = home.objects if home.objects.exists() else Path(folder) / "data" / "objects"
        with opened(replace(settings, home_folder=str(Path(folder) / "data"))) as platform:
            if settings.s3 is None:
                platform = replace(platform, arrivals=LocalArrivals(objects, scratch=Path(folder)))
            yield replace(platform, collections=Collections.read(home.collections_file))


def run_and_report(
    settings: Settings, keys: Sequence[str], *, mode: UpdateMode | None = None, anew: Anew | None = None
) -> int:
    """Run these partitions, say what was done, and return the exit code: 1 when a partition failed.

    ``mode`` is in place of the update mode of each collection; ``anew`` is computed although it is there.
    """
    from etl_assets.asset_keys import UPDATE_MODE_TAG
    from etl_assets.documents.partitions import force_tags

    started = time.time()
    keys = _ready(settings, keys)
    if not keys:
        return 0
    tags = {} if mode is None else {UPDATE_MODE_TAG: str(mode)}
    outcomes = _run(settings, keys, tags if anew is None else tags | force_tags(anew))
    with opened(settings) as platform:
        held = _held_since(platform, keys, started)
    _show_steps([one.report for one in outcomes])
    _show_held(held)
    _show_generations(outcomes)
    for one in outcomes:
        for check in one.checks:
            if not check.passed and one.error is None:
                warn(f"etl-assets: {one.partition}: {check.name}: {printable(check.details)}")
        if one.error is not None:
            how = "was canceled" if one.state == "canceled" else "failed"
            warn(f"etl-assets: partition {one.partition} {how}: {printable(one.error)}")
    done = sum(1 for one in outcomes if one.state == "succeeded")
    paused = [one.partition for one in outcomes if one.state == "held"]
    say(f"{done:,} of {len(keys):,} partitions are up to date, {time.time() - started:.1f} s")
    if paused:
        say(f"{len(paused):,} were paused meanwhile and wait: {', '.join(paused[:SHOWN])}")
    return 0 if done + len(paused) == len(keys) else 1


def _ready(settings: Settings, keys: Sequence[str]) -> list[str]:
    """Those of these partitions that are not paused; of the others it is said why, and how many wait."""
    from etl_assets.cli.control import told_pause
    from etl_assets.ledger.controls import controls

    with opened(settings) as platform:
        now = controls(platform.ledger)
    pauses = {key: now.pause_of(key) for key in keys}
    for scope in dict.fromkeys(one for one in pauses.values() if one is not None):
        waiting = sum(1 for one in pauses.values() if one == scope)
        say(f"{told_pause(scope)}\n  {waiting:,} partitions with something to do wait")
    return [key for key in keys if pauses[key] is None]


def _run(settings: Settings, keys: Sequence[str], tags: Mapping[str, str]) -> Sequence[PartitionOutcome]:
    """Run them with progress shown; when somebody asks to stop, nothing is begun after the batch at work."""
    from etl_assets.cli import progress
    from etl_assets.cli.interrupts import end, watched_signals
    from etl_assets.errors import PermanentError
    from etl_assets.launching import run_partitions

    with watched_signals() as asked_to_stop, progress.stages() as show:

        def watch(seen: Progress) -> None:
            show(seen)
            if asked_to_stop() is not None:
                # Of our own kinds, this is the one that no retry policy tries again.
                raise PermanentError(f"{seen.stage}: interrupted; what was finished is kept")

        def finished(_outcome: PartitionOutcome) -> None:
            if (number := asked_to_stop()) is not None:
                end(number)

        return run_partitions(settings, keys, watch=watch, finished=finished, tags=tags)


def _of_known(platform: Platform, tenant: str, collection: str, mode: UpdateMode, *, dry: bool) -> CollectionPlan:
    from etl_assets.documents.arrivals.intake import survey
    from etl_assets.documents.arrivals.unusable_keys import hold_unusable
    from etl_assets.documents.partition_run import PartitionRun
    from etl_assets.documents.pending import is_up_to_date

    shards = platform.collections.of(tenant, collection).shards
    found = survey(platform.ledger, platform.arrivals, tenant, collection, shards=shards)
    if not dry:
        hold_unusable(platform.ledger, tenant, collection, found.unusable)
    plan = _changes(platform, tenant, collection, found, mode, dry=dry)
    for place in found.partitions:
        changes = found.changes[place.key]
        if not changes and is_up_to_date(platform, place):
            continue
        run = PartitionRun(platform, place.key, run_id="plan")
        pending = run.pending()
        if changes or pending:
            plan.partitions.append(place.key)
        for stage in run.parameters():
            fresh = len(changes.added) + len(changes.changed)
            plan.compute[stage] = plan.compute.get(stage, 0) + pending.unfinished[stage] + fresh
        plan.publish += pending.unpublished
        plan.withdraw += pending.removed + len(changes.removed)
    return plan


def _changes(
    platform: Platform, tenant: str, collection: str, found: Survey, mode: UpdateMode, *, dry: bool
) -> CollectionPlan:
    """What would be taken in; what the mode keeps out is taken out of ``found``."""
    from etl_assets.documents.arrivals.update_modes import taken
    from etl_assets.ledger.held_arrivals import HeldArrival, keep_out

    plan = CollectionPlan(tenant, collection, held=len(found.unusable), seen=found.seen, update_mode=mode)
    held: list[HeldArrival] = []
    for key, all_changes in list(found.changes.items()):
        found.changes[key], kept_out = taken(all_changes, mode)
        held += kept_out
    if not dry:
        keep_out(platform.ledger, list(found.changes), held)
    for one in sorted(held, key=lambda one: one.path):
        plan.held_back.setdefault(one.change, []).append(one.path)
    for changes in found.changes.values():
        plan.added += [one.path for one in changes.added]
        plan.changed += [one.path for one in changes.changed]
        plan.removed += [one.path for one in changes.removed]
    for paths in (plan.added, plan.changed, plan.removed):
        paths.sort()
    return plan


def _of_new(platform: Platform, tenant: str, collection: str, mode: UpdateMode) -> CollectionPlan:
    """A collection that the ledger does not know: everything is new."""
    from etl_assets.documents.arrivals.update_modes import TAKEN
    from etl_assets.documents.model import EMBEDDINGS, STAGES
    from etl_assets.ledger.catalogue import partition_key
    from etl_assets.ledger.held_arrivals import ADDED
    from etl_assets.protocols.objects import UnusableKey

    settings = platform.collections.of(tenant, collection)
    skip = len(tenant) + len(collection) + 2
    plan = CollectionPlan(tenant, collection, update_mode=mode)
    for entry in platform.arrivals.list(tenant, collection):
        if isinstance(entry, UnusableKey):
            plan.held += 1
        else:
            plan.added.append(entry.key[skip:])
    plan.added.sort()
    plan.seen = len(plan.added)
    if plan.added and ADDED not in TAKEN[mode]:
        plan.held_back[ADDED], plan.added = plan.added, []
    names = [stage.name for stage in STAGES if settings.publications.vector or stage != EMBEDDINGS]
    plan.compute = dict.fromkeys(names, len(plan.added))
    if plan.added:
        plan.partitions = [partition_key(tenant, collection, n, settings.shards) for n in range(settings.shards)]
    return plan


def force(platform: Platform, plans: Plans, anew: Anew) -> int:
    """Let partitions with documents that are to be computed anew run; how many documents that are."""
    from etl_assets.ledger.catalogue import partitions

    count = 0
    for one in plans.collections:
        for place in partitions(platform.ledger, tenant=one.tenant, collection=one.collection):
            chosen = anew.chosen(platform.ledger, place)
            count += len(chosen)
            if chosen:
                one.anew += sorted(chosen.values())
                if place.key not in one.partitions:
                    one.partitions.append(place.key)
    return count


def held_line(one: CollectionPlan) -> str | None:
    """What the update mode of a collection keeps out; ``None`` when that is nothing."""
    if not one.held_back:
        return None
    counts = ", ".join(f"{len(paths):,} {change}" for change, paths in one.held_back.items())
    return (
        f"{one.tenant}/{one.collection}: {counts} held back by the update mode {one.update_mode}; "
        "etl-assets document list --state pending"
    )


def show_plan(plans: Plans) -> None:
    """What a sync would do, for people."""
    for one in plans.collections:
        if line := held_line(one):
            say(line)
        if not one.partitions and not one.held:
            continue
        say(f"{one.tenant}/{one.collection}: {len(one.partitions):,} partitions to run")
        for word, paths in (("add", one.added), ("change", one.changed), ("remove", one.removed), ("anew", one.anew)):
            for path in paths[:SHOWN]:
                say(f"  {word:7} {printable(path)}")
            if len(paths) > SHOWN:
                say(f"  {word:7} and {len(paths) - SHOWN:,} more")
        if any(one.compute.values()):
            say("  compute " + ", ".join(f"{stage} of {count:,}" for stage, count in one.compute.items() if count))
        if one.publish or one.withdraw:
            say(f"  publish {one.publish:,} computed already, withdraw {one.withdraw:,}")
        if one.held:
            say(f"  {one.held:,} keys cannot name a document")
    if plans.strays:
        say(f"{plans.strays:,} files belong to no collection; put them below TENANT/COLLECTION/")
    if not plans.partitions:
        say(f"nothing to do: {plans.documents:,} documents in {len(plans.collections):,} collections are as they were")


def _show_steps(reports: Sequence[Mapping[str, Any]]) -> None:
    """One line for each step, summed over partitions."""
    rows = []
    for step in STEPS:
        parts = [report[step] for report in reports if isinstance(report.get(step), Mapping)]
        if parts:
            rows.append((step.replace("graph_index", "knowledge_graph"), *_summed(step, parts)))
    table(
        ("step", "documents", "reused", "rows", "computed", "quarantined", "seconds"), rows,
        numeric=("documents", "reused", "rows", "computed", "quarantined", "seconds"),
    )  # fmt: skip


def _show_generations(outcomes: Sequence[PartitionOutcome]) -> None:
    """Which index answers from now on, and what the last run of each collection said of one that does not."""
    notes: dict[str, Sequence[str]] = {}
    for one in outcomes:
        committed = one.report.get("published_documents", {})
        if committed.get("promoted"):
            say(f"index generation {committed['promoted']} answers now; `etl-assets generation rollback` undoes that")
        notes[one.partition.rpartition(".")[0]] = committed.get("notes", ())
    for name, lines in notes.items():
        for line in lines:
            say(f"{name.replace('.', '/')}: {printable(line)}")


def _summed(step: str, parts: Sequence[Mapping[str, Any]]) -> tuple[int | float | None, ...]:
    """Documents, those whose whole result was known, rows, those of them that were computed, quarantined, seconds."""

    def total(*names: str) -> float:
        return float(sum(part.get(name, 0) for part in parts for name in names))

    seconds = total("elapsed_s") or total("seconds")
    if step == "raw_documents":
        return int(total("added", "changed", "removed")), None, None, None, int(total("quarantined")), seconds
    if step.endswith("_index"):
        return int(total("documents")), None, int(total("rows")), None, None, seconds
    return (
        int(total("computed", "reused")), int(total("reused")), int(total("rows")), int(total("rows_computed")),
        int(total("quarantined")), seconds,
    )  # fmt: skip


def _held_since(platform: Platform, keys: Sequence[str], started: float) -> list[tuple[str, str, str]]:
    """(place, reason, message) of what was put in quarantine by these runs."""
    from etl_assets.ledger import quarantine
    from etl_assets.ledger.catalogue import parse_partition_key

    names = {parse_partition_key(key)[:2] for key in keys}
    return [
        (f"{row.tenant}/{row.collection}/{row.path}", row.reason, row.message)
        for row in quarantine.rows(platform.ledger)
        if (row.tenant, row.collection) in names and row.last_at >= started - 1.0
    ]


def _show_held(held: Sequence[tuple[str, str, str]]) -> None:
    if held:
        say(f"{len(held):,} went to quarantine; their neighbours went on:")
        for place, reason, message in held[:SHOWN]:
            say(f"  {printable(place)}: {reason}: {shortened(message, 160)}")
        if len(held) > SHOWN:
            say("  and more: etl-assets quarantine list")
