"""Migrations on SQLite: they make what the tables say, once, and refuse what they do not know."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text, update

from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.migrations import upgrade


def differences(connection: Connection) -> str:
    """What a new revision would have to do to make the tables of a database those of ``schema``; "" if nothing."""
    context = MigrationContext.configure(connection, opts={"target_metadata": schema.metadata, "compare_type": True})
    if not [one for one in compare_metadata(context, schema.metadata) if one[1].name != "alembic_version"]:
        return ""
    return render_python_code(produce_migrations(context, schema.metadata).upgrade_ops)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.sqlite")


def test_the_revisions_make_the_tables_of_the_schema(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        wanted = _described(connection)
    with ledger.writing() as connection:
        schema.metadata.drop_all(connection)
    assert upgrade(ledger) == 0
    with ledger.reading() as connection:
        assert differences(connection) == ""
        assert _described(connection) == wanted
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == f"{schema.SCHEMA_VERSION:04}"
        assert connection.scalar(text("SELECT value FROM meta")) == str(schema.SCHEMA_VERSION)


def _described(connection: Connection) -> dict[str, tuple[object, ...]]:
    found = inspect(connection)
    return {
        name: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)),
            found.get_pk_constraint(name)["constrained_columns"],
            sorted((i["name"], i["column_names"], i["unique"]) for i in found.get_indexes(name)),
        )
        for name in found.get_table_names()
        if name != "alembic_version"
    }


def test_a_ledger_made_without_revisions_is_stamped_and_nothing_more(ledger: Ledger) -> None:
    for _ in range(2):
        assert upgrade(ledger) == schema.SCHEMA_VERSION
        with ledger.reading() as connection:
            assert connection.scalar(text("SELECT version_num FROM alembic_version")) == f"{schema.SCHEMA_VERSION:04}"
            assert differences(connection) == ""


def test_a_newer_ledger_is_refused_and_left_as_it_is(ledger: Ledger) -> None:
    with ledger.writing() as connection:
        connection.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value="999"))
    with pytest.raises(ConfigError, match="schema 999"):
        upgrade(ledger)
    with ledger.reading() as connection:
        assert not connection.dialect.has_table(connection, "alembic_version")
