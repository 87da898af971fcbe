"""The master keys that a setting names: ``file:PATH``, ``aws-kms:KEY``, ``vault-transit:MOUNT/NAME``."""

from collections.abc import Callable
from pathlib import Path

from etl_assets.errors import ConfigError
from etl_assets.protocols.keys import MasterKey

KINDS = "file:PATH, aws-kms:KEY_ID_OR_ARN or vault-transit:MOUNT/NAME"


def open_masters(text: str, *, vault: Callable[[str, str], MasterKey]) -> list[MasterKey]:
    """The master keys in ``text``, separated by commas: the first one wraps, all of them unwrap.

    ``vault`` opens a transit key by mount and name.

    Raises:
        ConfigError: one cannot be read or opened, or none is given.
        PermanentError: a key file may not be read.
    """
    return [_open(part.strip(), vault) for part in text.split(",")]


def _open(part: str, vault: Callable[[str, str], MasterKey]) -> MasterKey:
    kind, _, name = part.partition(":")
    if kind == "file" and name:
        from etl_assets.backends.key_files import KeyFile

        path = Path(name).expanduser()
        if not path.is_absolute():
            # Processes that read the same setting start in other folders.
            raise ConfigError(f"ETL_ENCRYPTION_KEY: file:{name}: write the whole path, from / or ~")
        return KeyFile(path)
    if kind == "aws-kms" and name:
        from etl_assets.backends.kms_keys import KmsKey, kms_client

        return KmsKey(lambda: kms_client(name), name)
    mount, _, key = name.rpartition("/")
    if kind == "vault-transit" and mount and key:
        return vault(mount, key)
    # The text is not repeated: somebody may have set a key's own bytes.
    raise ConfigError(f"ETL_ENCRYPTION_KEY: use {KINDS}, or several of them as NEW,OLD")
