"""The revisions make on PostgreSQL, too, the tables of the schema, once, whoever comes first."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url

from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.migrations import upgrade
from etl_assets_tests.ledger.test_migrations import differences
from etl_assets_tests.ledgers import open_on
from etl_assets_tests.real.test_postgresql_database import in_threads


def test_the_revisions_make_the_tables_of_the_schema(ledger_server: dict[str, str], tmp_path: Path) -> None:
    opened = open_on(ledger_server | {"template": "template0"}, tmp_path / "new.sqlite")
    with opened.reading() as connection:
        assert differences(connection) == ""
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == f"{schema.SCHEMA_VERSION:04}"
    assert upgrade(opened) == schema.SCHEMA_VERSION
    opened.close()


def test_many_that_find_no_tables_make_them_once(ledger_server: dict[str, str], tmp_path: Path) -> None:
    first = open_on(ledger_server | {"template": "template0"}, tmp_path / "new.sqlite")
    with first.writing() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    url = make_url(first._engine.url).set(drivername="postgresql").render_as_string(hide_password=False)

    def open_it() -> str:
        opened = Ledger.postgresql(url, transaction_pooling=ledger_server["pooled"] == "1")
        with opened.reading() as connection:
            found = differences(connection)
        opened.close()
        return found

    assert in_threads(4, open_it) == [""] * 4
    first.close()
