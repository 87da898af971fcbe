"""Data keys in memory or in a ledger, under a key file, for tests of encrypted blobs."""

from pathlib import Path

from etl_assets.backends.encrypted_blobs import EncryptedBlobs
from etl_assets.backends.envelope import Envelope, original_scope
from etl_assets.backends.key_files import KeyFile, create_key_file
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.ledger.data_keys import LedgerKeys
from etl_assets.ledger.database import Ledger
from etl_assets.protocols.objects import Blobs


def key_file(folder: Path, name: str = "master.key") -> KeyFile:
    """The key file of a folder, made if need be."""
    if not (folder / name).exists():
        create_key_file(folder / name)
    return KeyFile(folder / name)


def envelope(folder: Path, *masters: KeyFile) -> Envelope:
    """Data keys in the ledger of a folder, by default under its key file."""
    return Envelope(LedgerKeys(Ledger.sqlite(folder / "keys.sqlite")), masters or (key_file(folder),))


def encrypted(folder: Path, inner: Blobs | None = None, keys: Envelope | None = None) -> EncryptedBlobs:
    """Originals below a folder, encrypted."""
    store = inner or LocalBlobs(folder / "blobs")
    return EncryptedBlobs(store, keys or envelope(folder), original_scope, plain=folder / "plain")


def put(blobs: Blobs, key: str, data: bytes) -> int:
    """Store bytes."""
    with blobs.scratch() as scratch:
        (scratch / "file").write_bytes(data)
        return blobs.put(key, scratch / "file")


def get(blobs: Blobs, key: str) -> bytes:
    """The bytes of a key."""
    with blobs.local(key) as path:
        return path.read_bytes()
