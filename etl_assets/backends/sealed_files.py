"""The format of encrypted blobs: chunks of AES-256-GCM that cannot be altered, reordered, cut or moved unnoticed.

docs/reference/encrypted-blobs.md describes it byte by byte. It is the STREAM construction (Hoang, Reyhanitabar,
Rogaway, Vizar: Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, 2015) with a key of its own for
each blob, as Tink's AES-GCM-HKDF streaming has it: developers.google.com/tink/streaming-aead
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from etl_assets.backends.local_files import write_all
from etl_assets.errors import ConfigError, DataError, PermanentError
from etl_assets.protocols.keys import KEY_BYTES, DataKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"ETLB"
VERSION = 1
CHUNK_BYTES = 1 << 20
"""Plain bytes of every chunk but the last."""

_HEADER = struct.Struct(">4sB3x16s32s7sx")
"""Magic, version, zeros, key id, salt, nonce prefix, zero: 64 bytes."""
HEADER_BYTES = _HEADER.size
TAG_BYTES = 16
_MOST_CHUNKS = 2**32 - 1
_PURPOSE = b"etl-assets blob v1"


@dataclass(frozen=True, slots=True)
class Header:
    """The first 64 bytes of an encrypted blob, taken apart; ``raw`` is all of them."""

    key_id: str
    salt: bytes
    prefix: bytes
    raw: bytes


def seal(source: Path, target: Path, key: DataKey, name: str) -> int:
    """Encrypt ``source`` to the new file ``target`` as the blob ``name``; how many bytes ``source`` has.

    Raises:
        OSError: as the file system says.
    """
    salt, prefix = os.urandom(32), os.urandom(7)
    raw = _HEADER.pack(MAGIC, VERSION, bytes.fromhex(key.key_id), salt, prefix)
    header = Header(key.key_id, salt, prefix, raw)
    cipher, bound = _cipher(key, header), _bound(header, name)
    size = 0
    with open(source, "rb", buffering=0) as plain, _new_file(target) as sealed:
        write_all(sealed.fileno(), raw)
        block = _read(plain, CHUNK_BYTES)
        for number in range(_MOST_CHUNKS):
            following = _read(plain, CHUNK_BYTES)
            write_all(sealed.fileno(), cipher.encrypt(_nonce(prefix, number, is_last=not following), block, bound))
            size += len(block)
            if not following:
                return size
            block = following
    raise PermanentError(f"encrypting {name}: it is larger than 4 PiB")


def read_header(sealed: BinaryIO, name: str) -> Header:
    """The header at the beginning of an encrypted blob.

    Raises:
        DataError: it is none (``altered``).
        ConfigError: a newer version of this program has written it.
    """
    raw = _read(sealed, HEADER_BYTES)
    if len(raw) < HEADER_BYTES or raw[:4] != MAGIC:
        raise altered(name)
    _, version, key_id, salt, prefix = _HEADER.unpack(raw)
    if version != VERSION:
        raise ConfigError(f"{name}: encrypted in format {version}, this program reads format {VERSION}; upgrade it")
    return Header(key_id.hex(), salt, prefix, raw)


def unseal(sealed: BinaryIO, header: Header, target: Path, key: DataKey, name: str) -> None:
    """Decrypt what follows ``header`` to the new file ``target``, readable by its owner only.

    ``target`` may be used only after the return: until then its bytes may lack the end.

    Raises:
        DataError: a byte of the blob differs from what was written as ``name`` (``altered``).
        OSError: as the file system says.
    """
    from cryptography.exceptions import InvalidTag

    cipher, bound = _cipher(key, header), _bound(header, name)
    whole = CHUNK_BYTES + TAG_BYTES
    with _new_file(target) as plain:
        block, number = _read(sealed, whole), 0
        while True:
            following = _read(sealed, whole)
            try:
                opened = cipher.decrypt(_nonce(header.prefix, number, is_last=not following), block, bound)
            except InvalidTag as e:
                raise altered(name) from e
            write_all(plain.fileno(), opened)
            if not following:
                return
            block, number = following, number + 1


def plain_size(sealed_bytes: int) -> int:
    """Size of the plain bytes of an encrypted blob of this size, in bytes."""
    body = max(sealed_bytes - HEADER_BYTES, 0)
    chunks = -(-body // (CHUNK_BYTES + TAG_BYTES))
    return max(body - chunks * TAG_BYTES, 0)


def altered(name: str) -> DataError:
    """What to say of an encrypted blob that is not what was written under its name."""
    return DataError(
        f"{name}: its encrypted bytes were altered, cut, or belong to another name; bring it back from a backup, "
        "or add the document again",
        reason="altered",
    )


def _cipher(key: DataKey, header: Header) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=header.salt, info=_PURPOSE).derive(key.secret))


def _bound(header: Header, name: str) -> bytes:
    return header.raw + name.encode("utf-8", "surrogateescape")


def _nonce(prefix: bytes, number: int, *, is_last: bool) -> bytes:
    if number >= _MOST_CHUNKS:
        raise PermanentError("an encrypted blob has too many chunks")
    return prefix + number.to_bytes(4, "big") + (b"\1" if is_last else b"\0")


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", buffering=0)


def _read(file: BinaryIO, size: int) -> bytes:
    """``size`` bytes, fewer only at the end of the file."""
    block = file.read(size)
    while len(block) < size:
        more = file.read(size - len(block))
        if not more:
            break
        block += more
    return block
