"""Hosted backends chosen by variables: vendors' names, .env files, and everything wrong named at once."""

import traceback
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from etl_assets.errors import ConfigError, TransientError
from etl_assets.hosted_bindings import Connections, pools_transactions
from etl_assets.hosted_settings import GROUPS
from etl_assets.settings import Settings, with_env_file

ALL = {
    "ETL_S3_BUCKET": "reports", "AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_ACCESS_KEY_ID": "id-canary",
    "AWS_SECRET_ACCESS_KEY": "secret-canary", "SUPABASE_DB_URL": "postgresql://u:url-canary@db.example.org:6543/postgres",
    "PINECONE_API_KEY": "pinecone-canary", "NEO4J_URI": "neo4j+s://graph.example.org", "NEO4J_PASSWORD": "neo4j-canary",
    "JINA_API_KEY": "jina-canary", "OPENAI_API_KEY": "openai-canary", "REDIS_URL": "redis://:redis-canary@localhost",
    "VAULT_ADDR": "https://vault.example.org", "VAULT_TOKEN": "vault-canary",
    "CELERY_BROKER_URL": "amqp://u:celery-canary@localhost", "ETL_ENCRYPTION_KEY": "file:/keys/master",
}  # fmt: skip


def test_the_usual_names_of_each_vendor_choose_its_backend() -> None:
    settings = Settings.from_environment(ALL)
    used = {name for name in GROUPS if getattr(settings, name) is not None}
    assert used == set(GROUPS) - {"aws_secrets"}
    assert settings.neo4j is not None and settings.neo4j.user == "neo4j"
    assert settings.s3 is not None and settings.s3.endpoint_url == "http://127.0.0.1:9000"
    assert Settings.from_environment(settings.as_environment()) == settings
    assert settings.embedded() == Settings.from_environment({})


def test_no_credential_is_in_the_repr_of_settings() -> None:
    assert "canary" not in repr(Settings.from_environment(ALL))


def test_variables_of_aws_alone_choose_nothing() -> None:
    assert Settings.from_environment({"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x"}).s3 is None


def test_every_missing_and_wrong_variable_is_named_at_once_and_none_is_shown() -> None:
    env = {
        "NEO4J_URI": "neo4j://graph.example.org", "SUPABASE_DB_URL": "mysql://u:canary@localhost/db",
        "ETL_S3_BUCKET": "Bad_Bucket", "AWS_ACCESS_KEY_ID": "only-this", "VAULT_ADDR": "http://127.0.0.1:8200",
        "ETL_JINA_REQUESTS_PER_MINUTE": "many", "ETL_S3_BUKET": "reports", "PINECONE_API_KEY": "secret:pinecone#key",
    }  # fmt: skip
    with pytest.raises(ConfigError) as refusal:
        Settings.from_environment(env)
    text = str(refusal.value)
    for name in (
        "ETL_NEO4J_PASSWORD", "SUPABASE_DB_URL", "ETL_S3_BUCKET", "AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN",
        "ETL_JINA_REQUESTS_PER_MINUTE", "ETL_S3_BUKET",
    ):  # fmt: skip
        assert name in text, name
    assert "canary" not in text


@pytest.mark.parametrize(
    "password",
    ["c4n@4ry", "c4n/4ry", "12/c4n@4ry", "12/c4n4ry", "c4n#4ry", "c4n?4ry", "c4n:4ry@", "c4n[4ry", "c4n 4ry"],
)
def test_an_address_whose_password_is_not_spelled_as_in_a_url_is_refused_and_not_shown(password: str) -> None:
    env = {
        "SUPABASE_DB_URL": f"postgresql://u:{password}@db.example.org/ledger",
        "REDIS_URL": f"redis://:{password}@localhost:6379/0",
    }
    with pytest.raises(ConfigError) as refusal:
        Settings.from_environment(env)
    text = str(refusal.value)
    assert all(f"{name}=(not shown): use an address that begins with" in text for name in env)
    assert text.count("inside a password write %40 for @") == 2
    assert not any(part in "".join(traceback.format_exception(refusal.value)) for part in ("c4n", "4ry"))


def test_an_address_whose_password_is_spelled_as_in_a_url_is_read() -> None:
    url = "postgresql://u:12%2Fc%40n%3Aary@db.example.org:5432/ledger?sslmode=require"
    settings = Settings.from_environment({"SUPABASE_DB_URL": url})
    assert settings.postgres is not None and settings.postgres.url == url


def test_a_value_may_name_a_secret_only_where_a_store_is_set() -> None:
    env = {"PINECONE_API_KEY": "secret:etl/pinecone#key"}
    with pytest.raises(ConfigError, match="ETL_PINECONE_API_KEY: names a secret; set its store"):
        Settings.from_environment(env)
    stored = Settings.from_environment({**env, "VAULT_ADDR": "http://127.0.0.1:8200", "VAULT_TOKEN": "t"})
    assert stored.pinecone is not None and stored.pinecone.api_key == "secret:etl/pinecone#key"


def test_secrets_come_from_one_store() -> None:
    with pytest.raises(ConfigError, match="set one of them"):
        Settings.from_environment({"VAULT_ADDR": "http://v", "VAULT_TOKEN": "t", "ETL_AWS_SECRETS_REGION": "eu-west-1"})


def test_an_env_file_is_read_below_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert with_env_file({"A": "1"}) == {"A": "1"}
    (tmp_path / ".env").write_text("# comment\nexport NEO4J_URI=neo4j://a\nETL_LEASE_S='30'\nPASS=a$b#c\n")
    assert with_env_file({"ETL_LEASE_S": "40"}) == {
        "NEO4J_URI": "neo4j://a", "ETL_LEASE_S": "40", "PASS": "a$b#c",
    }  # fmt: skip


def test_an_env_file_that_is_missing_or_broken_is_said_without_its_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        with_env_file({"ETL_ENV_FILE": str(tmp_path / "no.env")})
    broken = tmp_path / "broken.env"
    broken.write_text("ETL_LEASE_S=30\n'canary\n")
    with pytest.raises(ConfigError, match="line 2: write NAME=VALUE") as refusal:
        with_env_file({"ETL_ENV_FILE": str(broken)})
    assert "canary" not in str(refusal.value)


def test_every_variable_of_a_group_is_a_field_of_its_place_and_its_default_is_allowed() -> None:
    for group in GROUPS.values():
        assert {one.name for one in fields(group.place)} == set(group.variables)
        for one in fields(group.place):
            described = group.variables[one.name].field
            assert described.meaning
            if one.default is None:
                assert described.optional, one.name
            elif one.default is not MISSING and one.default != "":
                assert described.kind.read(str(one.default)) == one.default


def test_supabases_transaction_port_is_known_and_may_be_overruled() -> None:
    assert pools_transactions("postgresql://u@h:6543/db", None)
    assert not pools_transactions("postgresql://u@h:5432/db", None)
    assert pools_transactions("postgresql://u@h:6432/db", "transaction")
    assert not pools_transactions("postgresql://u@h:6543/db", "session")


def test_a_missing_client_library_is_said_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.hosted_bindings.importlib.util.find_spec", lambda name: None)
    hosted = Connections(Settings.from_environment({k: v for k, v in ALL.items() if not k.startswith("VAULT")}))
    for open_it, extra in (
        (hosted.arrivals, "s3"), (hosted.vectors, "pinecone"), (hosted.graph, "neo4j"), (hosted.jina_api, "jina"),
        (hosted.openai_api, "openai"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=rf"pip install 'etl-assets\[{extra}\]'"):
            open_it()


def test_a_tenth_of_an_accounts_limits_is_kept_for_questions(tmp_path: Path) -> None:
    env = {"ETL_HOME": str(tmp_path / "home"), "JINA_API_KEY": "canary", "ETL_JINA_REQUESTS_PER_MINUTE": "10"}
    settings = Settings.from_environment(env)
    settings.home.create()
    one, other = (Connections(settings).models.jina() for _ in range(2))
    assert one.bulk is not None and one.queries is not None and other.queries is not None
    for _ in range(9):
        assert one.bulk.reserve(1, patience_s=0).wait_s == 0
    with pytest.raises(TransientError, match="jina-embeddings-documents: 9 requests"):
        one.bulk.reserve(1, patience_s=0)
    assert one.queries.reserve(1, patience_s=0).wait_s == 0
    with pytest.raises(TransientError, match="jina-embeddings-questions: 1 requests"):
        other.queries.reserve(1, patience_s=0)
