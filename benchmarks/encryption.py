"""What encryption at rest costs: storing and reading blobs with and without it, in the same run.

``python benchmarks/encryption.py [FOLDER]``: each row is the median of 5 rounds; the ratio is encrypted / plain.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from etl_assets.backends.encrypted_blobs import EncryptedBlobs
from etl_assets.backends.envelope import Envelope, original_scope
from etl_assets.backends.key_files import KeyFile, create_key_file
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.ledger.data_keys import LedgerKeys
from etl_assets.ledger.database import Ledger
from etl_assets.protocols.objects import Blobs

ROUNDS = 5
SIZES = ((1, 64 << 20), (256, 64 << 10))


def store(blobs: Blobs, count: int, block: bytes, turn: int) -> None:
    """Put ``count`` blobs together, as documents are taken in."""
    with blobs.scratch() as scratch:
        items = []
        for number in range(count):
            (scratch / str(number)).write_bytes(block)
            items.append((f"acme/doc{number}/{turn}", scratch / str(number)))
        blobs.put_all(items)


def read(blobs: Blobs, count: int, turn: int) -> None:
    """Read what ``store`` has stored."""
    for number in range(count):
        with blobs.local(f"acme/doc{number}/{turn}") as path:
            path.read_bytes()


def median_s(what: str, blobs: Blobs, count: int, block: bytes) -> float:
    """How long one round takes."""
    times = []
    for turn in range(ROUNDS):
        begin = time.perf_counter()
        if what == "store":
            store(blobs, count, block, turn)
        else:
            read(blobs, count, turn)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    """Print one table."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        create_key_file(folder / "key")
        keys = Envelope(LedgerKeys(Ledger.sqlite(folder / "keys.sqlite")), [KeyFile(folder / "key")])
        plain = LocalBlobs(folder / "plain")
        sealed = EncryptedBlobs(LocalBlobs(folder / "sealed"), keys, original_scope, plain=folder / "tmp")
        print(f"{'blobs':>16} {'':>6} {'plain MB/s':>11} {'encrypted MB/s':>15} {'ratio':>6}")
        for count, size in SIZES:
            block, megabytes = os.urandom(size), count * size / 1e6
            for what in ("store", "read"):
                rates = [megabytes / median_s(what, blobs, count, block) for blobs in (plain, sealed)]
                label = f"{count} x {size >> 10} KiB"
                print(f"{label:>16} {what:>6} {rates[0]:>11.0f} {rates[1]:>15.0f} {rates[1] / rates[0]:>6.2f}")


if __name__ == "__main__":
    main()
