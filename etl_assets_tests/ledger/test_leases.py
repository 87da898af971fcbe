"""Who may write: tokens, waiting, taking over, and a clock that is the database's own."""

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select, update

from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger import leases, schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import LeaseLost, acquire
from etl_assets_tests.faults.chains import die_holding, fall_asleep_holding

PARTITION = "acme.reports.00-of-01"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.sqlite")


def locks(ledger: Ledger) -> list[Path]:
    assert ledger.lock_folder is not None
    return list(ledger.lock_folder.iterdir())


def test_a_held_partition_is_refused_and_its_holder_named(ledger: Ledger) -> None:
    lease = acquire(ledger, PARTITION, holder="first")
    with pytest.raises(TransientError, match="acme.reports.00-of-01 is being worked on by first"):
        acquire(ledger, PARTITION, holder="second")
    lease.release()
    acquire(ledger, PARTITION, holder="second").release()


def test_partitions_do_not_wait_for_each_other(ledger: Ledger) -> None:
    one, other = acquire(ledger, PARTITION, holder="a"), acquire(ledger, "acme.other.00-of-01", holder="b")
    assert one.token != other.token
    one.release()
    other.release()


def test_a_waiter_gets_the_partition_when_it_is_free(ledger: Ledger) -> None:
    first = acquire(ledger, PARTITION, holder="first")
    got: list[int] = []

    def wait() -> None:
        lease = acquire(ledger, PARTITION, holder="second", wait_s=60.0)
        got.append(lease.token)
        lease.release()

    waiter = threading.Thread(target=wait)
    waiter.start()
    first.release()
    waiter.join()
    assert got and got[0] > first.token


def test_a_dead_holder_is_replaced_at_once_and_fenced(ledger: Ledger) -> None:
    dead = acquire(ledger, PARTITION, holder="dead")
    die_holding(dead)
    living = acquire(ledger, PARTITION, holder="living")
    assert living.token > dead.token
    with pytest.raises(LeaseLost, match="the lease of dead was taken over"), dead.writing():
        raise AssertionError("never entered")
    living.release()


def test_a_transaction_under_a_lost_lease_keeps_nothing(ledger: Ledger) -> None:
    sleeper = acquire(ledger, PARTITION, holder="sleeper")
    fall_asleep_holding(sleeper)
    acquire(ledger, PARTITION, holder="next").release()
    with pytest.raises(LeaseLost), ledger.writing() as connection:
        connection.execute(update(schema.leases).values(holder="scribble"))
        sleeper.prove(connection)
    with ledger.reading() as connection:
        assert connection.scalar(select(schema.leases.c.holder)) == "next"
    sleeper.release()


def test_an_expired_lease_that_nobody_took_goes_on(ledger: Ledger) -> None:
    lease = acquire(ledger, PARTITION, holder="slow")
    fall_asleep_holding(lease)
    with lease.writing():
        pass
    with pytest.raises(TransientError, match="worked on by slow"):
        acquire(ledger, PARTITION, holder="other")
    lease.release()


def test_a_run_that_comes_back_after_its_release_keeps_its_token(ledger: Ledger) -> None:
    first = acquire(ledger, PARTITION, holder="run")
    first.release()
    again = acquire(ledger, PARTITION, holder="run")
    assert again.token == first.token
    again.release()
    acquire(ledger, PARTITION, holder="other").release()
    last = acquire(ledger, PARTITION, holder="run")
    assert last.token > first.token
    last.release()


@pytest.mark.parametrize("end", [die_holding, fall_asleep_holding])
def test_a_run_that_comes_back_after_its_death_or_sleep_gets_a_new_token(ledger: Ledger, end: object) -> None:
    first = acquire(ledger, PARTITION, holder="run")
    end(first)  # type: ignore[operator]
    again = acquire(ledger, PARTITION, holder="run")
    assert again.token > first.token
    with pytest.raises(LeaseLost), first.writing():
        raise AssertionError("never entered")
    again.release()


def test_processes_of_one_run_share_its_token_and_the_last_one_alive_keeps_it(ledger: Ledger) -> None:
    one, other = acquire(ledger, PARTITION, holder="run"), acquire(ledger, PARTITION, holder="run")
    assert one.token == other.token
    die_holding(one)
    with pytest.raises(TransientError, match="worked on by run"):
        acquire(ledger, PARTITION, holder="thief")
    other.release()


def test_a_sleepers_lock_does_not_speak_for_the_run_that_took_over(ledger: Ledger) -> None:
    sleeper = acquire(ledger, PARTITION, holder="sleeper")
    fall_asleep_holding(sleeper)
    living = acquire(ledger, PARTITION, holder="living")
    die_holding(sleeper)
    with pytest.raises(TransientError, match="worked on by living"):
        acquire(ledger, PARTITION, holder="thief")
    living.release()


def test_one_lock_file_is_left_for_each_partition(ledger: Ledger) -> None:
    for n in range(5):
        acquire(ledger, PARTITION, holder=f"run-{n}").release()
    assert len(locks(ledger)) == 1


def test_beats_keep_a_lease_that_nothing_else_renews(ledger: Ledger) -> None:
    lease = acquire(ledger, PARTITION, holder="patient", ttl_s=0.2)
    seen: set[float] = set()
    while len(seen) < 4:
        with ledger.reading() as connection:
            seen.add(float(connection.scalar(select(schema.leases.c.expires_at)) or 0.0))
    lease.release()


def test_beats_end_when_the_lease_is_lost(ledger: Ledger) -> None:
    lease = acquire(ledger, PARTITION, holder="loser", ttl_s=0.1)
    with ledger.writing() as connection:
        connection.execute(update(schema.leases).values(token=10**6))
    lease._heart.join(60.0)
    assert not lease._heart.is_alive()
    lease.release()


@pytest.mark.parametrize("error", [TransientError("busy"), PermanentError("full")])
def test_beats_go_on_after_an_error_of_the_database(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lease = acquire(ledger, PARTITION, holder="patient", ttl_s=0.05)
    asked = threading.Semaphore(0)

    def refuse() -> None:
        asked.release()
        raise error

    monkeypatch.setattr(lease, "renew", refuse)
    for _ in range(3):
        assert asked.acquire(timeout=60.0)
    assert lease._heart.is_alive()
    monkeypatch.undo()
    lease.release()


def test_expiry_is_by_the_databases_clock_alone(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = acquire(ledger, PARTITION, holder="first")
    for wrong in (0.0, 1e12):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        monkeypatch.setattr(leases.time, "time", lambda wrong=wrong: wrong)
        with pytest.raises(TransientError):
            acquire(ledger, PARTITION, holder="second")
    with ledger.reading() as connection:
        expires_at = float(connection.scalar(select(schema.leases.c.expires_at)) or 0.0)
    monkeypatch.undo()
    assert abs(expires_at - time.time() - leases.LEASE_S) < leases.LEASE_S
    lease.release()


def test_voided_leases_fence_everybody(ledger: Ledger) -> None:
    lease = acquire(ledger, PARTITION, holder="before the restore")
    with ledger.writing() as connection:
        leases.void_all(connection)
    with pytest.raises(LeaseLost), lease.writing():
        raise AssertionError("never entered")
    lease.release()


def test_a_lock_folder_that_cannot_be_made_is_a_clear_error(ledger: Ledger) -> None:
    assert ledger.lock_folder is not None
    ledger.lock_folder.write_text("a file in the way")
    with pytest.raises(PermanentError, match=r"lock file .*; free some space or check the folder's rights"):
        acquire(ledger, PARTITION, holder="run")
    ledger.lock_folder.unlink()
    acquire(ledger, PARTITION, holder="run").release()
