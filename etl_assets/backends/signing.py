"""Certificates signed with Ed25519 (RFC 8032), in files that OpenSSL can check as well.

A certificate is ``NAME.json``, its signature the 64 bytes of ``NAME.sig`` over exactly those bytes; the public key is
``public-key.pem`` beside them, and the private one ``signing-key.pem``, readable by its owner only.
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from etl_assets.backends.local_files import Scratch, copy_durably, make_folder, refuse
from etl_assets.errors import ConfigError, DataError

KEY_FILE = "signing-key.pem"
PUBLIC_FILE = "public-key.pem"


class FolderCertificates:
    """Certificates (see ``protocols.erasure``) in ``folder``. The key is made there by the first one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = Scratch(folder / ".scratch")

    def keep(self, name: str, content: bytes) -> str:
        """See ``Certificates.keep``; returns the path of the certificate."""
        key = self._key()
        self._write(f"{name}.json", content)
        self._write(f"{name}.sig", key.sign(content))
        return str(self._folder / f"{name}.json")

    def names(self) -> list[str]:
        """See ``Certificates.names``."""
        return sorted(path.stem for path in self._folder.glob("*.json") if path.with_suffix(".sig").exists())

    def content(self, name: str) -> bytes:
        """See ``Certificates.content``."""
        try:
            return (self._folder / f"{name}.json").read_bytes()
        except FileNotFoundError as e:
            raise ConfigError(f"certificate {name}: there is none; `etl-assets certificate list` names them") from e

    def public_key(self) -> bytes:
        """See ``Certificates.public_key``."""
        return self._key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def _key(self) -> Ed25519PrivateKey:
        path = self._folder / KEY_FILE
        if not path.exists():
            make_folder(self._folder)
            key = Ed25519PrivateKey.generate()
            self._write(KEY_FILE, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), once=True)
        try:
            found = load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, UnsupportedAlgorithm) as e:
            raise ConfigError(f"{path}: cannot be used as a signing key ({e}); restore it, or remove it") from e
        if not isinstance(found, Ed25519PrivateKey):
            raise ConfigError(f"{path}: is no Ed25519 key; restore it, or remove it")
        if not (self._folder / PUBLIC_FILE).exists():
            public = found.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            self._write(PUBLIC_FILE, public)
        return found

    def _write(self, name: str, content: bytes, *, once: bool = False) -> None:
        """Put a file there, whole or not at all; ``once``: the first of several processes wins."""
        try:
            with self._scratch.folder() as folder:
                (folder / "plain").write_bytes(content)
                copy_durably(folder / "plain", folder / name, mode=0o600)
                if once:
                    os.link(folder / name, self._folder / name)
                else:
                    (folder / name).replace(self._folder / name)
        except FileExistsError:
            return
        except OSError as e:
            refuse(e, f"writing {name}")


def verify(content: bytes, signature: bytes, public_key: bytes) -> None:
    """Return when ``signature`` is of ``content`` and of the owner of ``public_key`` (PEM).

    Raises:
        DataError: it is not (``bad-signature``).
        ConfigError: the public key cannot be read.
    """
    try:
        key = load_pem_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise ConfigError(f"the public key cannot be read: {e}; give the PEM file of the installation") from e
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError("the public key is no Ed25519 key; give the PEM file of the installation")
    try:
        key.verify(signature, content)
    except InvalidSignature as e:
        raise DataError(
            "the signature does not fit: the certificate was altered, or another key signed it", reason="bad-signature"
        ) from e
