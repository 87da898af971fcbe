"""Readers' claims on segments."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from etl_assets.ledger import pins, schema
from etl_assets.ledger.catalogue import Partition, ensure_collection
from etl_assets.ledger.database import Ledger, clock
from etl_assets.ledger.segments import Segment, record_segment, removable_segments


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.sqlite")


@pytest.fixture
def partition(ledger: Ledger) -> Partition:
    return ensure_collection(ledger, "acme", "reports", shards=1)[0]


def dying(ledger: Ledger, partition: Partition, segment_id: int) -> None:
    """A segment that dies now."""
    with ledger.writing() as connection:
        record_segment(connection, partition, "chunks", Segment(segment_id, f"key-{segment_id}", 1, 1, "0" * 64))
        dead = update(schema.segments).where(schema.segments.c.segment_id == segment_id)
        connection.execute(dead.values(dead_at=clock(connection)))


def removable(ledger: Ledger, partition: Partition) -> list[int]:
    with ledger.writing() as connection:
        return [number for number, _ in removable_segments(connection, partition, grace_s=0.0)]


def test_what_dies_after_a_pin_is_kept_until_it_is_released(ledger: Ledger, partition: Partition) -> None:
    dying(ledger, partition, 1)
    with pins.pinned(ledger, ttl_s=60.0):
        with ledger.writing() as connection:  # the clock's steps may be coarser than two transactions
            connection.execute(update(schema.pins).values(taken_at=schema.pins.c.taken_at + 0.002))
        dying(ledger, partition, 2)
        with ledger.writing() as connection:
            later = update(schema.segments).where(schema.segments.c.segment_id == 2)
            connection.execute(later.values(dead_at=schema.segments.c.dead_at + 0.004))
        assert removable(ledger, partition) == [1]
    with ledger.writing() as connection:
        connection.execute(update(schema.segments).values(dead_at=0.0))
    assert removable(ledger, partition) == [1, 2]


def test_a_pin_that_expired_holds_nothing(ledger: Ledger, partition: Partition) -> None:
    pins.take(ledger, ttl_s=-1.0)
    dying(ledger, partition, 1)
    with ledger.writing() as connection:
        connection.execute(update(schema.segments).values(dead_at=schema.segments.c.dead_at - 1.0))
    assert removable(ledger, partition) == [1]


def test_a_pin_is_released_also_when_the_reader_fails(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), pins.pinned(ledger, ttl_s=60.0):
        raise ZeroDivisionError
    with ledger.reading() as connection:
        assert connection.execute(select(schema.pins)).all() == []
    pins.release(ledger, "gone already")
