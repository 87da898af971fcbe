"""Migrations on SQLite: they make what the tables say, once, and refuse what they do not know."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select, text, update

from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.generations import generations
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


def test_generations_of_before_get_the_settings_that_they_were_made_by(tmp_path: Path) -> None:
    """The live one those of its own embedder, whatever is wanted by now; the one being built those of today."""
    from importlib import import_module

    made_by = import_module("etl_assets.ledger.migrations.versions.r0004_generations")._made_by
    static, minilm = {"kind": "static"}, {"kind": "minilm"}
    history = [
        (3, {"embedder": static, "chunking": {"size": 1}, "shards": 1}),
        (7, {"embedder": static, "chunking": {"size": 2}, "shards": 1}),
        (9, {"embedder": minilm, "chunking": {"size": 2}, "shards": 1}),
    ]
    assert made_by(history, 5) == {"embedder": static, "chunking": {"size": 2}}
    assert made_by(history, None) == {"embedder": minilm, "chunking": {"size": 2}}
    assert made_by(history, 1) == {"embedder": static, "chunking": {"size": 2}}
    assert made_by([], 5) is None


def test_what_was_held_and_built_before_is_there_after_the_upgrade(tmp_path: Path) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from sqlalchemy import create_engine

    from etl_assets.ledger.migrations.versions import r0001_first, r0002_touched, r0003_data_keys

    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        for revision in (r0001_first, r0002_touched, r0003_data_keys):
            revision.upgrade()
        for statement in (
            "DELETE FROM meta",
            "INSERT INTO meta (key, value) VALUES ('schema', '3')",
            "INSERT INTO collections (cid, tenant, collection, shards, layout_revision, generation_revision) "
            "VALUES (1, 'acme', 'reports', 1, 0, 0)",
            "INSERT INTO collection_settings (cid, digest, settings, begin_seq) "
            """VALUES (1, 'd', '{"embedder": {"kind": "static"}, "chunking": {"size": 9}}', 1)""",
            "INSERT INTO generations (generation_id, cid, state, embedding_model, embedding_digest, dimension, "
            "created_at) VALUES (1, 1, 'live', 'm', 'x', 8, 0)",
            "INSERT INTO reigns (cid, generation_id, begin_seq) VALUES (1, 1, 2)",
            "INSERT INTO quarantine (document_id, stage, cid, tenant, collection, path, version, producer_id, "
            "input_digest, reason, error_class, message, fingerprint, attempts, first_at, last_at) VALUES "
            "('d1', 'pages', 1, 'acme', 'reports', 'a.txt', 'v', 4, 'i', 'broken', 'DataError', '', '', 2, 1, 2)",
        ):
            connection.execute(text(statement))
    engine.dispose()
    ledger = Ledger.sqlite(tmp_path / "ledger.sqlite")
    for _ in range(2):
        assert upgrade(ledger) == schema.SCHEMA_VERSION
        with ledger.writing() as connection:
            noted = list(connection.scalars(text("SELECT version_num FROM alembic_version")))
            assert noted == [f"{schema.SCHEMA_VERSION:04}"]
            connection.execute(text("INSERT INTO alembic_version VALUES ('0003')"))
    with ledger.reading() as connection:
        assert differences(connection) == ""
        (known,) = generations(connection, 1).values()
        held = connection.execute(select(schema.quarantine)).one()
    assert known.settings == {"embedder": {"kind": "static"}, "chunking": {"size": 9}}
    assert (held.document_id, held.producer_id, held.attempts) == ("d1", 4, 2)
