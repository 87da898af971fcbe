"""``etl-assets backends check`` over real servers: what it finds, and what it says when something is wrong."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.http_calls import Request
from etl_assets.backends.key_files import create_key_file
from etl_assets.backends.vault_secrets import vault_api
from etl_assets.cli.probing import Outcome, probed
from etl_assets.settings import Settings
from etl_assets_tests.real.echoes import Echo
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.openai_standin import OpenAIStandIn
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
    check: Check, database: str, lone_neo4j: Variables, redis: Variables, rabbitmq: Variables
) -> None:
    env = {
        "ETL_POSTGRES_URL": database, "ETL_DAGSTER_POSTGRES_URL": database,
        "NEO4J_URI": lone_neo4j["ETL_TEST_NEO4J_URI"],
        "NEO4J_USERNAME": lone_neo4j["ETL_TEST_NEO4J_USER"], "NEO4J_PASSWORD": lone_neo4j["ETL_TEST_NEO4J_PASSWORD"],
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


@pytest.fixture
def closed() -> Iterator[str]:
    """An address that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 finds by itself."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-aws")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_an_openai_compatible_endpoint(check: Check, tmp_path: Path, closed: str) -> None:
    (tmp_path / "home").mkdir()
    model = "defaults:\n  embedder: {kind: openai, model: nomic, dimension: 48}\n"
    (tmp_path / "home" / "collections.yaml").write_text(model)
    with OpenAIStandIn(keys={KEY}, models={"nomic": 48}) as openai, Echo(status=403) as forbidding:
        env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{openai.url}/v1"}
        one = check(env)["embedder openai"]
        assert one.passed and one.found.latency_ms and all(asked.status != 200 for asked in openai.requests)
        assert check(env, paid=True)["embedder openai"].found.rights == {"use": True}
        wrong = check({**env, "OPENAI_API_KEY": "canary-openai"})["embedder openai"]
        assert "401" in wrong.found.problems[0] and "OPENAI_API_KEY" in wrong.found.problems[0]
        forbidden = check({**env, "OPENAI_BASE_URL": f"{forbidding.url}/v1"})["embedder openai"]
        assert "403" in forbidden.found.problems[0]
        away = check({**env, "OPENAI_BASE_URL": f"{closed}/v1"})["embedder openai"]
        assert not away.passed and "OpenAI-compatible endpoint" in away.found.problems[0]


def test_the_queue_of_arrivals(check: Check, elasticmq: Variables, minio: Variables, closed: str) -> None:
    endpoint, bucket = elasticmq["ETL_TEST_SQS_ENDPOINT"], new_bucket(minio).settings
    client = boto3.client(
        "sqs", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    url = str(client.create_queue(QueueName=f"check-{uuid4().hex}")["QueueUrl"])
    client.send_message(QueueUrl=url, MessageBody="waits")
    env = {
        "ETL_S3_BUCKET": bucket.bucket, "AWS_ENDPOINT_URL": str(bucket.endpoint_url), "ETL_S3_EVENTS_QUEUE_URL": url,
        "AWS_ACCESS_KEY_ID": str(bucket.access_key_id), "AWS_SECRET_ACCESS_KEY": str(bucket.secret_access_key),
    }  # fmt: skip
    one = check(env)["events"]
    assert one.passed and one.found.rights == {"read attributes": True} and one.found.latency_ms, one.as_json()
    assert one.found.limits["messages waiting"] == "1"
    received = client.receive_message(QueueUrl=url, AttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert [message["Attributes"]["ApproximateReceiveCount"] for message in received] == ["1"], "nobody received it"
    client.close()
    assert "check its address" in check({**env, "ETL_S3_EVENTS_QUEUE_URL": f"{url}-none"})["events"].found.problems[0]
    away = check({**env, "ETL_S3_EVENTS_QUEUE_URL": f"{closed}/queue/any"})["events"]
    assert "is the address right?" in away.found.problems[0]
    with Echo(status=403) as forbidding:
        forbidden = check({**env, "ETL_S3_EVENTS_QUEUE_URL": f"{forbidding.url}/queue/any"})["events"]
    assert "the keys' rights" in forbidden.found.problems[0] and not forbidden.found.rights


def test_secrets_of_aws(check: Check, moto: Variables, redis: Variables, aws: None, closed: str) -> None:
    endpoint, name = moto["ETL_TEST_MOTO_ENDPOINT"], f"redis-{uuid4().hex}"
    client = boto3.client("secretsmanager", endpoint_url=endpoint, region_name="us-east-1")
    client.create_secret(Name=name, SecretString=json.dumps({"url": redis["ETL_TEST_REDIS_URL"]}))
    client.close()
    env = {
        "ETL_AWS_SECRETS_REGION": "us-east-1", "ETL_AWS_SECRETS_ENDPOINT_URL": endpoint,
        "REDIS_URL": f"secret:{name}#url",
    }  # fmt: skip
    found = check(env)
    assert found["secrets"].passed and found["secrets"].found.latency_ms, found["secrets"].as_json()
    assert found["secrets"].found.rights == {"read": True} and found["cache"].passed
    absent = check({**env, "REDIS_URL": "secret:none#url"})
    assert "AWS secret none" in absent["secrets"].found.problems[0] and not absent["cache"].passed
    away = check({**env, "ETL_AWS_SECRETS_ENDPOINT_URL": closed})["secrets"]
    assert "does not answer" in away.found.problems[0] and not away.found.rights.get("read")
    with Echo(status=403) as forbidding:
        forbidden = check({**env, "ETL_AWS_SECRETS_ENDPOINT_URL": forbidding.url})["secrets"]
    assert "check the rights" in forbidden.found.problems[0] and not forbidden.found.rights.get("read")


def test_a_key_of_kms(
    check: Check, moto: Variables, aws: None, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", moto["ETL_TEST_MOTO_ENDPOINT"])
    client = boto3.client("kms")
    key = str(client.create_key()["KeyMetadata"]["Arn"])
    one = check({"ETL_ENCRYPTION_KEY": f"aws-kms:{key}"})["encryption key"]
    assert one.passed and one.found.rights == {"wrap": True, "unwrap": True} and one.found.latency_ms, one.as_json()
    client.close()
    absent = check({"ETL_ENCRYPTION_KEY": f"aws-kms:{uuid4()}"})["encryption key"]
    assert "no such key" in absent.found.problems[0] and not absent.found.rights
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", closed)
    away = check({"ETL_ENCRYPTION_KEY": f"aws-kms:{key}"})["encryption key"]
    assert "does not answer" in away.found.problems[0]
    with Echo(status=403) as forbidding:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", forbidding.url)
        forbidden = check({"ETL_ENCRYPTION_KEY": f"aws-kms:{key}"})["encryption key"]
    assert "its policy" in forbidden.found.problems[0] and not forbidden.found.rights


def test_a_key_of_vaults_transit_engine(check: Check, openbao: Variables, closed: str) -> None:
    address, mount = openbao["ETL_TEST_VAULT_ADDR"], f"transit-{uuid4().hex[:12]}"
    api = vault_api(address, FixedCredential(openbao["ETL_TEST_VAULT_TOKEN"], source="TOKEN"))

    def send(path: str, body: object) -> dict[str, str]:
        answer = api.call(Request("POST", f"/v1/{path}", body, accepts=(204,)), lambda answer: answer.body)
        return dict((answer or {}).get("auth") or {})

    send(f"sys/mounts/{mount}", {"type": "transit"})
    send(f"{mount}/keys/main", {"type": "aes256-gcm96"})
    nobody = send("auth/token/create", {"policies": ["default"], "ttl": "10m"})["client_token"]
    api.close()
    env = {
        "VAULT_ADDR": address, "VAULT_TOKEN": openbao["ETL_TEST_VAULT_TOKEN"],
        "ETL_ENCRYPTION_KEY": f"vault-transit:{mount}/main",
    }  # fmt: skip
    one = check(env)["encryption key"]
    assert one.passed and one.found.rights == {"wrap": True, "unwrap": True}, one.as_json()
    assert not check({**env, "ETL_ENCRYPTION_KEY": f"vault-transit:{mount}-none/main"})["encryption key"].passed
    forbidden = check({**env, "VAULT_TOKEN": nobody})["encryption key"]
    assert "403" in forbidden.found.problems[0] and not forbidden.found.rights
    away = check({**env, "VAULT_ADDR": closed})
    assert "Vault" in away["encryption key"].found.problems[0] and not away["secrets"].passed


def test_a_key_in_a_file(check: Check, tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    create_key_file(path)
    one = check({"ETL_ENCRYPTION_KEY": f"file:{path}"})["encryption key"]
    assert one.passed and one.found.rights == {"wrap": True, "unwrap": True}
    path.chmod(0o644)
    assert str(path) in check({"ETL_ENCRYPTION_KEY": f"file:{path}"})["encryption key"].found.problems[0]
    path.unlink()
    assert str(path) in check({"ETL_ENCRYPTION_KEY": f"file:{path}"})["encryption key"].found.problems[0]
