"""A master key in AWS KMS, as moto plays it inside this process."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from moto import mock_aws

from etl_assets.backends.kms_keys import KmsKey, kms_client
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.keys import Wrapping


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        opened = kms_client("x", region="eu-central-1")
        yield opened
        opened.close()


@pytest.fixture
def arn(client: Any) -> str:
    return str(client.create_key()["KeyMetadata"]["Arn"])


def test_a_key_is_unwrapped_in_its_own_context_only(client: Any, arn: str) -> None:
    master, secret = KmsKey(lambda: client, arn), secrets.token_bytes(32)
    wrapping = master.wrap(secret, "context")
    assert master.current() == (wrapping.master, wrapping.version) == (f"aws-kms:{arn}", "")
    assert master.opens(wrapping.master)
    assert not master.opens("file:0")
    assert secret not in wrapping.wrapped
    assert master.unwrap(wrapping, "context") == secret
    with pytest.raises(PermanentError, match="altered") as caught:
        master.unwrap(wrapping, "other")
    assert secret.hex() not in str(caught.value)


def test_an_alias_that_moved_still_opens_what_its_former_key_wrapped(client: Any, arn: str) -> None:
    client.create_alias(AliasName="alias/main", TargetKeyId=arn)
    master = KmsKey(lambda: client, "alias/main")
    wrapping = master.wrap(b"s" * 32, "context")
    client.update_alias(AliasName="alias/main", TargetKeyId=client.create_key()["KeyMetadata"]["KeyId"])
    assert master.current()[0] != f"aws-kms:{arn}"
    assert master.unwrap(wrapping, "context") == b"s" * 32


def test_the_region_is_that_of_the_arn(client: Any) -> None:
    opened = kms_client("arn:aws:kms:us-west-2:123456789012:key/x")
    assert opened.meta.region_name == "us-west-2"
    opened.close()


def test_a_missing_region_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigError, match="AWS_REGION"):
        kms_client("key")


def test_an_absent_key_is_a_wrong_setting_that_names_it(client: Any) -> None:
    with pytest.raises(ConfigError, match="no such key") as caught:
        KmsKey(lambda: client, "11111111-2222-3333-4444-555555555555").current()
    assert "11111111-2222" in str(caught.value)


class Refusing:
    """A client whose every call fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def decrypt(self, **_: object) -> None:
        raise self._error

    encrypt = describe_key = decrypt


def refusing(error: Exception) -> Any:
    return lambda: Refusing(error)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("DisabledException", PermanentError, "enable it"),
        ("KMSInvalidStateException", PermanentError, "cancel the deletion"),
        ("AccessDeniedException", PermanentError, "kms:Decrypt"),
        ("IncorrectKeyException", PermanentError, "altered"),
        ("ThrottlingException", TransientError, "try later"),
        ("Surprise", PermanentError, "Surprise"),
    ],
)
def test_a_refusal_names_the_key_and_tells_what_to_do(code: str, kind: type[Exception], words: str) -> None:
    master = KmsKey(refusing(ClientError({"Error": {"Code": code}}, "Decrypt")), "alias/main")
    wrapping = Wrapping("aws-kms:arn:the-key", "", b"wrapped")
    with pytest.raises(kind, match=words) as caught:
        master.unwrap(wrapping, "context")
    assert "arn:the-key" in str(caught.value)


def test_silence_may_pass_and_missing_credentials_do_not() -> None:
    silent = KmsKey(refusing(EndpointConnectionError(endpoint_url="x")), "alias/main")
    with pytest.raises(TransientError, match="does not answer"):
        silent.wrap(b"s", "context")
    nameless = KmsKey(refusing(NoCredentialsError()), "alias/main")
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        nameless.wrap(b"s", "context")
