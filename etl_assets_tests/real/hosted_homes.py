"""Homes on every hosted backend at once, and what to compare them by with a home on the embedded ones."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from uuid import uuid4

from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.model import STAGES
from etl_assets.documents.platform import Platform
from etl_assets.ledger import quarantine
from etl_assets.ledger.catalogue import partitions
from etl_assets.search.query import search
from etl_assets.search.sql import run_select
from etl_assets.search.sql_output import write_result
from etl_assets.search.tables import opened_tables
from etl_assets.settings import Settings
from etl_assets_tests.real.databases import drop_database, new_database
from etl_assets_tests.real.graphs import access_to, alone_with
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import server
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn
from etl_assets_tests.servers.standin import StandIn

KEY = "pcsk_hosted_home"
EMBEDDED = {"ETL_SEARCH_TIME_LIMIT_S": "5", "ETL_PARSER_PROCESSES": "1"}


@contextmanager
def hosted_environment(folder: Path) -> Iterator[dict[str, str]]:
    """Variables of an installation on PostgreSQL, S3, Pinecone's stand-in, Neo4j and Redis; all of it is its own."""
    servers = {**server("minio"), **server("neo4j"), **server("redis"), **server("postgres")}
    with PineconeStandIn(keys={KEY}) as pinecone, environment_on(folder, servers, pinecone) as env:
        yield env


@contextmanager
def environment_on(folder: Path, servers: Mapping[str, str], pinecone: StandIn) -> Iterator[dict[str, str]]:
    """As above on these servers, by the variables of all of them: databases, a bucket and an emptied graph."""
    minio = {name: value for name, value in servers.items() if name.startswith("ETL_TEST_S3_")}
    bucket = new_bucket(minio).settings
    with alone_with(access_to(servers)), _databases(servers["ETL_TEST_POSTGRES_URL"]) as (ledger, dagster):
        yield {
            **EMBEDDED, "ETL_HOME": str(folder), "SUPABASE_DB_URL": ledger, "ETL_DAGSTER_POSTGRES_URL": dagster,
            "ETL_S3_BUCKET": bucket.bucket, "AWS_ENDPOINT_URL": str(bucket.endpoint_url),
            "AWS_ACCESS_KEY_ID": str(bucket.access_key_id), "AWS_SECRET_ACCESS_KEY": str(bucket.secret_access_key),
            "PINECONE_API_KEY": KEY, "ETL_PINECONE_HOST": pinecone.url, "NEO4J_URI": servers["ETL_TEST_NEO4J_URI"],
            "NEO4J_USERNAME": servers["ETL_TEST_NEO4J_USER"], "NEO4J_PASSWORD": servers["ETL_TEST_NEO4J_PASSWORD"],
            "REDIS_URL": servers["ETL_TEST_REDIS_URL"],
        }  # fmt: skip


@contextmanager
def _databases(root: str) -> Iterator[tuple[str, str]]:
    names = [f"h{os.getpid()}_{uuid4().hex[:8]}_{part}" for part in ("ledger", "dagster")]
    ledger, dagster = (new_database(root, name) for name in names)
    try:
        yield ledger, dagster
    finally:
        for name in names:
            drop_database(root, name)


def command(env: Mapping[str, str], *arguments: str, limit_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """``etl-assets`` with these variables and none of the caller's settings; killed after ``limit_s``, an error."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "etl_assets.cli", *arguments], env={**kept, **env}, cwd=env["ETL_HOME"],
        capture_output=True, text=True, check=False, timeout=limit_s,
    )  # fmt: skip


@contextmanager
def opened(env: Mapping[str, str]) -> Iterator[Platform]:
    """The platform of a home, in this process."""
    platform = open_platform(Settings.from_environment(env))
    try:
        yield platform
    finally:
        platform.close()


def rows(platform: Platform) -> dict[str, list[str]]:
    """What the lake holds, by stage, without what two installations may differ in."""
    found = {}
    with opened_tables(platform.ledger, platform.lake, STAGES, time_limit_s=60.0) as tables:
        for stage in (one.name for one in STAGES):
            text = StringIO()
            with run_select(f"select * from {stage}", tables=tables) as selection:
                write_result(selection, text, "json")
            found[stage] = sorted(text.getvalue().splitlines())
    return found


def stored(platform: Platform) -> dict[str, Counter[tuple[str, ...]]]:
    """Every row that each store holds, visible or not, without its publication number, which installations give."""
    found: dict[str, Counter[tuple[str, ...]]] = {"vector": Counter(), "keyword": Counter(), "graph": Counter()}
    places = {(one.tenant, one.collection) for one in partitions(platform.ledger)}
    for store, index in (("vector", platform.stores.vector), ("keyword", platform.stores.keyword)):
        for space in index.spaces():
            if (space.tenant, space.collection) in places:
                found[store].update((row.document_id, row.chunk_id, row.digest) for row in index.rows(space))
    for tenant, collection in places:
        edges = platform.stores.graph.edges(tenant, collection)
        found["graph"].update((edge.document_id, edge.edge_id) for edge in edges)
    return found


def held(platform: Platform) -> list[tuple[str, str, str]]:
    """(path, stage, reason) of everything in quarantine."""
    return sorted((row.path, row.stage, row.reason) for row in quarantine.rows(platform.ledger))


def answers(platform: Platform, tenant: str, questions: list[str]) -> list[list[tuple[str, str, int, int]]]:
    """(path, chunk, start, end) of the hits of each question, in order."""
    places = search_places(platform)
    found = [search(places, question, tenant=tenant, limit=10) for question in questions]
    assert not any(one.degraded for one in found), [one.degraded for one in found]
    return [[(hit.path, hit.chunk_id, hit.start, hit.end) for hit in one.hits] for one in found]
