"""Accounts whose passwords are canaries, on every backend at once, and the search for a canary wherever bytes are."""

import base64
import json
import re
import secrets
import sqlite3
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import boto3
import neo4j
import psycopg
from psycopg import sql
from redis import Redis
from sqlalchemy.engine import make_url

from etl_assets.backends.s3_client import S3Bucket
from etl_assets_tests.real.hosted_homes import hosted_environment
from etl_assets_tests.servers.fixtures import server
from etl_assets_tests.servers.jina_standin import JinaStandIn
from etl_assets_tests.servers.openai_standin import OpenAIStandIn
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

SECRETS = ("postgres", "pinecone", "neo4j", "redis", "vault", "jina", "openai", "celery")
LEAST = 12
"""What is found of a secret that was cut: so many characters at either end of its longest plain part."""


class Canaries(set[str]):
    """Every secret of a test."""

    def new(self) -> str:
        """One that is written otherwise in a URL and in JSON."""
        secret = f"cn@ry/{uuid4().hex}"
        self.add(secret)
        return secret

    def found(self, where: str, content: bytes) -> list[str]:
        """Each place in ``content`` that tells one, with what stands around it."""
        return [
            f"{where}: {content[max(at - 200, 0) : at + 60]!r}"
            for secret in self
            for form in forms(secret)
            if (at := content.find(form)) >= 0
        ]


def forms(secret: str) -> set[bytes]:
    """What tells ``secret``: itself, both ends of its longest part that is the same in a URL and in JSON, and base64
    of any text with it inside, such as ``user:password``.
    """
    plain = max(re.findall(r"[0-9A-Za-z]+", secret), key=len)
    found = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], plain[:LEAST], plain[-LEAST:]}
    for lead in range(3):
        inside = slice(-(-lead * 8 // 6), (lead + len(secret)) * 8 // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * lead + secret.encode()).decode()[inside])
    return {form.encode() for form in found}


def with_credentials(url: str, user: str, password: str) -> str:
    """The URL for this user."""
    return make_url(url).set(username=user, password=password).render_as_string(hide_password=False)


@contextmanager
def canary_environment(folder: Path, canaries: Canaries) -> Iterator[dict[str, str]]:
    """Variables of an installation on every backend, where each credential is let in and one of ``canaries``."""
    user = f"canary-{uuid4().hex[:8]}"
    told = {name: canaries.new() for name in SECRETS}
    with ExitStack() as stack:
        stack.enter_context(_role(user, told["postgres"]))  # goes after the databases, which are its own
        env = stack.enter_context(hosted_environment(folder))
        pinecone = stack.enter_context(PineconeStandIn(keys={told["pinecone"]}))
        jina = stack.enter_context(JinaStandIn(keys={told["jina"]}))
        openai = stack.enter_context(OpenAIStandIn(keys={told["openai"]}, models={"nomic": 48}))
        session = _session_of_s3(env)
        canaries.update(session.values())
        yield {
            **env, **session,
            "SUPABASE_DB_URL": with_credentials(env["SUPABASE_DB_URL"], user, told["postgres"]),
            "ETL_DAGSTER_POSTGRES_URL": with_credentials(env["ETL_DAGSTER_POSTGRES_URL"], user, told["postgres"]),
            "PINECONE_API_KEY": told["pinecone"], "ETL_PINECONE_HOST": pinecone.url,
            "NEO4J_USERNAME": user, "NEO4J_PASSWORD": stack.enter_context(_graph_user(user, told["neo4j"])),
            "REDIS_URL": stack.enter_context(_cache_user(user, told["redis"])),
            "VAULT_ADDR": server("openbao")["ETL_TEST_VAULT_ADDR"], "VAULT_TOKEN": vault_token(told["vault"]),
            "JINA_API_KEY": stored(told["jina"]), "ETL_JINA_BASE_URL": f"{jina.url}/v1",
            "ETL_JINA_RERANKER": "jina-reranker-v2-base-multilingual",
            "OPENAI_API_KEY": told["openai"], "OPENAI_BASE_URL": f"{openai.url}/v1",
            "CELERY_BROKER_URL": stack.enter_context(_queue_user(user, told["celery"])),
            "ETL_ENCRYPTION_KEY": f"file:{key_file(folder.parent / 'master-key', canaries)}",
        }  # fmt: skip


def key_file(path: Path, canaries: Canaries) -> Path:
    """A master key that is a canary."""
    secret = secrets.token_hex(16)
    canaries.add(secret)
    path.touch(mode=0o600)
    path.write_text(secret)
    return path


def _session_of_s3(env: Mapping[str, str]) -> dict[str, str]:
    """Temporary credentials: the server makes them, so they are the canaries themselves."""
    client = boto3.client(
        "sts", endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    with closing(client):
        made = client.assume_role(RoleArn="arn:aws:iam::0:role/any", RoleSessionName="canary")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
        "AWS_SESSION_TOKEN": made["SessionToken"],
    }  # fmt: skip


@contextmanager
def _role(user: str, password: str) -> Iterator[None]:
    with psycopg.connect(server("postgres")["ETL_TEST_POSTGRES_URL"], autocommit=True) as connection:
        made = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(sql.Identifier(user), password)
        connection.execute(made)
        try:
            yield
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


@contextmanager
def _graph_user(user: str, password: str) -> Iterator[str]:
    given = server("neo4j")
    login = (given["ETL_TEST_NEO4J_USER"], given["ETL_TEST_NEO4J_PASSWORD"])
    with neo4j.GraphDatabase.driver(given["ETL_TEST_NEO4J_URI"], auth=login) as driver:
        named = {"user": user, "password": password}
        driver.execute_query("CREATE USER $user SET PASSWORD $password CHANGE NOT REQUIRED", named, database_="system")
        try:
            yield password
        finally:
            driver.execute_query("DROP USER $user", named, database_="system")


@contextmanager
def _cache_user(user: str, password: str) -> Iterator[str]:
    url = server("redis")["ETL_TEST_REDIS_URL"]
    with closing(Redis.from_url(url)) as client:
        client.execute_command("ACL", "SETUSER", user, "on", f">{password}", "~*", "&*", "+@all")
        try:
            yield with_credentials(url, user, password)
        finally:
            client.execute_command("ACL", "DELUSER", user)


@contextmanager
def _queue_user(user: str, password: str) -> Iterator[str]:
    given = server("rabbitmq")
    url = make_url(given["ETL_TEST_AMQP_URL"])
    login = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()

    def ask(method: str, path: str, body: object) -> None:
        address = f"{given['ETL_TEST_RABBITMQ_MANAGEMENT_URL']}/api/{path}"
        _sent(address, method, body, {"Authorization": f"Basic {login}"})

    ask("PUT", f"users/{user}", {"password": password, "tags": ""})
    ask("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    try:
        yield with_credentials(given["ETL_TEST_AMQP_URL"], user, password)
    finally:
        ask("DELETE", f"users/{user}", None)


def vault_token(token: str) -> str:
    """``token``, which the store lets in for an hour."""
    _vault("auth/token/create", {"id": token, "policies": ["root"], "ttl": "1h"})
    return token


def stored(secret: str) -> str:
    """``secret`` in the store: the reference by which a setting names it."""
    name = f"etl-test/{uuid4().hex}"
    _vault(f"secret/data/{name}", {"data": {"key": secret}})
    return f"secret:{name}#key"


def _vault(path: str, body: object) -> None:
    given = server("openbao")
    _sent(f"{given['ETL_TEST_VAULT_ADDR']}/v1/{path}", "POST", body, {"X-Vault-Token": given["ETL_TEST_VAULT_TOKEN"]})


def _sent(address: str, method: str, body: object, headers: Mapping[str, str]) -> None:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        address, content, method=method, headers={**headers, "Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()


def bytes_of_home(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and every table of SQLite files, whose long values may lie in pieces in the file."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        yield f"{path}", content
        if content.startswith(b"SQLite format 3\0"):
            with closing(sqlite3.connect(path)) as connection:
                names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for (name,) in names:
                    yield f"{path}: {name}", b"\n".join(_values(connection.execute(f'SELECT * FROM "{name}"')))


def bytes_of_database(url: str) -> Iterator[tuple[str, bytes]]:
    """Every column of every table of a PostgreSQL database."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for names in tables:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*names)))
            yield f"{make_url(url).database}: {names[1]}", b"\n".join(_values(rows))


def _values(rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    for row in rows:
        for value in row:
            yield _unpacked(value) if isinstance(value, bytes) else str(value).encode()


def _unpacked(value: bytes) -> bytes:
    """Dagster keeps snapshots of jobs compressed."""
    try:
        return zlib.decompress(value)
    except zlib.error:
        return value


def bytes_of_bucket(bucket: S3Bucket) -> Iterator[tuple[str, bytes]]:
    """Every object."""
    listed = bucket.request("list_objects_v2", "listing")
    for one in listed.get("Contents", ()):
        answer = bucket.request("get_object", "reading", Key=one["Key"])
        yield one["Key"], one["Key"].encode() + b"\n" + answer["Body"].read()
