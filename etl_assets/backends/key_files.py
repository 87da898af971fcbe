"""A master key in a file: 32 random bytes that only their owner can read."""

import errno
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from etl_assets.backends.local_files import refuse, sync_folder, write_all
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.protocols.keys import KEY_BYTES, Wrapping

_NONCE_BYTES = 12


def create_key_file(path: Path) -> str:
    """Write 32 random bytes to the new file ``path``, mode 0600 and durable; the name of the key.

    Raises:
        ConfigError: ``path`` exists, which is never overwritten, or its folder does not.
        PermanentError: no space, or no right to write.
    """
    secret = secrets.token_bytes(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError as e:
        raise ConfigError(f"key file {path}: exists already, and replacing it could lose a key; name another") from e
    except (FileNotFoundError, NotADirectoryError) as e:
        raise ConfigError(f"key file {path}: there is no such folder; make it first") from e
    except OSError as e:
        refuse(e, f"making key file {path}")
    try:
        os.fchmod(descriptor, 0o600)
        write_all(descriptor, secret)
        os.fsync(descriptor)
        sync_folder(path.absolute().parent)
    except OSError as e:
        path.unlink(missing_ok=True)
        refuse(e, f"making key file {path}")
    finally:
        os.close(descriptor)
    return _name(secret)


class KeyFile:
    """The master key (see ``protocols.keys``) in ``path``, read once.

    Its name is made from its bytes by a one-way function, so that a wrong file is recognised and a moved one is not
    taken for another.

    Raises:
        ConfigError: there is no such file, others may read it, or it does not hold exactly 32 bytes.
        PermanentError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._secret = _read(path)
        self._name = _name(self._secret)
        self.label = f"key file {path} ({self._name})"

    def __repr__(self) -> str:
        return f"KeyFile({self.label!r})"

    def opens(self, master: str) -> bool:
        """Whether it is this very key."""
        return master == self._name

    def current(self) -> tuple[str, str]:
        """A file has one version."""
        return self._name, ""

    def wrap(self, secret: bytes, context: str) -> Wrapping:
        """AES-256-GCM with a random nonce, ``context`` as associated data."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._secret).encrypt(nonce, secret, context.encode())
        return Wrapping(self._name, "", nonce + sealed)

    def unwrap(self, wrapping: Wrapping, context: str) -> bytes:
        """The secret of a wrapping.

        Raises:
            PermanentError: it was altered, or belongs to another context.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, sealed = wrapping.wrapped[:_NONCE_BYTES], wrapping.wrapped[_NONCE_BYTES:]
        try:
            return AESGCM(self._secret).decrypt(nonce, sealed, context.encode())
        except (InvalidTag, ValueError) as e:
            raise PermanentError(
                f"{self.label}: cannot open {context}: the wrapped key in the ledger was altered; restore the ledger"
            ) from e


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise ConfigError(
            f"ETL_ENCRYPTION_KEY: there is no key file {path}; bring it back, or for a new home make one with "
            f"`etl-assets keys create {path}`"
        ) from e
    except OSError as e:
        raise PermanentError(f"ETL_ENCRYPTION_KEY: key file {path} cannot be read ({os.strerror(e.errno or 0)})") from e
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"ETL_ENCRYPTION_KEY: {path} is no file")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise ConfigError(f"ETL_ENCRYPTION_KEY: others may read key file {path}; run: chmod 600 {path}")
        if status.st_size != KEY_BYTES:
            raise ConfigError(
                f"ETL_ENCRYPTION_KEY: key file {path} has {status.st_size} bytes, a key has {KEY_BYTES}; bring back "
                "the file as `etl-assets keys create` made it"
            )
        return os.read(descriptor, KEY_BYTES)
    except OSError as e:
        text = os.strerror(e.errno or errno.EIO)
        raise PermanentError(f"ETL_ENCRYPTION_KEY: key file {path} cannot be read ({text})") from e
    finally:
        os.close(descriptor)


def _name(secret: bytes) -> str:
    return "file:" + hmac.new(secret, b"etl-assets name of a key file", hashlib.sha256).hexdigest()[:16]
