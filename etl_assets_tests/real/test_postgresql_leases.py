"""Leases on PostgreSQL: what ``ledger/test_leases.py`` claims of any database. There are no lock files here, so a
holder that died is replaced when its lease has expired by the database's clock."""

import pytest

from etl_assets.errors import TransientError
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import LeaseLost, acquire
from etl_assets_tests.faults.chains import die_holding
from etl_assets_tests.ledger.test_leases import (  # noqa: F401  they are tests of this module too
    PARTITION,
    test_a_held_partition_is_refused_and_its_holder_named,
    test_a_run_that_comes_back_after_its_release_keeps_its_token,
    test_a_sleepers_lock_does_not_speak_for_the_run_that_took_over,
    test_a_transaction_under_a_lost_lease_keeps_nothing,
    test_a_waiter_gets_the_partition_when_it_is_free,
    test_an_expired_lease_that_nobody_took_goes_on,
    test_beats_end_when_the_lease_is_lost,
    test_beats_go_on_after_an_error_of_the_database,
    test_beats_keep_a_lease_that_nothing_else_renews,
    test_expiry_is_by_the_databases_clock_alone,
    test_partitions_do_not_wait_for_each_other,
    test_processes_of_one_run_share_its_token_and_the_last_one_alive_keeps_it,
    test_voided_leases_fence_everybody,
)
from etl_assets_tests.real.test_postgresql_database import in_threads

pytestmark = pytest.mark.usefixtures("ledgers_on_postgresql")


def test_a_dead_holder_is_replaced_after_its_lease_and_fenced(ledger: Ledger) -> None:
    dead = acquire(ledger, PARTITION, holder="dead", ttl_s=0.5)
    die_holding(dead)
    living = acquire(ledger, PARTITION, holder="living", wait_s=60.0)
    assert living.token > dead.token
    with pytest.raises(LeaseLost, match="the lease of dead was taken over"), dead.writing():
        raise AssertionError("never entered")
    living.release()


def test_of_many_that_want_a_new_partition_one_gets_it(ledger: Ledger) -> None:
    for n in range(5):
        names = [f"run-{i}" for i in range(6)]
        results = in_threads(6, lambda n=n, names=names: acquire(ledger, f"partition-{n}", holder=names.pop()))
        held = [one for one in results if not isinstance(one, Exception)]
        assert len(held) == 1, results
        assert all(isinstance(one, TransientError) for one in results if one is not held[0])
        held[0].release()  # type: ignore[attr-defined]


def test_a_lease_outlives_a_beat_that_waits_for_its_own_transaction(ledger: Ledger) -> None:
    lease = acquire(ledger, PARTITION, holder="slow", ttl_s=0.4)
    with lease.writing() as connection:
        lease._heart.join(1.0)  # beats want the same row in the meantime
        lease.prove(connection)
    with lease.writing():
        pass
    lease.release()
