"""The ledger of a backup, brought back in a file of its own: to try it, and to make it ready for a restore."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from etl_assets.documents.backups.target import Damaged, Manifest, Target
from etl_assets.errors import ConfigError
from etl_assets.ledger import dump, restoring, schema
from etl_assets.ledger.database import Ledger


@contextmanager
def brought_back(target: Target, manifest: Manifest, path: Path) -> Iterator[Ledger]:
    """The ledger of a backup in a new SQLite file at ``path``.

    Raises:
        Damaged: part of it is lost or altered, or rows are missing.
        ConfigError: a newer program made it, or one so old that its rows do not fit.
    """
    if manifest.schema > schema.SCHEMA_VERSION:
        raise ConfigError(
            f"backup {manifest.backup} has a ledger of schema {manifest.schema}, this program knows "
            f"{schema.SCHEMA_VERSION}: use the newer etl-assets that made it"
        )
    ledger = Ledger.sqlite(path)
    try:
        with ledger.writing() as connection:
            dump.empty(connection)
            for table in manifest.tables:
                rows = sum(
                    dump.load_part(connection, table.name, table.columns, target.content(piece))
                    for piece in table.pieces
                )
                if rows != table.rows:
                    raise Damaged(f"backup {manifest.backup}: table {table.name} has {rows} of {table.rows} rows")
            dump.enter_meta(connection, "schema", str(schema.SCHEMA_VERSION))
        yield ledger
    finally:
        ledger.close()


def find_again(ledger: Ledger, earlier: Sequence[Callable[[], AbstractContextManager[Ledger]]]) -> int:
    """Give outputs whose segment is not in the backup the one that they had in an earlier backup; how many are left.

    What is left is struck out, so that it is computed again from the originals. ``earlier`` opens ledgers of backups.
    """
    with ledger.reading() as connection:
        lost = restoring.lost_outputs(connection)
    for open_ledger in earlier:
        if not lost:
            break
        with open_ledger() as before:
            restoring.take_over(ledger, before, lost)
        with ledger.reading() as connection:
            lost = restoring.lost_outputs(connection)
    with ledger.writing() as connection:
        restoring.strike_out(connection, lost)
    return len(lost)
