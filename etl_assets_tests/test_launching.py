"""Runs started from this process: what they leave in the home's instance, and how they are stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets import launching, serving
from etl_assets.asset_keys import DOCUMENT_SHARDS
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.launching import PartitionOutcome, run_partitions
from etl_assets.ledger import runs
from etl_assets.resources.event_log import PooledSqliteEventLogStorage
from etl_assets.serving import render_instance, serve
from etl_assets.settings import Settings
from etl_assets.stages.report import Progress
from etl_assets_tests.backends.disks import small_volume
from etl_assets_tests.small_homes import STATIC, SmallHome

DEADLINE_S = 120.0


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives once it gives something."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {DEADLINE_S:.0f} s")


def instance_of(home: SmallHome) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(home.settings.home.dagster))


def test_partitions_are_brought_up_to_date_and_the_ui_shows_it(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", collections=STATIC + "  shards: 2\n")
    keys = [home.partition(shard=shard).key for shard in (0, 1)]
    seen: list[Progress] = []
    done: list[PartitionOutcome] = []
    # For the searches of its checks, on however busy a machine; nothing is superseded, so nothing waits for it.
    platform = replace(home.platform, search_time_limit_s=20.0)
    outcomes = run_partitions(home.settings, keys, platform=platform, watch=seen.append, finished=done.append)
    assert [(one.partition, one.state, one.error) for one in outcomes] == [(key, "succeeded", None) for key in keys]
    assert done == outcomes and {one.stage for one in seen} >= {"pages", "chunks", "embeddings", "mentions"}
    assert sum(one.report["pages"]["computed"] for one in outcomes) == 3
    assert all(check.passed for one in outcomes for check in one.checks) and len(outcomes[0].checks) == 13
    with instance_of(home) as instance:
        assert sorted(instance.get_dynamic_partitions(DOCUMENT_SHARDS)) == keys
        asset = dg.AssetKey("published_documents")
        assert instance.get_materialized_partitions(asset) == set(keys)
        tags = [run.tags for run in instance.get_runs()]
        assert {(one["tenant"], one["collection"]) for one in tags} == {("acme", "reports")}
    again = run_partitions(home.settings, keys, platform=platform)
    assert all(one.state == "succeeded" and one.report["pages"]["computed"] == 0 for one in again)


def test_nothing_to_run_opens_nothing(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    assert run_partitions(home.settings, []) == []
    assert not (home.settings.home.dagster / "history").exists()


def test_a_partition_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl_assets.documents.partition_run import PartitionRun

    home = SmallHome.at(tmp_path / "home")
    home.write("other.txt", "Another collection.", collection="acme/zoo")
    whole = PartitionRun.chunks

    def refused(run: PartitionRun) -> Any:
        if run.partition.collection == "reports":
            run._begin("chunks")
            raise PermanentError("the disk is full; free some space; password=hunter2")
        return whole(run)

    monkeypatch.setattr(PartitionRun, "chunks", refused)
    keys = [home.key, home.partition("acme/zoo").key]
    bad, good = run_partitions(home.settings, keys, platform=home.platform)
    assert (bad.state, good.state) == ("failed", "succeeded")
    assert bad.error == "chunks: the disk is full; free some space; password=***"
    assert bad.report["pages"]["computed"] == 3 and "chunks" not in bad.report
    last = runs.last_runs(home.platform.ledger)
    assert last[keys[0]].state == "failed" and last[keys[1]].state == "succeeded"
    with instance_of(home) as instance:
        run = instance.get_run_by_id(bad.run_id)
        assert run is not None and run.is_failure and run.tags["dagster/max_retries"] == "0"


def test_a_check_that_stops_a_run_is_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl_assets.documents.consistency import stage_checks, verification

    home = SmallHome.at(tmp_path / "home")
    assert stage_checks.examine is verification.examine
    monkeypatch.setattr(verification, "_unaccounted", lambda *_: ["bear.txt"])
    (outcome,) = run_partitions(home.settings, [home.key], platform=home.platform)
    assert outcome.state == "failed" and outcome.error is not None
    assert "every_document_has_pages_or_a_reason" in outcome.error


def test_a_key_that_is_none_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    with pytest.raises(ConfigError, match="partition key 'reports'"):
        run_partitions(home.settings, ["reports"])
    (unknown,) = run_partitions(home.settings, ["acme.nothing.00-of-01"], platform=home.platform)
    assert unknown.state == "failed" and "acme.nothing.00-of-01: unknown" in str(unknown.error)


INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has it ignored
from etl_assets.launching import run_partitions
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.ledger.catalogue import partitions
from etl_assets.bindings import open_platform
from etl_assets.settings import Settings

def slow(run):
    run.lease
    print("at work", flush=True)
    while True:
        time.sleep(0.02)

PartitionRun.pages = slow
settings = Settings(home_folder=sys.argv[1])
keys = [one.key for one in partitions(open_platform(settings).ledger)]
try:
    run_partitions(settings, keys)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_an_interrupted_run_is_canceled_and_lets_its_partition_go(tmp_path: Path, number: int, code: int) -> None:
    home = SmallHome.ran(tmp_path / "home")
    assert home.key
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(home.settings.home.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == code
    with instance_of(home) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.CANCELED
    (row,) = runs.last_runs(home.platform.ledger).values()
    assert row.state == "failed"
    (outcome,) = run_partitions(home.settings, [home.key], platform=home.platform, wait_s=0.0)
    assert outcome.state == "succeeded", "the lease was given back"


def test_the_instance_of_a_home_is_written_and_kept_when_a_person_owns_it(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    folder = render_instance(home.settings)
    config = folder / "dagster.yaml"
    with instance_of(home) as instance:
        assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
        assert not instance.telemetry_enabled and instance.run_monitoring_enabled
    assert "etl_assets.definitions" in (folder / "workspace.yaml").read_text()
    config.write_text(config.read_text().replace("max_concurrent_runs: 5", "max_concurrent_runs: 7"))
    render_instance(home.settings)
    assert "max_concurrent_runs: 5" in config.read_text()
    config.write_text("telemetry: {enabled: false}\n")
    render_instance(home.settings)
    assert config.read_text() == "telemetry: {enabled: false}\n"
    config.write_text("no_such_setting: 1\n")
    with pytest.raises(ConfigError, match="dagster.yaml"):
        run_partitions(home.settings, ["acme.reports.00-of-01"], platform=home.platform)


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="choose another port"):
            serve(home.settings, port=taken.getsockname()[1])


def with_storage(folder: Path) -> SmallHome:
    """An empty home with a storage for Dagster: serving would make it by a process of its own."""
    home = SmallHome.at(folder, {})
    with launching._instance(home.settings):
        return home


def test_a_child_that_ends_by_itself_is_an_error_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = with_storage(tmp_path / "home")
    monkeypatch.setattr(serving, "commands", lambda *_: {"daemon": ["http.server", "no port"]})
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(PermanentError, match="(?s)the daemon ended with code 2.*invalid int value: 'no port'"):
        serve(home.settings, port=0)
    assert signal.getsignal(signal.SIGTERM) is before


def test_serving_announces_the_address_once_it_answers_and_stops_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    (tmp_path / "server_info").write_text("{}")

    def stand_ins(_folder: Path, host: str, port: int) -> dict[str, list[str]]:
        web = ["http.server", str(port), "--bind", host, "--directory", str(tmp_path)]
        return {"webserver": web, "daemon": ["http.server", "0", "--bind", host]}

    announced: list[str] = []

    def announce(address: str) -> None:
        announced.append(address)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(serving, "commands", stand_ins)
    serve(home.settings, port=0, announce=announce)
    (address,) = announced
    assert address.startswith("http://127.0.0.1:") and not address.endswith(":0")
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", int(address.rpartition(":")[2])))


def test_a_webserver_that_never_answers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = with_storage(tmp_path / "home")
    monkeypatch.setattr(serving, "READY_WITHIN_S", 0.0)
    monkeypatch.setattr(serving, "commands", lambda *_: {"webserver": ["http.server", "0"]})
    with pytest.raises(PermanentError, match="did not answer within 0 s"):
        serve(home.settings, port=0)


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    code = (
        "import sys, time; from etl_assets import serving; from etl_assets.settings import Settings\n"
        "settings = Settings(home_folder=sys.argv[1]); folder = serving.render_instance(settings)\n"
        "child = serving._Child('idle', ['http.server', '0'], settings, folder)\n"
        "print(child.process.pid, flush=True); time.sleep(600)"
    )
    arguments = [sys.executable, "-c", code, str(home.settings.home.root)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert os.path.exists(f"/proc/{child}")
        parent.kill()
    eventually(lambda: not alive(child), "the child's death")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_full_disk_under_dagsters_storage_is_one_clear_error(tmp_path: Path) -> None:
    with small_volume(tmp_path / "disk", 4_000_000) as disk:
        home = SmallHome.at(disk / "home", {})
        keys = [home.key]
        render_instance(home.settings)
        with open(disk / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
            while ballast.write(b"\xff" * 4096):
                pass
        os.truncate(disk / "ballast", (disk / "ballast").stat().st_size - 40_000)
        with pytest.raises(PermanentError, match="Dagster's storage in .*(full|disk I/O error); free some space"):
            run_partitions(home.settings, keys, platform=home.platform)
        home.platform.ledger.close()


def test_a_wrong_password_of_dagsters_database_is_one_clear_error_without_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = type("OperationalError", (Exception,), {"__module__": "psycopg2"})
    address = f"postgresql+psycopg2://etl:{'c4n' + '4ry'}@db.example.org/dagster"

    def refuse(folder: str) -> None:
        try:
            raise refused(f'FATAL: password authentication failed for user "etl"\n{address}')
        except Exception as e:
            raise RuntimeError(f"cannot open {address}") from e

    monkeypatch.setattr(dg.DagsterInstance, "from_config", refuse)
    home = SmallHome.at(tmp_path / "home", {})
    with pytest.raises(TransientError, match="check ETL_DAGSTER_POSTGRES_URL") as caught:
        run_partitions(home.settings, [home.key], platform=home.platform)
    assert 'PostgreSQL: FATAL: password authentication failed for user "etl"' in str(caught.value)
    assert "c4n4ry" not in "".join(traceback.format_exception(caught.value))


_OPEN_AT_ONCE = """
import os, sys, traceback
import dagster
from etl_assets import launching
from etl_assets.settings import Settings

def opens():
    with launching._instance(Settings(home_folder=sys.argv[1])) as instance:
        print(len(instance.get_runs()), flush=True)

sign, give = os.pipe()
children = []
for _ in range(4):
    children.append(os.fork())
    if not children[-1]:
        try:
            os.close(give)
            os.read(sign, 1)
            opens()
        except BaseException:
            traceback.print_exc()
        os._exit(0)
os.close(give)  # Dagster is imported everywhere already: all begin in the same milliseconds
for child in children:
    os.waitpid(child, 0)
"""


def test_processes_that_open_the_storage_of_a_fresh_home_at_once_wait_for_each_other(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    told = subprocess.run([sys.executable, "-c", _OPEN_AT_ONCE, home], capture_output=True, text=True, check=False)
    assert told.stdout == "0\n" * 4, told.stderr
    with launching._instance(Settings(home_folder=home)) as instance:
        assert instance.get_runs() == []
