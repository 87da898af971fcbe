"""Rows of a LanceDB table of another system: read at one version of the table, never written."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from etl_assets.backends.lancedb_import import CLIENT, leave_unopened
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.protocols.foreign_index import ForeignRow

if TYPE_CHECKING:
    from lancedb.table import Table

ROWS_PER_BATCH = 1024
_SUFFIX = ".lance"


class ForeignLanceTable:
    """ForeignIndex over one table. ``path`` is the table's folder, ``NAME.lance``, or that of its database.

    ``table`` names it there; it may be left out where there is only one.
    """

    def __init__(self, path: Path, table: str | None = None) -> None:
        self._path, self._table = path, table

    @property
    def name(self) -> str:
        """The whole path of the table's folder."""
        folder, table = self._place()
        return str(folder / f"{table}{_SUFFIX}")

    def rows(self) -> Iterator[ForeignRow]:
        """Every row, in the table's own order.

        Raises:
            ConfigError: there is no such table.
            PermanentError: it cannot be read.
        """
        table = self._opened()
        number = 0
        try:
            for batch in table.search().limit(None).to_batches(batch_size=ROWS_PER_BATCH):
                for record in batch.to_pylist():
                    number += 1
                    yield ForeignRow(f"row {number}", record)
        except (OSError, RuntimeError, ValueError) as e:  # what LanceDB raises, whatever is wrong
            raise PermanentError(f"{self.name}: cannot be read after row {number} ({e})") from e

    def _opened(self) -> "Table":
        leave_unopened(CLIENT)
        import lancedb

        folder, table = self._place()
        try:
            opened = lancedb.connect(str(folder)).open_table(table)
            # At this version whatever the other system writes meanwhile: a table that changes has no whole.
            opened.checkout(opened.version)
        except (OSError, RuntimeError, ValueError) as e:
            raise ConfigError(f"{folder / table}{_SUFFIX}: is no table that can be opened ({e})") from e
        return opened

    def _place(self) -> tuple[Path, str]:
        """The folder of the database, which must exist since to connect would make it, and the table's name."""
        path = self._path.resolve()
        if path.suffix == _SUFFIX and self._table is None and path.is_dir():
            return path.parent, path.stem
        if not path.is_dir():
            raise ConfigError(f"{path}: there is no such folder; name a table of LanceDB, NAME.lance, or its database")
        tables = sorted(one.stem for one in path.iterdir() if one.suffix == _SUFFIX and one.is_dir())
        wanted = self._table if self._table is not None else tables[0] if len(tables) == 1 else None
        if wanted is None or wanted not in tables:
            known = ", ".join(tables) or "none"
            asked = f"no table {self._table}" if self._table else "more tables than one, or none"
            raise ConfigError(f"{path}: there is {asked}; there are {known}: choose with --name")
        return path, wanted
