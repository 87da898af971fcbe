"""Secrets in AWS Secrets Manager.

API: docs.aws.amazon.com/secretsmanager/latest/apireference
"""

import json
import uuid
from collections.abc import Callable
from typing import Any

from etl_assets.backends.aws_errors import Refusals, aws_failures
from etl_assets.errors import ConfigError, EtlAssetsError, TransientError
from etl_assets.protocols.secrets import SecretValue

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
_REFUSALS = Refusals(
    settings={"ResourceNotFoundException": "there is none of this name and label here; check name and region"},
    otherwise="check the rights and the key of the secret",
)


def secrets_manager(*, region: str | None = None, endpoint_url: str | None = None, timeout_s: float = 10.0) -> Any:
    """A client of boto3, with its own bounded retries; credentials and region by boto3's usual chain.

    Raises:
        ConfigError: no region is set.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(connect_timeout=timeout_s, read_timeout=timeout_s, retries={"mode": "standard", "max_attempts": 4})
    try:
        return boto3.client("secretsmanager", region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as e:
        raise ConfigError(f"AWS Secrets Manager: {e}; set AWS_REGION") from e


class AwsSecrets:
    """Secrets named by id or ARN; ``id#field`` is one field of a secret that is a JSON object.

    A rotation writes the new value under the label AWSPENDING and moves AWSCURRENT to it when it is verified;
    Secrets Manager then labels the former one AWSPREVIOUS. ``client`` is boto3's, see ``secrets_manager``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __repr__(self) -> str:
        return "AwsSecrets()"

    def get(self, name: str) -> str:
        """The secret's text now; raises as ``Secrets.get``."""
        return self.current(name).text

    def current(self, name: str) -> SecretValue:
        """The secret's text with its version id; raises as ``Secrets.get``."""
        return self._read(name, CURRENT)

    def reread(self, name: str) -> SecretValue:
        """As ``current``: nothing is kept."""
        return self.current(name)

    def rotate(self, name: str, new_value: str, verify: Callable[[str], None]) -> SecretValue:
        """See ``RotatingSecrets.rotate``; the other fields of a JSON secret stay as they are.

        Raises:
            ConfigError: there is no such secret: making one takes decisions (key, policy) that are not made here.
        """
        identity, field = _taken_apart(name)
        before = self._labelled(name, CURRENT)
        whole = new_value if field is None else json.dumps({**_fields(name, before[0]), field: new_value})
        version = str(uuid.uuid4())
        with aws_failures(f"AWS secret {name}", _REFUSALS):
            self._client.put_secret_value(
                SecretId=identity, ClientRequestToken=version, SecretString=whole, VersionStages=[PENDING]
            )
        try:
            verify(self._read(name, PENDING).text)
            self._refuse_if_changed(name, before[1])
            with aws_failures(f"AWS secret {name}", _REFUSALS):
                self._client.update_secret_version_stage(
                    SecretId=identity, VersionStage=CURRENT, MoveToVersionId=version, RemoveFromVersionId=before[1]
                )
        except BaseException as e:
            self._take_back(identity, name, version, e)
            raise
        self._take_back(identity, name, version, None)
        return SecretValue(name, new_value, version)

    def _refuse_if_changed(self, name: str, version: str) -> None:
        if self._labelled(name, CURRENT)[1] != version:
            raise TransientError(f"AWS secret {name}: changed by somebody else meanwhile; run it again")

    def _take_back(self, identity: str, name: str, version: str, error: BaseException | None) -> None:
        """Take the label AWSPENDING off; without a label a version is deprecated, and later removed by AWS."""
        try:
            with aws_failures(f"AWS secret {name}", _REFUSALS):
                self._client.update_secret_version_stage(
                    SecretId=identity, VersionStage=PENDING, RemoveFromVersionId=version
                )
        except EtlAssetsError as e:
            if error is not None:
                error.add_note(f"the label {PENDING} of {name} could not be taken off its version {version}: {e}")

    def _read(self, name: str, label: str) -> SecretValue:
        _, field = _taken_apart(name)
        text, version = self._labelled(name, label)
        if field is not None:
            found = _fields(name, text).get(field)
            if not isinstance(found, str) or not found:
                raise ConfigError(f"AWS secret {name}: version {version} has no text in its field {field!r}")
            text = found
        return SecretValue(name, text, version)

    def _labelled(self, name: str, label: str) -> tuple[str, str]:
        """(whole text, version id) of the version with this label."""
        with aws_failures(f"AWS secret {name}", _REFUSALS):
            answer = self._client.get_secret_value(SecretId=_taken_apart(name)[0], VersionStage=label)
        text = answer.get("SecretString")
        if not isinstance(text, str) or not text:
            raise ConfigError(f"AWS secret {name}: it holds no text; binary secrets are not read")
        return text, str(answer["VersionId"])


def _taken_apart(name: str) -> tuple[str, str | None]:
    identity, _, field = name.partition("#")
    if not identity:
        raise ConfigError(f"secret {name!r}: use the secret's id or ARN, or id#field")
    return identity, field or None


def _fields(name: str, text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        # No cause: the decoder's error holds the document, which is the secret.
        raise ConfigError(f"AWS secret {name}: it is no JSON object, so it has no fields; leave out the # part")
    return fields
