"""Which settings of a collection were used, and from which sequence number to which."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import next_sequence


def record_settings(connection: Connection, cid: int, digest: str, settings: Mapping[str, Any]) -> None:
    """Begin a version of a collection's settings, unless the open one has the same digest; no write then."""
    table = schema.collection_settings
    is_open = (table.c.cid == cid, table.c.end_seq.is_(None))
    if connection.scalar(select(table.c.digest).where(*is_open)) == digest:
        return
    n = next_sequence(connection)
    connection.execute(update(table).where(*is_open).values(end_seq=n))
    row = {"cid": cid, "digest": digest, "settings": dict(settings), "begin_seq": n, "end_seq": None}
    connection.execute(insert(table), row)
