"""What the arrival sensor decides, without Dagster: which partitions are due for a run, and under which run key.

Design section 5: nothing is asked for while a partition has an unfinished run; the revision in the run key rises when
the run that was asked for is known to have ended, or was never started.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from etl_assets.documents.arrivals import hold_strays, hold_unusable, survey
from etl_assets.documents.pending import reader, recipe_digest
from etl_assets.documents.platform import Platform
from etl_assets.errors import EtlAssetsError
from etl_assets.ledger import requests, settled
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.database import Ledger, clock, digest_of
from etl_assets.ledger.requests import RunRequest
from etl_assets.protocols.arrival_events import ArrivalEvents

MISSING_AFTER_S = 120.0
"""A run that was asked for so long ago and that Dagster has never heard of was lost with the tick that asked."""

REQUESTS_PER_TICK = 100
TICK_S = 30.0
"""A tick stops listing after this time and goes on where it stopped: Dagster gives up on a sensor after 60 s."""


class RunStates(Protocol):
    """What Dagster knows about runs, as this module asks it."""

    def outcome(self, run_key: str) -> bool | None:
        """Whether the newest run of a key succeeded; ``None`` while it goes on.

        Raises:
            LookupError: there is no such run.
        """
        ...

    def busy(self) -> frozenset[str]:
        """Partition keys with an unfinished run, whoever started it."""
        ...


class ArrivalStore(Protocol):
    """What the sensor is given: how often to look, and a platform that is opened only when it looks."""

    @property
    def interval_s(self) -> float:
        """Least time between two looks, in seconds."""
        ...

    @property
    def platform(self) -> Platform:
        """The installation, opened at the first use. Raises as opening it does."""
        ...

    @property
    def events(self) -> ArrivalEvents | None:
        """The queue that tells of arrivals; ``None`` where there is none, and only listings tell."""
        ...


@dataclass(slots=True)
class Wanted:
    """What one tick asks for. ``partitions`` are all that exist in what was looked at; ``problems`` are for the log.

    ``resume`` is the collection to begin with next time, "" after a full round.
    """

    requests: list[RunRequest] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    held: int = 0
    resume: str = ""


@dataclass(frozen=True, slots=True)
class _Due:
    """Work of one partition: ``arrivals`` is the digest of changed keys ("" when none), ``digest`` of everything."""

    arrivals: str
    digest: str


def watch(
    platform: Platform, runs: RunStates, *, resume: str = "", clock_s: Callable[[], float] = time.monotonic
) -> Wanted:
    """Compare the store with the ledger, collection by collection, and say which runs to start.

    A collection that cannot be listed is named in ``problems`` and does not keep the others from being looked at.
    What is asked for is entered in the ledger before this returns.
    """
    started = clock_s()
    wanted = Wanted()
    known = settle_ended(platform, runs)
    busy = runs.busy()
    found: dict[str, _Due] = {}
    names = _names(platform, wanted) if not resume else _collections(platform)
    for tenant, collection in _from(names, resume):
        if clock_s() - started > TICK_S or len(found) >= REQUESTS_PER_TICK:
            wanted.resume = f"{tenant}/{collection}"
            break
        try:
            found.update(_look(platform, tenant, collection, wanted, skip=busy))
        except EtlAssetsError as e:
            wanted.problems.append(f"{tenant}/{collection}: {e}")
    _ask(platform, found, known, wanted)
    return wanted


def settle_ended(platform: Platform, runs: RunStates) -> dict[str, RunRequest]:
    """The last request of every partition, those whose run has ended settled."""
    with platform.ledger.reading() as connection:
        known = requests.requests(connection)
        at = clock(connection)
    changed: dict[str, RunRequest] = {}
    for one in known.values():
        if one.open:
            try:
                outcome = runs.outcome(one.run_key)
            except LookupError:
                outcome = False if at - one.requested_at > MISSING_AFTER_S else None
            if outcome is not None:
                changed[one.partition] = one.settled(succeeded=outcome, at=at)
    if changed:
        with platform.ledger.writing() as connection:
            requests.save(connection, changed)
    return {**known, **changed}


def _names(platform: Platform, wanted: Wanted) -> list[tuple[str, str]]:
    """Every collection; at the beginning of a round, also what belongs to none is held."""
    try:
        wanted.held += hold_strays(platform.ledger, platform.arrivals)
    except EtlAssetsError as e:
        wanted.problems.append(f"files outside every collection: {e}")
    return _collections(platform)


def _collections(platform: Platform) -> list[tuple[str, str]]:
    """Those in the store, and those in the ledger: a collection whose last file went is no folder any more."""
    entered = {(one.tenant, one.collection) for one in partitions(platform.ledger)}
    return sorted(entered | set(platform.arrivals.collections()))


def _from(names: Sequence[tuple[str, str]], resume: str) -> Iterator[tuple[str, str]]:
    tenant, _, collection = resume.partition("/")
    yield from (name for name in names if name >= (tenant, collection))


def _look(
    platform: Platform, tenant: str, collection: str, wanted: Wanted, *, skip: frozenset[str]
) -> Iterator[tuple[str, _Due]]:
    """Partitions of one collection that have work to do."""
    settings = platform.collections.of(tenant, collection)
    found = survey(platform.ledger, platform.arrivals, tenant, collection, shards=settings.shards)
    wanted.held += hold_unusable(platform.ledger, tenant, collection, found.unusable)
    wanted.partitions += [one.key for one in found.partitions]
    recipe = recipe_digest(reader(platform, found.partitions[0]))
    with platform.ledger.reading() as connection:
        up_to_date, dirty = settled.settled(connection), settled.dirty(connection)
    for one in found.partitions:
        changes = found.changes[one.key]
        arrivals = changes.digest() if changes else ""
        left = _left_over(platform, one, recipe, up_to_date, dirty) if not arrivals and one.key not in skip else ""
        if (arrivals or left) and one.key not in skip:
            yield one.key, _Due(arrivals, digest_of([arrivals, left])[:16])


def _left_over(
    platform: Platform, partition: Partition, recipe: str, up_to_date: Mapping[str, str], dirty: frozenset[str]
) -> str:
    """What to do although nothing arrived: a run died, or parameters or code changed. "" for nothing.

    The two cheap questions come first; a partition that never had a document has nothing to bring up to date.
    """
    if up_to_date.get(partition.key) == recipe and partition.key not in dirty:
        return ""
    return f"left over under {recipe}" if reader(platform, partition).pending() else ""


def _ask(platform: Platform, found: Mapping[str, _Due], known: Mapping[str, RunRequest], wanted: Wanted) -> None:
    wanted.requests += ask(platform.ledger, {key: (due.arrivals, due.digest) for key, due in found.items()}, known)


def ask(ledger: Ledger, found: Mapping[str, tuple[str, str]], known: Mapping[str, RunRequest]) -> list[RunRequest]:
    """Enter a request for each partition that is due, and return them; ``found`` is (arrivals, digest) of its work.

    ``known`` may be older: another sensor may have asked meanwhile, so what is due by it is read again under a lock.
    """
    with ledger.reading() as connection:
        at = clock(connection)
    due = [key for key, (arrivals, _) in found.items() if key not in known or known[key].is_due(arrivals, at=at)]
    if not due:
        return []
    asked: list[RunRequest] = []
    with ledger.writing() as connection:
        requests.hold(connection)
        latest = requests.requests(connection, due)
        for key in sorted(due):
            last, (arrivals, digest) = latest.get(key), found[key]
            if last is None or (last == known.get(key) and last.is_due(arrivals, at=at)):
                asked.append(requests.next_request(last, key, digest, arrivals, at=at))
        requests.save(connection, {one.partition: one for one in asked})
    return asked


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the last look stopped, and when it was (Unix seconds UTC). Losing it costs one look too many."""

    resume: str = ""
    looked_at: float = 0.0

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """A cursor that was written; one that cannot be read begins a new round."""
        try:
            value = json.loads(text or "{}")
            return cls(str(value.get("resume", "")), float(value.get("looked_at", 0.0)))
        except (ValueError, TypeError, AttributeError):
            return cls()

    def written(self) -> str:
        """As Dagster keeps it."""
        return json.dumps({"resume": self.resume, "looked_at": round(self.looked_at, 3)})

    def is_due(self, at: float, interval_s: float) -> bool:
        """Whether to look again: the interval has passed, a round is not over, or the clock went back."""
        return bool(self.resume) or not self.looked_at <= at < self.looked_at + interval_s
