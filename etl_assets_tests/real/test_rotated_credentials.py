"""Credentials of OpenBao that are changed while backends use them: the next call reads them anew, in the same process.

A value that the backend does not accept is an error at once, and never shown.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import boto3
import httpx
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.vault_secrets import VaultSecrets, vault_api
from etl_assets.errors import EtlAssetsError, PermanentError, TransientError
from etl_assets.hosted_bindings import Connections
from etl_assets.settings import Settings
from etl_assets_tests.real.graphs import access_to
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.model import Server
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn

Opened = Callable[..., Connections]
FIRST, SECOND = "canary-first-1", "canary-second-2"


class Vault:
    """One secret in OpenBao, at a path of the test alone."""

    def __init__(self, variables: Variables) -> None:
        self.variables = variables
        token = FixedCredential(variables["ETL_TEST_VAULT_TOKEN"], source="VAULT_TOKEN")
        self.api = vault_api(variables["ETL_TEST_VAULT_ADDR"], token)
        self.name = f"etl-test/{uuid4().hex}#value"

    def put(self, value: str) -> None:
        """What everybody who reads it from now on gets."""
        VaultSecrets(self.api).rotate(self.name, value, lambda _: None)


@pytest.fixture
def vault(openbao: Variables) -> Iterator[Vault]:
    store = Vault(openbao)
    yield store
    store.api.close()


@pytest.fixture
def opened(vault: Vault, tmp_path: Path) -> Iterator[Opened]:
    """Backends of an installation with these variables, whose secret is in OpenBao."""
    connections: list[Connections] = []

    def open_with(**variables: str) -> Connections:
        env = {
            "ETL_HOME": str(tmp_path), "VAULT_ADDR": vault.variables["ETL_TEST_VAULT_ADDR"],
            "VAULT_TOKEN": vault.variables["ETL_TEST_VAULT_TOKEN"], **variables,
        }  # fmt: skip
        connections.append(Connections(Settings.from_environment(env)))
        connections[-1].settings.home.create()
        return connections[-1]

    yield open_with
    for one in connections:
        one.close()


def refused(act: Callable[[], object], kind: type[EtlAssetsError] = PermanentError) -> str:
    """What is said, in which no secret stands."""
    with pytest.raises(kind) as told:
        act()
    said = str(told.value)
    assert "canary" not in said
    return said


def test_the_password_of_a_neo4j_user(neo4j: Variables, vault: Vault, opened: Opened) -> None:
    from neo4j import GraphDatabase

    user, admin = f"u{uuid4().hex[:8]}", access_to(neo4j)
    vault.put(FIRST)
    with GraphDatabase.driver(admin.uri, auth=(admin.user, str(admin.password))) as driver:

        def system(statement: str) -> None:
            driver.execute_query(statement, {"user": user}, database_="system")  # type: ignore[arg-type]

        system(f"CREATE USER $user SET PASSWORD '{FIRST}' CHANGE NOT REQUIRED")
        try:
            hosted = opened(NEO4J_URI=admin.uri, NEO4J_USERNAME=user, NEO4J_PASSWORD=f"secret:{vault.name}")
            graph = hosted.graph()
            assert graph.counts("acme", "reports", [10**9]) == {}
            system(f"ALTER USER $user SET PASSWORD '{SECOND}'")
            vault.put(SECOND)
            graph.close()  # a connection that has been let in stays
            assert graph.counts("acme", "reports", [10**9]) == {}
            system(f"ALTER USER $user SET PASSWORD '{FIRST}'")
            graph.close()
            assert f"check NEO4J_USER and {vault.name}" in refused(lambda: graph.counts("acme", "reports", [10**9]))
        finally:
            system("DROP USER $user")


def test_the_password_of_a_postgresql_role(
    own_server: Callable[[str, Mapping[str, str]], Server], vault: Vault, opened: Opened
) -> None:
    admin = own_server("postgres", {}).variables["ETL_TEST_POSTGRES_URL"]
    name = f"u{uuid4().hex[:8]}"
    url = make_url(admin).set(username=name)
    with psycopg.connect(admin, autocommit=True) as connection:
        rules = Path(connection.execute("SHOW hba_file").fetchone()[0])  # type: ignore[index]
        rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{FIRST}'")  # type: ignore[call-overload]
        connection.execute(f"GRANT CREATE ON SCHEMA public TO {name}")  # type: ignore[call-overload]
        connection.execute("SELECT pg_reload_conf()")
        vault.put(url.set(password=FIRST).render_as_string(hide_password=False))
        ledger = opened(ETL_POSTGRES_URL=f"secret:{vault.name}").ledger()

        def asked() -> object:
            with ledger.reading() as reading:
                return reading.scalar(text("SELECT current_user"))

        assert asked() == name
        connection.execute(f"ALTER ROLE {name} PASSWORD '{SECOND}'")  # type: ignore[call-overload]
        vault.put(url.set(password=SECOND).render_as_string(hide_password=False))
        ledger.close()  # a session that has been let in stays
        assert asked() == name
        connection.execute(f"ALTER ROLE {name} PASSWORD '{FIRST}'")  # type: ignore[call-overload]
        ledger.close()
        assert "password" in refused(asked)


def test_the_password_of_a_redis_user(redis: Variables, vault: Vault, opened: Opened) -> None:
    import redis as client

    name = f"u{uuid4().hex[:8]}"
    url = make_url(redis["ETL_TEST_REDIS_URL"]).set(username=name)
    with client.Redis.from_url(redis["ETL_TEST_REDIS_URL"]) as admin:

        def password(value: str) -> None:
            admin.acl_setuser(name, enabled=True, passwords=[f"+{value}"], reset_passwords=True, commands=["+@all"])
            # Sessions of the user end, as when a server restarts.
            admin.execute_command("CLIENT", "KILL", "USER", name)

        try:
            password(FIRST)
            vault.put(url.set(password=FIRST).render_as_string(hide_password=False))
            server = opened(REDIS_URL=f"secret:{vault.name}").redis
            assert server is not None and server.run(lambda one: one.acl_whoami()) == name
            password(SECOND)
            vault.put(url.set(password=SECOND).render_as_string(hide_password=False))
            assert server.run(lambda one: one.acl_whoami()) == name
            password(FIRST)
            assert f"check {vault.name}" in refused(lambda: server.run(lambda one: one.acl_whoami()), TransientError)
        finally:
            admin.acl_deluser(name)


def test_the_key_of_a_pinecone_project(vault: Vault, opened: Opened) -> None:
    vault.put(FIRST)
    with PineconeStandIn(keys={FIRST}) as standin:
        vectors = opened(PINECONE_API_KEY=f"secret:{vault.name}", ETL_PINECONE_HOST=standin.url).vectors()
        assert vectors.spaces() == []
        standin.keys = {SECOND}
        assert f"check {vault.name}" in refused(vectors.spaces)
        vault.put(SECOND)
        assert vectors.spaces() == []


def test_the_keys_of_an_s3_user(
    own_server: Callable[[str, Mapping[str, str]], Server], vault: Vault, opened: Opened
) -> None:
    given = own_server("moto", {}).variables
    iam = boto3.client(
        "iam", endpoint_url=given["ETL_TEST_MOTO_ENDPOINT"], region_name="us-east-1", aws_access_key_id="any",
        aws_secret_access_key="any",
    )  # fmt: skip
    bucket = new_bucket(given).settings.bucket
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.create_user(UserName="user")
    iam.put_user_policy(UserName="user", PolicyName="all", PolicyDocument=json.dumps(everything))
    keys = [iam.create_access_key(UserName="user")["AccessKey"] for _ in range(2)]

    def put(key: Mapping[str, str]) -> None:
        for part in ("AccessKeyId", "SecretAccessKey"):
            VaultSecrets(vault.api).rotate(vault.name.replace("#value", f"#{part}"), key[part], lambda _: None)

    put(keys[0])
    names = {part: vault.name.replace("#value", f"#{part}") for part in ("AccessKeyId", "SecretAccessKey")}
    store = opened(
        ETL_S3_BUCKET=bucket, AWS_ENDPOINT_URL=given["ETL_TEST_MOTO_ENDPOINT"],
        AWS_ACCESS_KEY_ID=f"secret:{names['AccessKeyId']}", AWS_SECRET_ACCESS_KEY=f"secret:{names['SecretAccessKey']}",
    ).bucket("lake")  # fmt: skip
    store.request("put_object", "writing", Key="a", Body=b"text")
    iam.update_access_key(UserName="user", AccessKeyId=keys[0]["AccessKeyId"], Status="Inactive")
    iam.delete_access_key(UserName="user", AccessKeyId=keys[0]["AccessKeyId"])
    # From now on moto asks who calls, as AWS does.
    httpx.post(f"{given['ETL_TEST_MOTO_ENDPOINT']}/moto-api/reset-auth", content="0").raise_for_status()
    assert "InvalidAccessKeyId" in refused(lambda: store.request("get_object", "reading", Key="a"))
    put(keys[1])
    store.request("get_object", "reading", Key="a")
    store.request("head_object", "looking", Key="a")
