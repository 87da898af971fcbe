from pathlib import Path

from sqlalchemy import select

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.settings_history import record_settings


def test_each_version_of_the_settings_has_its_sequence_numbers(tmp_path: Path) -> None:
    ledger = Ledger.sqlite(tmp_path / "ledger.sqlite")
    for digest, settings in (("a", {"shards": 1}), ("a", {"shards": 1}), ("b", {"shards": 2}), ("a", {"shards": 1})):
        with ledger.writing() as connection:
            record_settings(connection, 7, digest, settings)
    table = schema.collection_settings
    with ledger.reading() as connection:
        rows = connection.execute(
            select(table.c.digest, table.c.settings, table.c.begin_seq, table.c.end_seq).order_by(table.c.begin_seq)
        ).all()
    assert [tuple(row) for row in rows] == [
        ("a", {"shards": 1}, 1, 2),
        ("b", {"shards": 2}, 2, 3),
        ("a", {"shards": 1}, 3, None),
    ]
    ledger.close()
