"""Homes on every hosted backend at once, and what to compare them by with a home on the embedded ones."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from etl_assets.bindings import open_platform, search_places
from etl_assets.search.query import search
from etl_assets.settings import Settings
from etl_assets_tests.real.graphs import access_to, alone_with
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import server
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

KEY = "pcsk_hosted_home"
EMBEDDED = {"ETL_SEARCH_TIME_LIMIT_S": "5", "ETL_PARSER_PROCESSES": "1"}


@contextmanager
def hosted_environment(folder: Path) -> Iterator[dict[str, str]]:
    """Variables of an installation on PostgreSQL, S3, Pinecone's stand-in, Neo4j and Redis; all of it is its own."""
    bucket = new_bucket(server("minio")).settings
    graph, redis = server("neo4j"), server("redis")
    with (
        alone_with(access_to(graph)), _databases() as (ledger, dagster), PineconeStandIn(keys={KEY}) as pinecone,
    ):  # fmt: skip
        yield {
            **EMBEDDED, "ETL_HOME": str(folder), "SUPABASE_DB_URL": ledger, "ETL_DAGSTER_POSTGRES_URL": dagster,
            "ETL_S3_BUCKET": bucket.bucket, "AWS_ENDPOINT_URL": str(bucket.endpoint_url),
            "AWS_ACCESS_KEY_ID": str(bucket.access_key_id), "AWS_SECRET_ACCESS_KEY": str(bucket.secret_access_key),
            "PINECONE_API_KEY": KEY, "ETL_PINECONE_HOST": pinecone.url, "NEO4J_URI": graph["ETL_TEST_NEO4J_URI"],
            "NEO4J_USERNAME": graph["ETL_TEST_NEO4J_USER"], "NEO4J_PASSWORD": graph["ETL_TEST_NEO4J_PASSWORD"],
            "REDIS_URL": redis["ETL_TEST_REDIS_URL"],
        }  # fmt: skip


@contextmanager
def _databases() -> Iterator[tuple[str, str]]:
    root = server("postgres")["ETL_TEST_POSTGRES_URL"]
    names = [f"h{os.getpid()}_{uuid4().hex[:8]}_{part}" for part in ("ledger", "dagster")]
    with psycopg.connect(root, autocommit=True) as connection:
        for name in names:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')  # type: ignore[call-overload]
    try:
        ledger, dagster = (make_url(root).set(database=name).render_as_string(hide_password=False) for name in names)
        yield ledger, dagster
    finally:
        with psycopg.connect(root, autocommit=True) as connection:
            for name in names:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]


def command(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """``etl-assets`` with these variables and none of the caller's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "etl_assets.cli", *arguments], env={**kept, **env}, cwd=env["ETL_HOME"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def rows(env: Mapping[str, str]) -> dict[str, list[str]]:
    """What the lake holds, by stage, without what two installations may differ in."""
    found = {}
    for stage in ("pages", "chunks", "embeddings", "mentions"):
        done = command(env, "sql", f"select * from {stage}", "--format", "json")
        assert done.returncode == 0, done.stderr
        found[stage] = sorted(done.stdout.splitlines())
    return found


def answers(env: Mapping[str, str], tenant: str, questions: list[str]) -> list[list[tuple[str, str, int, int]]]:
    """(path, chunk, start, end) of the hits of each question, in order."""
    platform = open_platform(Settings.from_environment(env))
    try:
        places = search_places(platform)
        found = [search(places, question, tenant=tenant, limit=10) for question in questions]
        assert not any(one.degraded for one in found), [one.degraded for one in found]
        return [[(hit.path, hit.chunk_id, hit.start, hit.end) for hit in one.hits] for one in found]
    finally:
        platform.close()
