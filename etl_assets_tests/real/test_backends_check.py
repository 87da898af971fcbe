"""``etl-assets backends check`` over real servers: what it finds, and what it says when something is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from etl_assets.cli.probing import Outcome, probed
from etl_assets.settings import Settings
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

KEY = "pcsk_canary_backends"
Check = Callable[..., dict[str, Outcome]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Every role of the given variables, by its name."""

    def run(env: dict[str, str], *, paid: bool = False) -> dict[str, Outcome]:
        env = {"ETL_HOME": str(tmp_path / "home"), **env}
        found = probed(Settings.from_environment(env), env, paid=paid, limit_s=60.0)
        assert not any("canary" in json.dumps(one.as_json()) for one in found)
        return {one.role.name: one for one in found}

    return run


def test_databases_the_graph_the_cache_and_the_queue(
    check: Check, database: str, neo4j: Variables, redis: Variables, rabbitmq: Variables
) -> None:
    env = {
        "ETL_POSTGRES_URL": database, "ETL_DAGSTER_POSTGRES_URL": database, "NEO4J_URI": neo4j["ETL_TEST_NEO4J_URI"],
        "NEO4J_USERNAME": neo4j["ETL_TEST_NEO4J_USER"], "NEO4J_PASSWORD": neo4j["ETL_TEST_NEO4J_PASSWORD"],
        "REDIS_URL": redis["ETL_TEST_REDIS_URL"], "ETL_CELERY_BROKER_URL": rabbitmq["ETL_TEST_AMQP_URL"],
    }  # fmt: skip
    found = check(env)
    for name, product in {"ledger": "PostgreSQL", "graph": "Neo4j/", "cache": "Redis", "queue": "RabbitMQ"}.items():
        one = found[name]
        assert one.passed and one.found.version.startswith(product), one.as_json()
        assert one.found.latency_ms and one.found.rights and all(one.found.rights.values())
    assert found["Dagster storage"].passed and found["graph"].variables == (
        "NEO4J_URI", "NEO4J_PASSWORD", "NEO4J_USERNAME",
    )  # fmt: skip
    wrong = check({**env, "NEO4J_PASSWORD": "canary-wrong", "ETL_CELERY_BROKER_URL": _other(env, "canary-wrong")})
    assert "refused the credentials" in wrong["graph"].found.problems[0]
    assert "check user, password" in wrong["queue"].found.problems[0] or "refused" in wrong["queue"].found.problems[0]
    assert wrong["ledger"].passed and wrong["cache"].passed


def _other(env: dict[str, str], password: str) -> str:
    parts = env["ETL_CELERY_BROKER_URL"].partition("://")
    return f"{parts[0]}://nobody:{password}@{parts[2].rpartition('@')[2]}"


def test_buckets(check: Check, minio: Variables) -> None:
    settings = new_bucket(minio).settings
    env = {
        "ETL_S3_BUCKET": settings.bucket, "ETL_S3_PREFIX": "some/where", "AWS_ENDPOINT_URL": str(settings.endpoint_url),
        "AWS_ACCESS_KEY_ID": str(settings.access_key_id), "AWS_SECRET_ACCESS_KEY": str(settings.secret_access_key),
    }  # fmt: skip
    found = check(env)
    for name in ("objects", "originals", "lake"):
        assert found[name].passed, found[name].as_json()
        assert found[name].found.rights == {"list": True, "write": True, "read": True, "delete": True}
    assert found["lake"].found.version == "MinIO"
    left = new_bucket(minio).request("list_objects_v2", "listing")
    assert left.get("KeyCount") == 0
    missing = check({**env, "ETL_S3_BUCKET": "no-such-bucket"})
    assert "no-such-bucket" in missing["lake"].found.problems[0]
    refused = check({**env, "AWS_SECRET_ACCESS_KEY": "canary-secret-key"})
    assert not refused["lake"].passed and refused["lake"].found.rights["write"] is False


def test_models_and_vectors_cost_nothing_unless_allowed(check: Check, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "collections.yaml").write_text("defaults:\n  embedder: {kind: jina}\n")
    with JinaStandIn(keys={KEY}) as jina, PineconeStandIn(keys={KEY}) as pinecone:
        env = {
            "JINA_API_KEY": KEY, "ETL_JINA_BASE_URL": f"{jina.url}/v1",
            "ETL_JINA_RERANKER": "jina-reranker-v2-base-multilingual",
            "PINECONE_API_KEY": KEY, "ETL_PINECONE_HOST": pinecone.url,
        }  # fmt: skip
        found = check(env)
        assert all(one.passed for one in found.values()), [one.as_json() for one in found.values()]
        assert all(one.status != 200 for one in jina.requests) and jina.requests
        paid = check(env, paid=True)
        assert paid["embedder jina"].found.rights == {"use": True} == paid["reranker"].found.rights
        wrong = check({**env, "JINA_API_KEY": "canary-jina", "PINECONE_API_KEY": "canary-pinecone"})
        assert "401" in wrong["embedder jina"].found.problems[0]
        assert "PINECONE_API_KEY" in wrong["vectors"].found.problems[0]


def test_secrets_of_vault(check: Check, openbao: Variables, redis: Variables) -> None:
    env = {
        "VAULT_ADDR": openbao["ETL_TEST_VAULT_ADDR"], "VAULT_TOKEN": openbao["ETL_TEST_VAULT_TOKEN"],
        "REDIS_URL": f"secret:etl-test/{uuid4().hex}#url",
    }  # fmt: skip
    found = check(env)
    assert "no secret" in found["secrets"].found.problems[0] and not found["cache"].passed
    assert found["secrets"].found.rights["rotate"] and found["secrets"].found.version
    wrong = check({**env, "VAULT_TOKEN": "canary-token"})
    assert "VAULT_TOKEN" in wrong["secrets"].found.problems[0]
