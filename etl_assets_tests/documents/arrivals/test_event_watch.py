"""The event sensor: whatever the order of messages, the end is that of a listing, and nothing is done twice."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from sqlalchemy import func, select

from etl_assets.backends.allowed_arrivals import AllowedArrivals
from etl_assets.backends.s3_event_messages import read_message
from etl_assets.documents.arrivals.event_watch import STRANGE, Heard, watch_events
from etl_assets.documents.automation import document_events
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.documents.platform import Platform
from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger import requests, schema, touched
from etl_assets.ledger.requests import BACKOFF_S
from etl_assets.protocols.arrival_events import EventMessage
from etl_assets_tests.small_homes import SmallHome

ORDERS = range(8)
"""Seeds of random orders; ``real/test_more_histories.py`` plays 200."""


class Queue:
    """A queue of events that keeps what was received until it is taken out."""

    def __init__(self, random: random.Random | None = None) -> None:
        self.waiting: list[EventMessage] = []
        self.hidden: list[EventMessage] = []
        self._random = random
        self._number = 0

    def tell(self, *keys: str, problem: str = "") -> None:
        self._number += 1
        self.waiting.append(EventMessage(str(self._number), f"{self._number:032}", keys, problem))

    def receive(self) -> Sequence[EventMessage]:
        if self._random is not None:
            self._random.shuffle(self.waiting)
        part, self.waiting = self.waiting[:3], self.waiting[3:]
        self.hidden += part
        return part

    def done(self, messages: Sequence[EventMessage]) -> int:
        gone = {one.receipt for one in messages}
        self.hidden = [one for one in self.hidden if one.receipt not in gone]
        return 0

    def come_again(self) -> None:
        """Every message that was received and not taken out can be received once more."""
        self.waiting += self.hidden
        self.hidden = []


class Runs:
    """Runs that are known by their keys; ``None`` while they go on."""

    def __init__(self) -> None:
        self.known: dict[str, bool | None] = {}

    def outcome(self, run_key: str) -> bool | None:
        return self.known[run_key]

    def busy(self) -> frozenset[str]:
        return frozenset(key.split(":")[0] for key, ended in self.known.items() if ended is None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    return SmallHome.at(tmp_path_factory.mktemp("events") / "home", {})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SmallHome]:
    yield SmallHome.at(tmp_path / "home", {"a.txt": "One."})


def heard(home: SmallHome, queue: Queue, runs: Runs | None = None, platform: Platform | None = None) -> Heard:
    runs = runs or Runs()
    found = watch_events(platform or home.platform, runs, queue)
    for request in found.requests:
        assert request.run_key not in runs.known, "Dagster would skip it for ever"
        runs.known[request.run_key] = None
    return found


def take_in(home: SmallHome, found: Heard, runs: Runs, *, well: bool = True) -> list[dict[str, Any]]:
    """What each run that was asked for does first, and how it ends."""
    reports = []
    for request in found.requests:
        if well:
            with PartitionRun(home.platform, request.partition, run_id=request.run_key[-60:]) as run:
                run.raw_documents(only_touched=True)
            reports.append(run.report["raw_documents"])
        runs.known[request.run_key] = well
    return reports


def present(home: SmallHome, collection: str) -> dict[str, int]:
    """Size by path of what the ledger holds present."""
    o = schema.objects
    with home.platform.ledger.reading() as connection:
        query = select(o.c.path, o.c.size_bytes).where(o.c.end_seq.is_(None), o.c.cid == cid(home, collection))
        return dict(connection.execute(query).all())


def cid(home: SmallHome, collection: str) -> int:
    return home.partition(f"acme/{collection}").cid


def test_any_order_of_events_ends_as_the_store_does_and_takes_nothing_in_twice(shared: SmallHome) -> None:
    check_orders(shared, ORDERS)


def check_orders(shared: SmallHome, seeds: Iterable[int]) -> None:
    """Files written, overwritten and removed, their events told in any order, once or twice, and runs that may fail."""
    for seed in seeds:
        draw, name = random.Random(seed), f"order-{seed}"
        queue, runs, wanted = Queue(draw), Runs(), dict[str, int]()
        writes = 0
        for _ in range(draw.randint(3, 8)):
            path = draw.choice(("a.txt", "b b.txt", "deep/ü.txt"))
            if path in wanted and draw.random() < 0.35:
                shared.remove(path, collection=f"acme/{name}")
                del wanted[path]
            else:
                writes += 1
                shared.write(path, "x" * writes, collection=f"acme/{name}")
                wanted[path] = writes
            for _ in range(draw.choice((1, 1, 2))):
                queue.tell(f"acme/{name}/{path}")
            if draw.random() < 0.3:
                take_in(shared, heard(shared, queue, runs), runs, well=draw.random() < 0.9)
        while found := heard(shared, queue, runs).requests:
            take_in(shared, Heard(found), runs)
        _pass_time(shared)
        while found := heard(shared, queue, runs).requests:
            take_in(shared, Heard(found), runs)
        assert present(shared, name) == wanted and not queue.waiting and not queue.hidden, seed
        o = schema.objects
        with shared.platform.ledger.reading() as connection:
            versions = connection.scalar(select(func.count()).select_from(o).where(o.c.cid == cid(shared, name)))
            assert not touched.touched(connection, shared.partition(f"acme/{name}").key)
        assert versions is not None and versions <= writes, seed


def _pass_time(home: SmallHome) -> None:
    with home.platform.ledger.writing() as connection:
        connection.execute(schema.run_requests.update().values(retry_at=0.0))


def test_a_run_of_events_lists_nothing_and_looks_at_no_other_key(home: SmallHome) -> None:
    home.write("b.txt", "Two.")
    queue, runs = Queue(), Runs()
    queue.tell("acme/reports/b.txt")
    found = heard(home, queue, runs)
    assert (found.differed, [one.partition for one in found.requests]) == (1, [home.key])
    (report,) = take_in(home, found, runs)
    assert (report["listed"], report["added"]) == (1, 1)
    assert set(present(home, "reports")) == {"b.txt"}, "a.txt is for the listing"
    queue.tell("acme/reports/b.txt")
    assert (again := heard(home, queue, runs)).same == 1 and not again.requests


def test_a_message_goes_only_when_its_keys_are_in_the_ledger(home: SmallHome, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, runs = Queue(), Runs()
    queue.tell("acme/reports/a.txt")
    look = type(home.platform.arrivals).look

    def fails(*_: object) -> None:
        raise TransientError("the store does not answer")

    monkeypatch.setattr(type(home.platform.arrivals), "look", fails)
    assert (found := heard(home, queue, runs)).problems == ["the store does not answer"] and not found.requests
    assert queue.hidden
    queue.come_again()
    monkeypatch.setattr(type(home.platform.arrivals), "look", look)
    monkeypatch.setattr(queue, "done", fails)
    assert heard(home, queue, runs).requests, "the queue failed after the ledger had it"
    queue.come_again()
    monkeypatch.undo()
    take_in(home, Heard(list(_requests(home).values())), runs)
    assert heard(home, queue, runs).same == 1 and not queue.hidden


def _requests(home: SmallHome) -> dict[str, requests.RunRequest]:
    with home.platform.ledger.reading() as connection:
        return requests.requests(connection)


def test_strange_messages_are_held_and_their_neighbours_go_on(home: SmallHome) -> None:
    queue = Queue()
    queue.tell(problem="is not JSON: 'x'")
    queue.tell("acme/reports/a.txt")
    queue.tell("stray.txt", "acme", "BAD/reports/a.txt", "acme/reports//b.txt", "acme/reports/.hidden")
    found = heard(home, queue)
    assert (found.strange, found.outside, found.same, len(found.requests)) == (1, 3, 2, 1)
    assert not queue.hidden and [reason for _, reason in home.held().values()] == [STRANGE]


def test_a_failed_run_is_asked_for_again_when_its_time_has_come(home: SmallHome) -> None:
    queue, runs = Queue(), Runs()
    queue.tell("acme/reports/a.txt")
    take_in(home, heard(home, queue, runs), runs, well=False)
    assert not heard(home, queue, runs).requests
    with home.platform.ledger.writing() as connection:
        earlier = schema.run_requests.c.retry_at - BACKOFF_S
        connection.execute(schema.run_requests.update().values(retry_at=earlier))
    assert len(heard(home, queue, runs).requests) == 1


def test_keys_that_come_while_a_run_goes_on_wait_for_its_end(home: SmallHome) -> None:
    queue, runs = Queue(), Runs()
    queue.tell("acme/reports/a.txt")
    first = heard(home, queue, runs)
    home.write("b.txt", "Two.")
    queue.tell("acme/reports/b.txt")
    assert not heard(home, queue, runs).requests and not queue.hidden
    take_in(home, first, runs)
    assert set(present(home, "reports")) == {"a.txt", "b.txt"}, "the run looks at what waits when it begins"
    home.remove("a.txt")
    queue.tell("acme/reports/a.txt")
    take_in(home, heard(home, queue, runs), runs)
    assert set(present(home, "reports")) == {"b.txt"}


def test_a_store_that_seems_lost_deletes_nothing(home: SmallHome) -> None:
    queue, runs = Queue(), Runs()
    queue.tell("acme/reports/a.txt")
    take_in(home, heard(home, queue, runs), runs)
    objects = home.settings.home.objects
    objects.rename(objects.with_name("unmounted"))
    objects.mkdir()
    queue.tell("acme/reports/a.txt")
    found = heard(home, queue, runs)
    with pytest.raises(PermanentError, match="unmounted"):
        take_in(home, found, runs)
    assert present(home, "reports")


def test_keys_of_tenants_that_are_not_let_in_are_reported_and_left_alone(home: SmallHome) -> None:
    home.write("x.txt", "Mine.", collection="evil/mail")
    store = AllowedArrivals(home.platform.arrivals, ["ac*", "beta"])
    platform = replace(home.platform, arrivals=store)
    queue = Queue()
    queue.tell("evil/mail/x.txt")
    queue.tell("acme/reports/a.txt")
    found = heard(home, queue, platform=platform)
    assert [one.partition for one in found.requests] == [home.key] and found.partitions == {home.key}
    assert len(found.problems) == 1 and "ETL_TENANTS" in found.problems[0]


def test_the_sensor_tags_its_runs_adds_partitions_and_says_what_it_did(home: SmallHome) -> None:
    queue = Queue()
    queue.tell("acme/reports/a.txt")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance)
        store = SimpleNamespace(interval_s=30, platform=home.platform, events=queue)
        result = cast(dg.SensorResult, document_events(context, arrivals=store))
        (request,) = result.run_requests or []
        assert request.tags["etl_assets/intake"] == "touched" and request.tags["tenant"] == "acme"
        assert [list(one.partition_keys) for one in result.dynamic_partitions_requests or []] == [[home.key]]
        quiet = cast(dg.SensorResult, document_events(context, arrivals=store))
        assert "0 messages" in str(quiet.skip_reason)
        store.events = None
        unset = cast(dg.SensorResult, document_events(context, arrivals=store))
        assert "no queue of events is set" in str(unset.skip_reason)


def record(key: str, bucket: str = "b") -> dict[str, Any]:
    return {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}


NOTICE = json.dumps({"Records": [record("p/acme/reports/with+space+%C3%BC.txt")]})


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (NOTICE, ("acme/reports/with space ü.txt",)),
        (json.dumps({"Type": "Notification", "Message": NOTICE}), ("acme/reports/with space ü.txt",)),
        (
            json.dumps({
                "source": "aws.s3", "detail-type": "Object Deleted",
                "detail": {"bucket": {"name": "b"}, "object": {"key": "p/acme/reports/a+b%20.txt"}},
            }),
            ("acme/reports/a+b%20.txt",),
        ),
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}), ()),
        (json.dumps({"Records": [record("elsewhere/acme/reports/a.txt")]}), ()),
        (json.dumps({"Records": [record("p/t/c/1"), record("p/t/c/2"), record("p/t/c/1")]}), ("t/c/1", "t/c/2")),
    ],
)  # fmt: skip
def test_every_form_of_event_names_its_keys(text: str, keys: tuple[str, ...]) -> None:
    message = read_message(text, "r", "b", "p/")
    assert (message.keys, message.problem) == (keys, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "is not JSON"), ("[]", "is no JSON object"), ("{}", "is no event of S3"), ("[" * 100_000, "is not JSON"),
        (json.dumps({"Records": [{}]}), "names no bucket and key"), (json.dumps({"Records": [3]}), "names no bucket"),
        (json.dumps({"Records": [record("p/%FF")]}), "not UTF-8"),
        (json.dumps({"Records": [record("p/a", "other")]}), "tells of the bucket 'other'"),
        (json.dumps({"source": "aws.s3", "detail": {"bucket": {"name": 3}, "object": {"key": 1}}}), "names no bucket"),
    ],
)  # fmt: skip
def test_a_strange_message_says_what_is_strange_about_it(text: str, problem: str) -> None:
    message = read_message(text, "r", "b", "p/")
    assert problem in message.problem and len(message.problem) < 400 and message.keys == ()
