"""Where MinHash signatures of published texts are kept: an unchanged document costs nothing when it is asked again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OutputSignatures:
    """Signatures of one document's chunks, as one output of the stage ``chunks`` has them.

    ``document`` and each of ``chunks`` are one signature; ``contents`` are the digests of the chunks' texts and
    ``sizes`` how many shingles each has, in the same order; ``size`` is of the whole document, and ``content`` the
    same for documents of the same chunks in whatever order.
    """

    output_id: int
    document: bytes
    size: int
    content: str
    contents: tuple[str, ...]
    sizes: tuple[int, ...]
    chunks: bytes


class SignatureStore(Protocol):
    """One tenant's signatures never meet another's. What is lost is computed again."""

    def known(self, tenant: str) -> set[int]:
        """Outputs that are held."""
        ...

    def put(self, tenant: str, rows: Sequence[OutputSignatures]) -> None:
        """Keep these; one that is held already is replaced."""
        ...

    def drop(self, tenant: str, output_ids: Iterable[int]) -> None:
        """Forget these."""
        ...

    def read(self, tenant: str, output_ids: Sequence[int], *, chunks: bool) -> list[OutputSignatures]:
        """Those of these that are held, by output id; without ``chunks`` what is of chunks is left out."""
        ...
