"""What Dagster tells of documents on servers is blanked by a purge: its tables on PostgreSQL, printed lines on S3."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import DagsterEvent, DagsterInstance
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.runs.schema import RunStorageSqlMetadata
from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata
from dagster._core.test_utils import create_run_for_test

from etl_assets.backends.postgres_traces import TABLES, PostgresTraces
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.backends.s3_log_traces import S3LogTraces
from etl_assets.errors import TransientError
from etl_assets.hosted_settings import PostgresPlace
from etl_assets.ledger import erasing
from etl_assets.settings import Settings
from etl_assets_tests.real.queued_runs import instance_of
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import Variables

NAME = "plans/secret plän.md"
TEXT = "The qwumblefrotz committee met again in May.\nNobody told the others über it."
SAID = f"could not read {NAME}: 'the qwumblefrotz committee met again in May'"
GONE = ("qwumblefrotz", "secret pl", "secret\\u0020")


@pytest.fixture
def bucket(minio: Variables) -> S3Bucket:
    return new_bucket(minio)


def _told(instance: DagsterInstance) -> str:
    """A run whose tags, configuration and events tell of the document, beside one that tells of another."""
    run = create_run_for_test(instance, "documents", tags={"document": NAME}, run_config={"path": NAME})
    instance.report_engine_event(SAID, run)
    instance.report_engine_event("all is well with plans/open.md", run)
    return run.run_id


def _everything(connection: "psycopg.Connection[Any]") -> str:
    tables = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return "\n".join(str(row) for one in tables for row in connection.execute(f'SELECT * FROM "{one}"').fetchall())


def _bytes_of(connection: "psycopg.Connection[Any]", table: str) -> bytes:
    connection.execute("CHECKPOINT")
    row = connection.execute("SELECT pg_read_binary_file(pg_relation_filepath(%s))", [table]).fetchone()
    assert row is not None
    return bytes(row[0])


def test_a_purge_leaves_nothing_of_a_document_in_dagsters_tables_and_dagster_still_reads_them(
    tmp_path: Path, database: str
) -> None:
    settings = Settings(str(tmp_path), postgres=PostgresPlace(database, dagster_url=database))
    with instance_of(settings) as instance, psycopg.connect(database, autocommit=True) as connection:
        run_id = _told(instance)
        connection.execute("CREATE TABLE theirs (note text)")
        connection.execute("INSERT INTO theirs VALUES (%s)", [SAID])
        before = _everything(connection)
        assert all(word in before for word in GONE[:2])
        assert b"qwumblefrotz" in _bytes_of(connection, "event_logs")

        found = PostgresTraces(lambda: database).erase({NAME}, [TEXT])

        assert found["database rows"] >= 4
        assert b"qwumblefrotz" not in _bytes_of(connection, "event_logs")
        assert connection.execute("SELECT note FROM theirs").fetchone() == (SAID,), "another's table is let alone"
        connection.execute("DROP TABLE theirs")
        after = _everything(connection)
        assert not [word for word in GONE if word in after]
        run = instance.get_run_by_id(run_id)
        assert run is not None and run.tags["document"].startswith("xxxxx/xxxxxx xxxx")
        messages = [one.dagster_event.message or "" for one in instance.all_logs(run_id) if one.dagster_event]
        assert any("all is well with plans/open.md" in message for message in messages)
        assert all(isinstance(one.dagster_event, DagsterEvent) for one in instance.all_logs(run_id))
        assert PostgresTraces(lambda: database).erase({NAME}, [TEXT]) == {}, "a second time finds nothing"


def test_rows_that_an_older_transaction_of_the_server_keeps_are_erased_by_the_next_order(
    tmp_path: Path, postgres: Variables, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(str(tmp_path), postgres=PostgresPlace(database, dagster_url=database))
    monkeypatch.setattr(erasing, "PATIENCE_S", 0.1)
    with instance_of(settings) as instance, psycopg.connect(database, autocommit=True) as connection:
        _told(instance)
        with psycopg.connect(postgres["ETL_TEST_POSTGRES_URL"]) as elsewhere:
            elsewhere.execute("SELECT pg_current_xact_id()")
            with pytest.raises(TransientError, match="older transaction"):
                PostgresTraces(lambda: database).erase({NAME}, [TEXT])
        monkeypatch.setattr(erasing, "PATIENCE_S", 60.0)
        assert PostgresTraces(lambda: database).erase({NAME}, [TEXT]) == {}, "all was blanked before"
        assert b"qwumblefrotz" not in _bytes_of(connection, "event_logs")


def test_every_table_that_dagster_makes_is_looked_through(tmp_path: Path, database: str) -> None:
    assert PostgresTraces(lambda: database).erase({NAME}, [TEXT]) == {}, "before Dagster made its tables"
    with instance_of(Settings(str(tmp_path), postgres=PostgresPlace(database, dagster_url=database))):
        pass
    with psycopg.connect(database) as connection:
        made = {row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        unread = connection.execute(
            "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND data_type IN ('json', 'jsonb', 'bytea', 'ARRAY')"
        ).fetchall()
    assert made <= set(TABLES), "a newer Dagster keeps more"
    known = (SqlEventLogStorageMetadata, RunStorageSqlMetadata, ScheduleStorageSqlMetadata)
    assert {name for one in known for name in one.tables} <= set(TABLES)
    assert unread == [("snapshots",)], "definitions of jobs, which name no document"


def test_printed_lines_in_a_bucket_are_blanked_and_the_others_stay(bucket: S3Bucket) -> None:
    key = bucket.settings.key_prefix + "storage/run/compute_logs/step.err"
    other = bucket.settings.key_prefix + "storage/run/compute_logs/other.err"
    bucket.request("put_object", "a test", Key=key, Body=f"one\n{SAID}\ntwo".encode())
    bucket.request("put_object", "a test", Key=other, Body=b"all is well")
    tag = bucket.request("head_object", "a test", Key=other)["LastModified"]
    assert S3LogTraces(bucket).erase({NAME}, [TEXT]) == {"log passages": 2}
    text = bucket.request("get_object", "a test", Key=key)["Body"].read().decode()
    assert text.startswith("one\n") and text.endswith("\ntwo") and not [word for word in GONE if word in text]
    assert bucket.request("head_object", "a test", Key=other)["LastModified"] == tag, "it was not written again"
    assert S3LogTraces(bucket).erase({NAME}, [TEXT]) == {}
