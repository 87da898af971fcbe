"""``etl-assets migrate`` on PostgreSQL, Neo4j and Pinecone's stand-in."""

from pathlib import Path

import psycopg
import pytest

from etl_assets.cli import run
from etl_assets.ledger.schema import SCHEMA_VERSION
from etl_assets_tests.real.graphs import access_to, alone_with
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

KEY = "pcsk_migrate"


def test_everything_is_made_once_and_a_newer_schema_is_refused(
    database: str, neo4j: Variables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with alone_with(access_to(neo4j)), PineconeStandIn(keys={KEY}) as pinecone:
        settings = {
            "ETL_HOME": str(tmp_path), "ETL_POSTGRES_URL": database, "NEO4J_URI": neo4j["ETL_TEST_NEO4J_URI"],
            "NEO4J_USERNAME": neo4j["ETL_TEST_NEO4J_USER"], "NEO4J_PASSWORD": neo4j["ETL_TEST_NEO4J_PASSWORD"],
            "PINECONE_API_KEY": KEY, "ETL_PINECONE_HOST": pinecone.url,
        }  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert run(["migrate"]) == 0
        made = capfd.readouterr().out
        assert f"ledger: made, schema {SCHEMA_VERSION}" in made and "vectors: index etl-assets-384 made" in made
        assert run(["migrate"]) == 0
        again = capfd.readouterr().out.splitlines()
        assert len(again) == 3 and all(line.endswith("was there already") for line in again)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE meta SET value = '9999' WHERE key = 'schema'")
        assert run(["migrate"]) == 2
        assert "9999" in capfd.readouterr().err
