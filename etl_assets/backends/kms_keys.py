"""A master key in AWS KMS: data keys are encrypted and decrypted by the service, which never shows its key.

API: docs.aws.amazon.com/kms/latest/APIReference (Encrypt, Decrypt, DescribeKey)
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from etl_assets.backends.aws_errors import Refusals, aws_failures
from etl_assets.errors import ConfigError
from etl_assets.protocols.keys import Wrapping

_KIND = "aws-kms:"
_CONTEXT = "etl-assets"
_ALTERED = "the wrapped key in the ledger was altered; restore the ledger"
_REFUSALS = Refusals(
    settings={"NotFoundException": "there is no such key here; check its id and the region"},
    remedies={
        "InvalidCiphertextException": _ALTERED,
        "IncorrectKeyException": _ALTERED,
        "DisabledException": "it is disabled; enable it",
        "KMSInvalidStateException": "it is disabled or waits for its deletion; enable it, or cancel the deletion",
        "InvalidKeyUsageException": "it is not a symmetric key for encryption; name another",
        "AccessDeniedException": "its policy refuses this identity; grant kms:Encrypt, kms:Decrypt and kms:DescribeKey",
    },
    otherwise="check the key and its policy",
)


def kms_client(key: str, *, region: str | None = None, endpoint_url: str | None = None, timeout_s: float = 10.0) -> Any:
    """A client of boto3, with its own bounded retries; credentials by boto3's usual chain.

    ``region``: by default that of ``key`` when it is an ARN, and else boto3's.

    Raises:
        ConfigError: boto3 is missing, or no region is set.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as e:
        raise ConfigError("AWS KMS needs boto3; run: pip install 'etl-assets[aws]'") from e
    parts = key.split(":")
    region = region or (parts[3] if key.startswith("arn:") and len(parts) > 5 else None)
    config = Config(connect_timeout=timeout_s, read_timeout=timeout_s, retries={"mode": "standard", "max_attempts": 4})
    try:
        return boto3.client("kms", region_name=region, endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as e:
        raise ConfigError(f"AWS KMS: {e}; set AWS_REGION, or name the key by its ARN") from e


class KmsKey:
    """The symmetric key ``key`` of KMS: an id, an ARN, or an alias.

    ``connect`` gives boto3's client, see ``kms_client``; it is called once, when the key is first needed.

    What is wrapped is bound to its context by KMS's encryption context, which CloudTrail shows. KMS shows no version
    of a key: it rotates the bytes behind it by itself, and opens what older ones wrapped.
    """

    def __init__(self, connect: Callable[[], Any], key: str) -> None:
        self._connect = lru_cache(connect)
        self._key = key
        self.label = f"AWS KMS key {key}"

    def __repr__(self) -> str:
        return f"KmsKey({self._key!r})"

    def opens(self, master: str) -> bool:
        """Every key of KMS: a wrapping names the one it needs, and an alias may have moved to another since."""
        return master.startswith(_KIND)

    def current(self) -> tuple[str, str]:
        """The ARN of the key that the id or alias stands for now; there are no versions."""
        with aws_failures(self.label, _REFUSALS):
            return _KIND + str(self._connect().describe_key(KeyId=self._key)["KeyMetadata"]["Arn"]), ""

    def wrap(self, secret: bytes, context: str) -> Wrapping:
        """Encrypt, with ``context`` as encryption context."""
        with aws_failures(self.label, _REFUSALS):
            answer = self._connect().encrypt(KeyId=self._key, Plaintext=secret, EncryptionContext={_CONTEXT: context})
        return Wrapping(_KIND + str(answer["KeyId"]), "", bytes(answer["CiphertextBlob"]))

    def unwrap(self, wrapping: Wrapping, context: str) -> bytes:
        """Decrypt, with the key that the wrapping names."""
        key = wrapping.master.removeprefix(_KIND)
        with aws_failures(f"AWS KMS key {key}: opening {context}", _REFUSALS):
            answer = self._connect().decrypt(
                KeyId=key, CiphertextBlob=wrapping.wrapped, EncryptionContext={_CONTEXT: context}
            )
        return bytes(answer["Plaintext"])
