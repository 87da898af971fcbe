"""What the event sensor decides, without Dagster: from messages about keys to partitions that are due for a run.

A message is a hint. Its keys are looked up in the store and compared with the ledger, so its order, its repetition and
what it says happened do not matter. What differs is entered in the ledger, and only then is the message taken out of
the queue: a tick that dies anywhere loses nothing. Everything here costs in proportion to messages and to keys that
wait, never to the size of the store; what events never told of is found by the reconciling listing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.documents.arrivals.touched import compare_keys
from etl_assets.documents.arrivals.watch import RunStates, ask, paused_among, settle_ended, waiting_in
from etl_assets.documents.model import NAME
from etl_assets.documents.platform import Platform
from etl_assets.errors import DataError, EtlAssetsError
from etl_assets.ledger import quarantine, touched
from etl_assets.ledger.database import clock, digest_of
from etl_assets.ledger.requests import RunRequest
from etl_assets.ledger.touched import Waiting
from etl_assets.protocols.arrival_events import ArrivalEvents, EventMessage

MESSAGES_PER_TICK = 5_000
BATCH_MESSAGES = 500
"""Messages whose keys are looked up together, in one transaction: this bounds the memory of a tick."""
TICK_S = 30.0
STRANGE = "strange-event"
"""Reason under which a message that cannot be read is quarantined."""


@dataclass(slots=True)
class Heard:
    """What one tick did. ``differed`` counts keys entered for a run, ``same`` those that the ledger has already.

    ``outside`` counts keys that lie in no collection, ``strange`` messages that were held; ``left`` those that could
    not be taken out of the queue. ``has_more`` when it stopped before the queue was empty. ``paused`` partitions have
    keys that wait.
    """

    requests: list[RunRequest] = field(default_factory=list)
    partitions: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    messages: int = 0
    differed: int = 0
    same: int = 0
    outside: int = 0
    strange: int = 0
    left: int = 0
    has_more: bool = False


def watch_events(
    platform: Platform, runs: RunStates, events: ArrivalEvents, *, clock_s: Callable[[], float] = time.monotonic
) -> Heard:
    """Empty the queue as far as time allows, and say which runs to start.

    What is asked for is entered in the ledger before this returns. A failure of the queue or of the store is named in
    ``problems``; messages that were not looked into come again.
    """
    started = clock_s()
    heard = Heard()
    try:
        while batch := _received(events, heard, lambda: clock_s() - started < TICK_S):
            _look_into(platform, batch, heard)
            heard.left += events.done(batch)
            if heard.has_more:
                break
    except EtlAssetsError as e:
        heard.problems.append(str(e))
    _ask(platform, runs, heard)
    return heard


def _received(events: ArrivalEvents, heard: Heard, has_time: Callable[[], bool]) -> list[EventMessage]:
    """The next batch; empty when the queue is."""
    batch: list[EventMessage] = []
    while len(batch) < BATCH_MESSAGES:
        if heard.messages >= MESSAGES_PER_TICK or not has_time():
            heard.has_more = True
            break
        part = events.receive()
        if not part:
            break
        batch += part
        heard.messages += len(part)
    return batch


def _look_into(platform: Platform, batch: Sequence[EventMessage], heard: Heard) -> None:
    strange = [one for one in batch if one.problem]
    keys = [key for one in batch for key in one.keys]
    shards = _shards(platform, keys)
    modes = {name: platform.collections.of(*name).update_mode for name in shards}
    compared = compare_keys(platform.ledger, platform.arrivals, shards, keys, modes)
    if compared.touched or strange:
        with platform.ledger.writing() as connection:
            touched.touch(connection, compared.touched)
            quarantine.hold(connection, None, quarantine.RAW_STAGE, 0, [_held(one) for one in strange])
    heard.partitions |= set(compared.partitions)
    heard.differed += len(compared.touched)
    heard.same += compared.same
    heard.outside += compared.outside
    heard.strange += len(strange)
    heard.problems += [f"an event {one.problem}" for one in strange[:3]]
    heard.problems += compared.refused.values()


def _shards(platform: Platform, keys: Sequence[str]) -> dict[tuple[str, str], int]:
    """Shards of each collection that the keys are in; other keys are in none."""
    names = {(parts[0], parts[1]) for key in keys if len(parts := key.split("/", 2)) == 3}
    return {name: platform.collections.of(*name).shards for name in names if all(NAME.fullmatch(part) for part in name)}


def _held(message: EventMessage) -> quarantine.Held:
    error = DataError(f"an event {message.problem}", reason=STRANGE)
    return quarantine.Held(message.digest, f"event {message.digest}", "", error, message.digest)


def _ask(platform: Platform, runs: RunStates, heard: Heard) -> None:
    """Ask for partitions with keys that wait, and again for those whose last run failed."""
    # First: what is due by a request that has ended since is not asked for again.
    known = settle_ended(platform, runs)
    with platform.ledger.reading() as connection:
        at = clock(connection)
        keys = list(touched.waiting(connection))
    waiting = waiting_in(platform.ledger, keys)
    failed = {one.partition for one in known.values() if one.failures and not one.open and one.retry_at <= at}
    found = _due(waiting, known, failed)
    if found:
        heard.paused = paused_among(platform.ledger, found)
        skipped = runs.busy() | heard.paused
        heard.requests = ask(platform.ledger, {key: due for key, due in found.items() if key not in skipped}, known)
    heard.partitions |= {one.partition for one in heard.requests}


def _due(
    waiting: Mapping[str, Waiting], known: Mapping[str, RunRequest], failed: set[str]
) -> dict[str, tuple[str, str]]:
    found = {key: (one.digest, digest_of(one.digest)[:16]) for key, one in waiting.items()}
    for key in failed - found.keys():
        found[key] = ("", digest_of(["again", known[key].run_key])[:16])
    return {key: due for key, due in found.items() if key not in known or not known[key].open}
