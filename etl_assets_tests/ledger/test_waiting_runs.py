"""Runs that wait, stop, or whose process died: what the ledger tells of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from etl_assets.documents.batch import Batch
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.ledger import controls, requests, runs, schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import acquire
from etl_assets.ledger.requests import LONGEST_BACKOFF_S, RunRequest
from etl_assets.ledger.run_records import run_records, runs_named
from etl_assets_tests.small_homes import SmallHome

A, B, C = (f"acme.{name}.00-of-01" for name in ("alpha", "beta", "gamma"))

KILLED = """
import os, signal, sys
from pathlib import Path
from etl_assets.documents.batch import Batch
from etl_assets.ledger import runs
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import acquire
ledger = Ledger.sqlite(Path(sys.argv[1]))
batch = Batch(ledger, sys.argv[2:], source="sync", lease_s=20.0)
batch.__enter__()
one = batch.next()
lease = acquire(ledger, one.partition, holder=one.run_id)
with lease.writing() as connection:
    runs.begin_run(connection, one.run_id, one.partition)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.db")


def batch_of(ledger: Ledger, *keys: str) -> Batch:
    return Batch(ledger, keys, source="sync", lease_s=20.0)


def states(ledger: Ledger) -> dict[str, str]:
    return {one.partition: one.state for one in run_records(ledger)}


def test_a_batch_takes_what_is_urgent_first_and_leaves_out_what_is_paused_or_canceled(ledger: Ledger) -> None:
    with batch_of(ledger, A, B, C) as batch:
        assert set(states(ledger).values()) == {"waiting"}
        controls.prioritise(ledger, "acme/beta", 5, by="me")
        first = batch.next()
        assert first is not None and first.partition == B
        controls.pause(ledger, controls.batch_scope(batch.batch_id), reason="", by="me")
        assert batch.next() is None
        controls.resume(ledger, controls.batch_scope(batch.batch_id), by="me")
        waits = next(one for one in run_records(ledger) if one.partition == A)
        with ledger.writing() as connection:
            assert runs.ask_to_stop(connection, waits.run_id) == [A]
        controls.pause(ledger, C, reason="", by="me")
        assert batch.next() is None
        assert [one.partition for one in batch.canceled] == [A]
        assert [one.partition for one in batch.held_back()] == [C]
        batch.ended(first, "the disk is full")
    assert states(ledger) == {A: "canceled", B: "failed"}
    with ledger.reading() as connection:
        assert not connection.execute(schema.leases.select()).all(), "nothing is left of a batch"
    assert ledger.lock_folder is None or not list(ledger.lock_folder.iterdir())


def test_what_is_left_of_a_batch_that_is_stopped_is_canceled(ledger: Ledger) -> None:
    with pytest.raises(KeyboardInterrupt), batch_of(ledger, A, B) as batch:
        assert batch.next() is not None
        raise KeyboardInterrupt
    assert states(ledger) == {A: "canceled", B: "canceled"}


def test_runs_of_a_process_that_was_killed_are_lost_and_closed(ledger: Ledger, tmp_path: Path) -> None:
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "ledger.db"), A, B], env=os.environ, check=False
    )
    assert died.returncode == -signal.SIGKILL
    found = {one.partition: one for one in run_records(ledger)}
    assert {key: one.state for key, one in found.items()} == {A: "lost", B: "lost"}
    assert all(one.ended_at is not None and "died" in one.report["error"] for one in found.values())
    with batch_of(ledger, B) as batch:
        assert [one.state for one in runs_named(ledger, batch.batch_id[:8])] == ["waiting"]
    with ledger.reading() as connection:
        names = [row.name for row in connection.execute(schema.leases.select())]
    assert not [name for name in names if name.startswith("batch/") and batch.batch_id in name]


def test_a_run_that_takes_a_partition_over_closes_the_one_that_died_there(ledger: Ledger) -> None:
    acquire(ledger, A, holder="first", ttl_s=0.2).release()
    with ledger.writing() as connection:
        runs.begin_run(connection, "first", A)
    lease = acquire(ledger, A, holder="second")
    with lease.writing() as connection:
        runs.begin_run(connection, "second", A)
    assert {one.run_id: one.state for one in run_records(ledger)} == {"first": "lost", "second": "started"}
    lease.release()


def test_a_run_that_is_asked_to_stop_does_and_the_next_one_goes_on(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home")
    ledger = home.platform.ledger
    with pytest.raises(runs.RunCanceled, match="run one was canceled"), PartitionRun(
        home.platform, home.key, run_id="one"
    ) as run:  # fmt: skip
        run.raw_documents()
        run.pages()
        with ledger.writing() as connection:
            assert runs.ask_to_stop(connection, "one") == [home.key]
        run.chunks()
    (record,) = run_records(ledger)
    assert (record.state, record.report["pages"]["computed"], record.progress) == ("canceled", 3, None)
    assert home.published() == {}
    report = home.run("two")
    assert report["pages"]["computed"] == 0 and report["published_documents"]["published"] == 3
    with ledger.writing() as connection:
        assert runs.ask_to_stop(connection, "two") == []


def test_a_canceled_partition_is_not_asked_for_again_before_its_time(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        requests.save(connection, {A: RunRequest(A, f"{A}:x:0", "x", 0, True, 1.0)})
        requests.put_off(connection, A)
        requests.put_off(connection, B)
        known = requests.requests(connection)
    for one in known.values():
        at = one.retry_at - LONGEST_BACKOFF_S
        assert not one.open and not one.is_due("other keys", at=at + 1) and one.is_due("", at=one.retry_at)
    assert known[A].revision == 1
    with ledger.writing() as connection:
        requests.ask_again(connection, [A, C])
        known = requests.requests(connection)
    assert known[A].is_due("", at=1.0) and not known[B].is_due("y", at=known[B].retry_at - 1)
