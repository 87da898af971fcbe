"""AWS Secrets Manager, as moto plays it inside this process."""

import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from etl_assets.backends.aws_secrets import AwsSecrets, secrets_manager
from etl_assets.errors import ConfigError, PermanentError, TransientError

CANARY = "canary-c0ffee-do-not-show"


class Refusing(Exception):
    """What a verification raises in these tests."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        opened = secrets_manager(region="eu-central-1")
        yield opened
        opened.close()


def stages(client: Any, name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = client.describe_secret(SecretId=name)["VersionIdsToStages"]
    return found


def test_whole_secrets_and_fields_are_read_with_their_version(client: Any) -> None:
    made = client.create_secret(Name="jina", SecretString='{"key": "k", "n": 3}')
    client.create_secret(Name="plain", SecretString="text")
    secrets = AwsSecrets(client)
    assert secrets.get("plain") == secrets.reread("plain").text == "text"
    assert secrets.current("jina#key").version == made["VersionId"]
    assert secrets.get("jina#key") == "k"
    for name, words in (
        ("absent", "there is none"),
        ("jina#n", "no text in its field"),
        ("plain#key", "no JSON object"),
        ("#x", "id#field"),
    ):
        with pytest.raises(ConfigError, match=words):
            secrets.get(name)


def test_a_binary_secret_is_refused(client: Any) -> None:
    client.create_secret(Name="binary", SecretBinary=b"\0\1")
    with pytest.raises(ConfigError, match="no text"):
        AwsSecrets(client).get("binary")


def test_a_secret_that_is_no_object_is_not_shown(client: Any) -> None:
    client.create_secret(Name="plain", SecretString=CANARY)
    with pytest.raises(ConfigError) as caught:
        AwsSecrets(client).get("plain#key")
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(AwsSecrets(client))


def test_a_verified_value_becomes_current_and_the_former_previous(client: Any) -> None:
    first = client.create_secret(Name="jina", SecretString='{"key": "old", "other": "kept"}')["VersionId"]
    secrets, seen = AwsSecrets(client), []

    def verify(value: str) -> None:
        seen.append((value, secrets.get("jina#key")))

    made = secrets.rotate("jina#key", "new", verify)
    assert seen == [("new", "old")]
    assert secrets.get("jina#key") == "new" and secrets.get("jina#other") == "kept"
    found = stages(client, "jina")
    assert found[made.version] == ["AWSCURRENT"] and found[first] == ["AWSPREVIOUS"]


def test_a_refused_value_never_becomes_current(client: Any) -> None:
    client.create_secret(Name="jina", SecretString="old")
    secrets = AwsSecrets(client)

    def refuse(value: str) -> None:
        assert value == CANARY
        raise Refusing

    with pytest.raises(Refusing):
        secrets.rotate("jina", CANARY, refuse)
    assert secrets.get("jina") == "old"
    assert not any("AWSPENDING" in labels for labels in stages(client, "jina").values())
    assert secrets.rotate("jina", "new", lambda value: None).text == secrets.get("jina") == "new"


def test_a_change_by_somebody_else_is_not_overwritten(client: Any) -> None:
    client.create_secret(Name="jina", SecretString="old")
    secrets = AwsSecrets(client)
    with pytest.raises(TransientError, match="somebody else"):
        secrets.rotate("jina", "mine", lambda value: client.put_secret_value(SecretId="jina", SecretString="theirs"))
    assert secrets.get("jina") == "theirs"


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("AccessDeniedException", 400, PermanentError),
        ("DecryptionFailure", 400, PermanentError),
        ("ThrottlingException", 400, TransientError),
        ("SomethingNew", 500, TransientError),
    ],
)
def test_refusals_are_told_apart(client: Any, code: str, status: int, error: type[Exception]) -> None:
    from botocore.stub import Stubber

    with Stubber(client) as stub:
        stub.add_client_error("get_secret_value", code, "no", status)
        with pytest.raises(error, match=f"AWS secret jina: {code}"):
            AwsSecrets(client).get("jina")


def test_missing_credentials_region_and_server_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(ConfigError, match="set AWS_REGION"):
        secrets_manager()
    opened = secrets_manager(region="eu-central-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        AwsSecrets(opened).get("jina")
    opened.close()
