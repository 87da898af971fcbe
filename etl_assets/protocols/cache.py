"""Results kept under what they were computed from. A cache may lose anything at any time, and never answers wrongly."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What a result was made from: ``kind`` of result, ``scope`` that may share it, ``producer``, digest of the input.

    ``scope`` is the tenant when the input is a tenant's: no tenant can learn from a cache what another one holds.
    ``producer`` covers everything beside the input that decides the result, for example an embedding model's digest.
    """

    kind: str
    scope: str
    producer: str
    digest: str

    @property
    def address(self) -> str:
        """64 hex digits, another one for every other key."""
        parts = [part.encode("utf-8", "surrogatepass") for part in (self.kind, self.scope, self.producer, self.digest)]
        # Lengths stand before the parts, so that no two keys read the same once they are joined.
        joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hashlib.blake2b(joined, digest_size=32).hexdigest()


class ResultCache(Protocol):
    """Nothing here raises for a store that is full, damaged or away: what it cannot give is not there."""

    def get(self, keys: Sequence[CacheKey]) -> dict[CacheKey, bytes]:
        """The results at hand, whole; a key that is absent, too old or damaged is left out."""
        ...

    def put(self, results: Mapping[CacheKey, bytes]) -> None:
        """Keep these results, as far as that is possible."""
        ...
