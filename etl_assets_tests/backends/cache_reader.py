"""What a process does that shares a cache of blobs with others: read blobs that no longer all fit, over and over."""

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from etl_assets.backends.blob_cache import BlobCache

NAMES = 12
BYTES_EACH = 600
LIMIT_BYTES = 3_000


def main(folder: str, seed: str) -> None:
    """150 reads of NAMES blobs by four threads, each of which must give the right bytes."""
    cache = BlobCache(Path(folder), limit_bytes=LIMIT_BYTES)

    def read(n: int) -> None:
        number = (n * 7 + int(seed)) % NAMES
        data = bytes([number]) * BYTES_EACH

        def bring(target: Path) -> str:
            target.write_bytes(data)
            return hashlib.sha256(data).hexdigest()

        with cache.opened(f"blob {number}", bring) as path:
            if path.read_bytes() != data:
                raise SystemExit(f"blob {number} has other bytes")

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(read, range(150)):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
