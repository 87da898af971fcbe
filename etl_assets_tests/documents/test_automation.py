"""The arrival sensor: one run per change, never two at once, and again whenever there is a reason."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import func, select, update

from etl_assets.asset_keys import DOCUMENT_SHARDS, INGEST_JOB
from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.documents.arrivals import watch as arrival_watch
from etl_assets.documents.arrivals.watch import Cursor, watch
from etl_assets.documents.automation import document_arrivals
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.partitions import PARTITION_TAG
from etl_assets.documents.run_states import CODE_SERVER_TAG, RUN_KEY_TAG, SILENT_S
from etl_assets.ledger import controls, schema, touched
from etl_assets.ledger.leases import acquire
from etl_assets.ledger.requests import BACKOFF_S, LONGEST_BACKOFF_S, next_request
from etl_assets.protocols.objects import Arrivals, ListedPage
from etl_assets.resources.document_runs import ArrivalsResource, OpenedArrivals, settings_from_environment
from etl_assets_tests.small_homes import STATIC, SmallHome


@dataclass
class Sensor:
    """The sensor on a real instance; what it asks for is entered there as runs, as the daemon would do."""

    home: SmallHome
    instance: dg.DagsterInstance
    cursor: str | None = None
    asked: list[str] = field(default_factory=list)

    def tick(self) -> list[str]:
        """Partition keys that this tick asks a run for."""
        result = self.look()
        self.cursor = None  # every tick of these tests looks: the interval has a test of its own
        runs = []
        for request in result.run_requests or []:
            assert request.run_key is not None and request.run_key not in self.asked, "Dagster would skip it for ever"
            self.asked.append(request.run_key)
            tags = {**request.tags, RUN_KEY_TAG: request.run_key, PARTITION_TAG: str(request.partition_key)}
            create_run_for_test(self.instance, INGEST_JOB, tags=tags, status=dg.DagsterRunStatus.STARTED)
            runs.append(str(request.partition_key))
        for added in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(DOCUMENT_SHARDS, list(added.partition_keys))
        return runs

    def look(self) -> dg.SensorResult:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        store = SimpleNamespace(interval_s=30, platform=self.home.platform, events=None)
        result = document_arrivals(context, arrivals=store)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return result

    @property
    def newest(self) -> dg.DagsterRun:
        return self.instance.get_runs(limit=1)[0]

    def end(self, *, well: bool = True) -> None:
        """End the newest run, having done its work when it goes well."""
        if well:
            self.work(self.newest.run_id)
            self.instance.handle_new_event(event(self.newest, dg.DagsterEventType.RUN_SUCCESS))
        else:
            self.instance.report_run_failed(self.newest)

    def work(self, run_id: str) -> None:
        partition = self.newest.tags[PARTITION_TAG]
        with PartitionRun(self.home.platform, partition, run_id=run_id) as run:
            all_steps(run)

    def pass_time(self, seconds: float) -> None:
        table = schema.run_requests
        with self.home.platform.ledger.writing() as connection:
            earlier = {"retry_at": table.c.retry_at - seconds, "requested_at": table.c.requested_at - seconds}
            connection.execute(update(table).values(earlier))


def event(run: dg.DagsterRun, kind: dg.DagsterEventType) -> dg.EventLogEntry:
    import time

    happened = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
    return dg.EventLogEntry(
        user_message="", level=20, job_name=run.job_name, run_id=run.run_id, error_info=None, timestamp=time.time(),
        dagster_event=happened,
    )  # fmt: skip


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Sensor]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Sensor(SmallHome.at(tmp_path / "home", {"a.txt": "One document about EMOTET."}), instance)


def test_what_is_paused_is_not_asked_for_and_is_once_it_is_resumed(sensor: Sensor) -> None:
    sensor.home.write("one.txt", "One.")
    ledger = sensor.home.platform.ledger
    ensure = sensor.home.partition()
    controls.pause(ledger, "acme", reason="", by="me")
    assert sensor.tick() == []
    skipped = sensor.look().skip_reason
    assert skipped is not None and ensure.key in str(skipped.skip_message)
    controls.resume(ledger, "acme", by="me")
    controls.prioritise(ledger, "acme/reports", 4, by="me")
    sensor.cursor = None
    (request,) = sensor.look().run_requests or []
    assert request.tags["dagster/priority"] == "4" and request.partition_key == ensure.key


def test_new_files_are_asked_for_once_and_their_partition_is_added(sensor: Sensor) -> None:
    assert sensor.tick() == [sensor.home.key]
    assert sensor.instance.get_dynamic_partitions(DOCUMENT_SHARDS) == [sensor.home.key]
    assert sensor.newest.tags["tenant"] == "acme" and sensor.newest.tags["collection"] == "reports"
    assert sensor.tick() == [], "its run is unfinished"
    sensor.end()
    assert sensor.tick() == sensor.tick() == []


def test_only_touched_partitions_are_asked_for(sensor: Sensor) -> None:
    sensor.home.write("b.txt", "Another one.", collection="zeta/mail")
    assert sensor.tick() == [sensor.home.key, "zeta.mail.00-of-01"]
    for run in sensor.instance.get_runs():
        with PartitionRun(sensor.home.platform, run.tags[PARTITION_TAG], run_id=run.run_id) as work:
            all_steps(work)
        sensor.instance.handle_new_event(event(run, dg.DagsterEventType.RUN_SUCCESS))
    sensor.home.write("c.txt", "A third one.", collection="zeta/mail")
    assert sensor.tick() == ["zeta.mail.00-of-01"]


def test_a_file_that_goes_from_a_to_b_and_back_is_asked_for_every_time(sensor: Sensor) -> None:
    for text in ("A", "B", "A", "B", "A"):
        sensor.home.write("a.txt", f"The document says {text}.")
        assert sensor.tick() == [sensor.home.key], text
        sensor.end()
        assert sensor.tick() == []
    assert len(sensor.asked) == 5


def test_a_change_while_a_run_is_unfinished_is_asked_for_when_it_has_ended(sensor: Sensor) -> None:
    sensor.tick()
    sensor.home.write("late.txt", "It came late.")
    assert sensor.tick() == []
    sensor.instance.handle_new_event(event(sensor.newest, dg.DagsterEventType.RUN_SUCCESS))
    assert sensor.tick() == [sensor.home.key], "the run had listed before the file came"


def test_a_removed_file_is_asked_for_even_when_it_was_the_last_one(sensor: Sensor) -> None:
    sensor.tick()
    sensor.end()
    sensor.home.remove("a.txt")
    assert sensor.tick() == [sensor.home.key]
    sensor.end()
    assert sensor.home.published() == {} and sensor.tick() == []
    (sensor.home.settings.home.objects / "acme" / "reports").rmdir()
    assert sensor.tick() == []


def test_a_failed_run_is_asked_for_again_later_and_later(sensor: Sensor) -> None:
    sensor.tick()
    for attempt in range(4):
        sensor.end(well=False)
        assert sensor.tick() == [], "too early"
        sensor.pass_time(BACKOFF_S * 2**attempt - 5)
        assert sensor.tick() == [], "still too early"
        sensor.pass_time(5)
        assert sensor.tick() == [sensor.home.key]
    sensor.end()
    sensor.home.write("a.txt", "Changed.")
    assert sensor.tick() == [sensor.home.key], "a success ends the waiting"


def test_waiting_never_grows_beyond_an_hour() -> None:
    request = next_request(None, "p", "d", "a", at=0.0)
    for _ in range(30):
        request = request.settled(succeeded=False, at=0.0)
    assert request.retry_at == LONGEST_BACKOFF_S and request.revision == 30


def test_other_changes_need_not_wait_for_a_failed_run(sensor: Sensor) -> None:
    sensor.tick()
    sensor.end(well=False)
    assert sensor.tick() == []
    sensor.home.write("a.txt", "Somebody repaired the file.")
    assert sensor.tick() == [sensor.home.key]


def test_a_request_that_dagster_never_heard_of_is_made_again(sensor: Sensor) -> None:
    result = sensor.look()  # the daemon dies before it makes the run
    assert result.run_requests
    sensor.cursor = None
    assert sensor.tick() == [], "the daemon may still be at it"
    sensor.pass_time(arrival_watch.MISSING_AFTER_S + 1)
    sensor.tick()
    sensor.pass_time(BACKOFF_S)
    assert sensor.tick() == [sensor.home.key]


def test_a_run_that_a_person_started_is_waited_for(sensor: Sensor) -> None:
    sensor.tick()
    sensor.end()
    sensor.instance.add_run_tags(sensor.newest.run_id, {"kept": "yes"})
    sensor.home.write("a.txt", "Changed.")
    sensor.tick()
    by_hand = sensor.newest
    with sensor.home.platform.ledger.writing() as connection:
        connection.execute(schema.run_requests.delete())
    assert sensor.tick() == [], "the sensor did not ask for it, and still it is at work"
    sensor.instance.report_run_failed(by_hand)
    assert sensor.tick() == [sensor.home.key]


def test_a_run_whose_process_died_is_reported_and_its_work_asked_for_again(sensor: Sensor) -> None:
    sensor.tick()
    dead = sensor.newest
    with PartitionRun(sensor.home.platform, sensor.home.key, run_id=dead.run_id) as run:
        run.raw_documents()
        lease = run.lease
        run._lease = None  # it is never released
    assert sensor.tick() == [], "its lease is alive"
    lease.release()
    sensor.tick()
    ended = sensor.instance.get_run_by_id(dead.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.FAILURE
    sensor.tick()
    sensor.pass_time(BACKOFF_S)
    assert sensor.tick() == [sensor.home.key], "nothing arrived, and there is work left"
    sensor.end()
    assert sensor.home.published() and sensor.tick() == []


@pytest.mark.parametrize("listening", [False, True])
def test_a_run_that_died_before_it_took_its_partition_is_reported_and_asked_for_again(
    sensor: Sensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: bool
) -> None:
    assert sensor.tick() == [sensor.home.key]
    server = {"host": "localhost", "socket": str(tmp_path / "server")}
    tags = {**sensor.newest.tags, CODE_SERVER_TAG: json.dumps(server)}
    sensor.instance.delete_run(sensor.newest.run_id)
    run = create_run_for_test(sensor.instance, INGEST_JOB, tags=tags, status=dg.DagsterRunStatus.STARTING)
    with socket.socket(socket.AF_UNIX) as code_server:
        if listening:
            code_server.bind(server["socket"])
            code_server.listen()
        assert sensor.tick() == [], "it may be on its way still"
        monkeypatch.setitem(SILENT_S, dg.DagsterRunStatus.STARTING, -1.0)
        sensor.tick()
        ended = sensor.instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.is_finished != listening
    if not listening:
        sensor.tick()
        sensor.pass_time(BACKOFF_S)
        assert sensor.tick() == [sensor.home.key]


def test_changed_parameters_are_asked_for_although_nothing_arrived(sensor: Sensor) -> None:
    sensor.tick()
    sensor.end()
    assert sensor.tick() == []
    text = STATIC + "  chunking: {max_tokens: 50}\n"
    home = SmallHome.at(sensor.home.settings.home.root, {}, collections=text)
    again = Sensor(home, sensor.instance, asked=sensor.asked)
    assert again.tick() == [home.key]
    again.end()
    assert again.tick() == []


def test_a_new_shard_count_or_tenant_needs_nobody_to_add_partitions(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", {}, collections=STATIC + "  shards: 4\n")
    with dg.DagsterInstance.ephemeral() as instance:
        sensor = Sensor(home, instance)
        assert sensor.tick() == [] and not instance.get_dynamic_partitions(DOCUMENT_SHARDS)
        for i in range(12):
            home.write(f"{i}.txt", f"Document {i}.", collection="newcomer/papers")
        asked = sensor.tick()
        keys = [f"newcomer.papers.{shard:02}-of-04" for shard in range(4)]
        assert set(asked) <= set(keys) and len(asked) > 1
        assert sorted(instance.get_dynamic_partitions(DOCUMENT_SHARDS)) == keys


def test_keys_that_cannot_name_a_document_are_held_although_no_run_is_needed(sensor: Sensor) -> None:
    sensor.tick()
    sensor.end()
    (sensor.home.settings.home.objects / "stray.txt").write_text("It belongs to no collection.")
    result = sensor.look()
    assert not result.run_requests
    assert "1 keys cannot name a document" in str(result.skip_reason)
    assert sensor.home.held()["stray.txt"][1] == "unusable-key"


def test_a_collection_that_cannot_be_listed_does_not_hide_the_others(
    sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl_assets.errors import PermanentError

    sensor.home.write("b.txt", "Another one.", collection="zeta/mail")
    store = type(sensor.home.platform.arrivals)
    whole = store.pages

    def refused(self: Arrivals, tenant: str, collection: str, *, after: str = "") -> Iterator[ListedPage]:
        if tenant == "acme":
            raise PermanentError("acme/reports: https://me:hunter2@store refuses")
        return whole(self, tenant, collection, after=after)

    monkeypatch.setattr(store, "pages", refused)
    assert sensor.tick() == ["zeta.mail.00-of-01"]
    reason = str(sensor.look().skip_reason)
    assert "could not look everywhere: acme/reports" in reason and "hunter2" not in reason


def test_a_tick_stops_in_time_and_the_next_goes_on_where_it_stopped(sensor: Sensor) -> None:
    for name in ("b", "c", "d"):
        sensor.home.write("x.txt", f"Document {name}.", collection=f"{name}/reports")
    times = iter(range(0, 10_000, 20))
    runs = SimpleNamespace(busy=frozenset, outcome=lambda _key: None)
    first = watch(sensor.home.platform, runs, clock_s=lambda: float(next(times)))
    assert [one.partition[0] for one in first.requests] == ["a"] and first.resume == "b/reports"
    second = watch(sensor.home.platform, runs, resume=first.resume)
    assert [one.partition[0] for one in second.requests] == ["b", "c", "d"] and second.resume == ""


def test_a_tick_stops_inside_a_collection_and_one_of_another_process_goes_on_there(sensor: Sensor) -> None:
    for n in range(9):
        sensor.home.write(f"{n}.txt", f"Document {n}.")
    objects, tmp = sensor.home.settings.home.objects, sensor.home.settings.home.tmp
    small = replace(sensor.home.platform, arrivals=LocalArrivals(objects, scratch=tmp, page_files=2))
    runs = SimpleNamespace(busy=frozenset, outcome=lambda _key: None)
    resume, asked = "", 0
    for tick in range(3):
        wanted = watch(small, runs, resume=resume, pages=2)
        asked += len(wanted.requests)
        resume = Cursor.read(Cursor(wanted.resume).written()).resume
        assert resume == ("acme/reports" if tick < 2 else ""), tick
    assert asked == 1, "its run is asked for at the first tick, and once"
    with sensor.home.platform.ledger.reading() as connection:
        assert touched.waiting(connection)[sensor.home.key].count == 10


def test_a_run_that_few_keys_wait_for_looks_at_those_alone(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor.tick()
    assert "etl_assets/intake" not in sensor.newest.tags, "everything is new"
    sensor.end()
    monkeypatch.setattr(arrival_watch, "KEYS_PER_LISTED_KEY", 1)
    sensor.home.write("a.txt", "Another document.")
    assert sensor.tick() == [sensor.home.key]
    assert sensor.newest.tags["etl_assets/intake"] == "touched"
    sensor.end()
    assert sensor.tick() == []


def test_the_sensor_looks_no_more_often_than_it_is_set_to(sensor: Sensor) -> None:
    assert sensor.look().run_requests
    early = sensor.look()
    assert not early.run_requests and "looked less than 30 s ago" in str(early.skip_reason)
    cursor = Cursor.read(early.cursor)
    assert not cursor.is_due(cursor.looked_at + 29, 30) and cursor.is_due(cursor.looked_at + 30, 30)
    assert cursor.is_due(cursor.looked_at - 1, 30), "a clock that went back does not stop it"
    assert Cursor("b/reports", cursor.looked_at).is_due(cursor.looked_at, 30), "a round that is not over goes on"


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"looked_at": "soon"}', "acme/reports"])
def test_a_cursor_that_cannot_be_read_begins_a_new_round(text: str | None) -> None:
    assert Cursor.read(text) == Cursor()


def test_a_tick_that_finds_nothing_writes_nothing(sensor: Sensor) -> None:
    sensor.tick()
    sensor.end()
    sensor.tick()
    c = schema.counters
    with sensor.home.platform.ledger.reading() as connection:
        before = (
            connection.execute(select(c)).all(),
            connection.scalar(select(func.count()).select_from(schema.producers)),
        )
    lease = acquire(sensor.home.platform.ledger, sensor.home.key, holder="somebody at work")
    try:
        assert sensor.tick() == [], "the sensor takes no lease"
    finally:
        lease.release()
    with sensor.home.platform.ledger.reading() as connection:
        after = (
            connection.execute(select(c)).all(),
            connection.scalar(select(func.count()).select_from(schema.producers)),
        )
    counters = {name: value for name, value in before[0] if name not in ("token", "claim")}
    assert (
        counters == {name: value for name, value in after[0] if name not in ("token", "claim")}
        and before[1] == after[1]
    )


def test_the_sensor_opens_its_home_from_the_environment_at_each_look(
    sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sensor.home.settings.as_environment().items():
        monkeypatch.setenv(name, value)
    resources = {"arrivals": ArrivalsResource(interval_s=7.0)}
    with dg.build_sensor_context(instance=sensor.instance, resources=resources) as context:
        result = document_arrivals(context)
    assert isinstance(result, dg.SensorResult)
    assert [request.partition_key for request in result.run_requests or []] == [sensor.home.key]
    monkeypatch.setenv("ETL_ARRIVALS_INTERVAL_S", "60")
    settings = settings_from_environment()
    assert (OpenedArrivals(settings).interval_s, OpenedArrivals(settings, 7.0).interval_s) == (60, 7.0)
