"""The ledger's schema from version to version, by Alembic. ``versions/`` holds one revision for each.

A revision's id is the schema version it leads to, in four digits. A new ledger on PostgreSQL is made by the revisions,
one on SQLite by ``schema`` itself; a test holds the two equal.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text, update

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger, newer_schema, schema_version

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

_LOCK = 4_992_013_726_550_301
"""Any number that no other program takes as an advisory lock of the same database."""


def upgrade(ledger: Ledger) -> int:
    """Bring a ledger to this program's schema, in one transaction; the version it had before (0: it was empty).

    Called again, or by several processes at once, it does nothing more.

    Raises:
        ConfigError: a newer program has written it.
    """
    with ledger.writing() as connection:
        if ledger.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = schema_version(connection) or 0
        if before > schema.SCHEMA_VERSION:
            raise newer_schema(before)
        _run(connection, before)
        meta = schema.meta
        connection.execute(update(meta).where(meta.c.key == "schema").values(value=str(schema.SCHEMA_VERSION)))
    return before


def _run(connection: Connection, before: int) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    _stamp(connection, script, before)

    def steps(revision: object, _context: "MigrationContext") -> object:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]

    with EnvironmentContext(config, script, fn=steps) as environment:
        # Both dialects undo DDL with the transaction, which is ours: a step that fails leaves nothing behind.
        environment.configure(connection=connection, transactional_ddl=True, render_as_batch=True)
        environment.run_migrations()


def _stamp(connection: Connection, script: "ScriptDirectory", before: int) -> None:
    """Note the revision of a ledger made by ``schema``, which keeps none.

    Before the revisions run: they would note theirs beside a stamp that was set meanwhile, as was done once, and the
    next upgrade would find two. The ledger's own number says which one holds.
    """
    from alembic.runtime.migration import MigrationContext

    context, now = MigrationContext.configure(connection), f"{before:04}"
    heads = context.get_current_heads()
    if len(heads) > 1:
        connection.execute(text("DELETE FROM alembic_version WHERE version_num <> :now"), {"now": now})
    elif before and not heads:
        context.stamp(script, now)
