"""What the arrival sensor decides, without Dagster: which partitions are due for a run, and under which run key.

Design section 5: nothing is asked for while a partition has an unfinished run; the revision in the run key rises when
the run that was asked for is known to have ended, or was never started.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from etl_assets.documents.arrivals.listing_pass import look_at
from etl_assets.documents.arrivals.unusable_keys import hold_strays
from etl_assets.documents.pending import reader, recipe_digest
from etl_assets.documents.platform import Platform
from etl_assets.documents.publication.moves import moved_stores
from etl_assets.errors import EtlAssetsError
from etl_assets.ledger import objects, requests, settled, touched
from etl_assets.ledger.catalogue import Partition, ensure_collection, partitions
from etl_assets.ledger.controls import controls
from etl_assets.ledger.database import Ledger, clock, digest_of
from etl_assets.ledger.requests import RunRequest
from etl_assets.ledger.touched import Waiting
from etl_assets.protocols.arrival_events import ArrivalEvents

MISSING_AFTER_S = 120.0
"""A run that was asked for so long ago and that Dagster has never heard of was lost with the tick that asked."""

REQUESTS_PER_TICK = 100
TICK_S = 30.0
PAGES_PER_TICK = 1_000
"""A tick stops listing after this time, or so many pages of 1,000 keys, and the next goes on where it stopped: Dagster
gives up on a sensor after 60 s, and ids of what was seen take 100 MB for a million keys.
"""
KEYS_PER_LISTED_KEY = 80
"""A run lists a collection when one in so many of its keys is to be looked at: a request that lists 1,000 keys costs
12.5 times as much as one that looks at a single key (aws.amazon.com/s3/pricing, 2026).
"""


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

    ``resume`` is the collection to begin with next time, "" after a full round. ``few`` are partitions in which so few
    keys differ that their runs need not list. ``paused`` ones have work that is asked for once they are resumed.
    """

    requests: list[RunRequest] = field(default_factory=list)
    few: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    partitions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    held: int = 0
    resume: str = ""


@dataclass(frozen=True, slots=True)
class _Due:
    """Work of one partition: ``arrivals`` is the digest of changed keys ("" when none), ``digest`` of everything."""

    arrivals: str
    digest: str


class _Budget:
    """What one tick may spend."""

    def __init__(self, clock_s: Callable[[], float], pages: int) -> None:
        self._clock_s = clock_s
        self._until = clock_s() + TICK_S
        self._pages = pages

    def is_left(self) -> bool:
        return self._clock_s() <= self._until and self._pages > 0

    def is_left_after_a_page(self) -> bool:
        self._pages -= 1
        return self.is_left()


def watch(
    platform: Platform, runs: RunStates, *, resume: str = "", clock_s: Callable[[], float] = time.monotonic,
    pages: int = PAGES_PER_TICK,
) -> Wanted:  # fmt: skip
    """Compare the store with the ledger, collection by collection, and say which runs to start.

    A collection that cannot be listed is named in ``problems`` and does not keep the others from being looked at.
    What is asked for is entered in the ledger before this returns. What other processes do at the same time, this very
    function included, does no harm.
    """
    budget = _Budget(clock_s, pages)
    wanted = Wanted()
    # Before the looking: what is due by a request that has ended since is not asked for again.
    known = settle_ended(platform, runs)
    busy = runs.busy()
    found: dict[str, _Due] = {}
    names = _names(platform, wanted) if not resume else _collections(platform)
    for tenant, collection in _from(names, resume):
        is_over = False
        if budget.is_left() and len(found) < REQUESTS_PER_TICK:
            try:
                places, is_over = _look(platform, tenant, collection, wanted, budget)
                found.update(_due(platform, places, wanted, skip=busy))
            except EtlAssetsError as e:
                is_over = True
                wanted.problems.append(f"{tenant}/{collection}: {e}")
        if not is_over:
            wanted.resume = f"{tenant}/{collection}"
            break
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
    platform: Platform, tenant: str, collection: str, wanted: Wanted, budget: _Budget
) -> tuple[list[Partition], bool]:
    """The partitions of a collection, which was looked at, and whether all of it was.

    What a listing that broke off has seen is due like anything else.
    """
    settings = platform.collections.of(tenant, collection)
    places = ensure_collection(platform.ledger, tenant, collection, shards=settings.shards)
    wanted.partitions += [one.key for one in places]
    try:
        look = look_at(
            platform.ledger, platform.arrivals, places, has_time=budget.is_left_after_a_page, mode=settings.update_mode
        )  # fmt: skip
    except EtlAssetsError as e:
        wanted.problems.append(f"{tenant}/{collection}: {e}")
        return places, True
    wanted.held += look.held
    return places, look.is_over


def _due(
    platform: Platform, places: Sequence[Partition], wanted: Wanted, *, skip: frozenset[str]
) -> Iterator[tuple[str, _Due]]:
    """Partitions of one collection that have work to do."""
    idle = [one for one in places if one.key not in skip]
    arrived = waiting_in(platform.ledger, [one.key for one in idle])
    recipe = recipe_digest(reader(platform, places[0]))
    with platform.ledger.reading() as connection:
        up_to_date, dirty = settled.settled(connection), settled.dirty(connection)
        documents = objects.present_count(connection, places[0].cid) if arrived else 0
    for one in idle:
        if keys := arrived.get(one.key):
            if keys.count * KEYS_PER_LISTED_KEY <= documents:
                wanted.few.add(one.key)
            yield one.key, _Due(keys.digest, digest_of([keys.digest, ""])[:16])
        elif left := _left_over(platform, one, recipe, up_to_date, dirty):
            yield one.key, _Due("", digest_of(["", left])[:16])


def waiting_in(ledger: Ledger, partitions: Sequence[str]) -> Mapping[str, Waiting]:
    """What waits for a run in each of these partitions, without what a run has looked at already."""
    with ledger.reading() as connection:
        found = touched.waiting(connection, partitions)
    if found:
        with ledger.writing() as connection:
            touched.drop_settled(connection, found)
            found = touched.waiting(connection, found)
    return found


def _left_over(
    platform: Platform, partition: Partition, recipe: str, up_to_date: Mapping[str, str], dirty: frozenset[str]
) -> str:
    """What to do although nothing arrived: a run died, or parameters or code changed. "" for nothing.

    The two cheap questions come first; a partition that never had a document has nothing to bring up to date.
    """
    if up_to_date.get(partition.key) == recipe and partition.key not in dirty and not moved_stores(platform, partition):
        return ""
    return f"left over under {recipe}" if reader(platform, partition).pending() else ""


def _ask(platform: Platform, found: Mapping[str, _Due], known: Mapping[str, RunRequest], wanted: Wanted) -> None:
    wanted.paused = paused_among(platform.ledger, found)
    due = {key: (one.arrivals, one.digest) for key, one in found.items() if key not in wanted.paused}
    wanted.requests += ask(platform.ledger, due, known)


def paused_among(ledger: Ledger, partitions: Iterable[str]) -> set[str]:
    """Those of these partitions that a person paused: what they need is found again when they are not any more."""
    now = controls(ledger)
    return {key for key in partitions if now.pause_of(key) is not None} if now.by_scope else set()


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
