"""What a deletion with proof asks of a store, beside what every store offers.

A store that cannot say that bytes it removed are gone from its disks, such as a hosted service, lacks these: the
certificate then says so.
"""

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from etl_assets.protocols.indexes import IndexSpace


@runtime_checkable
class ErasableRows(Protocol):
    """An index whose files can be rewritten without what was removed from it."""

    def erase(self, space: IndexSpace) -> None:
        """Leave no file of a space that holds a removed row, in whatever version. A missing space is no error.

        Nobody may be writing to the space meanwhile.

        Raises:
            TransientError: others kept writing, or the store does not answer now.
        """
        ...


@runtime_checkable
class ErasableGraph(Protocol):
    """A graph whose file can be rewritten without what was removed from it."""

    def erase(self) -> None:
        """Leave no byte of a removed edge, document or entity in the file and its journal.

        Raises:
            TransientError: readers kept the journal in use.
        """
        ...


class Traces(Protocol):
    """What is left of documents beside the stores: logs, events of runs, caches, files of killed processes."""

    def erase(self, names: Collection[str], texts: Collection[str]) -> Mapping[str, int]:
        """Blank every mention of ``names`` (paths, titles) and every quotation of at least five words of ``texts``.

        Returns:
            Places found and blanked, by kind; an empty kind is left out. Caches are emptied whole.

        Raises:
            TransientError: a file was in use by others for too long.
            PermanentError: a file cannot be read or written.
        """
        ...


class Backups(Protocol):
    """Backups that were made before, in the places that are set for them."""

    def settle(self, tenant: str, documents: Collection[str]) -> Mapping[str, list[str]]:
        """Forget those that hold originals of these documents, if that is asked for: names under ``forgotten``.

        Those that stay are named under ``still_holding``.

        Raises:
            PermanentError: a backup cannot be read or removed.
            TransientError: their place does not answer now.
        """
        ...


class Certificates(Protocol):
    """Where certificates of deletions are signed and kept."""

    def keep(self, name: str, content: bytes) -> str:
        """Sign ``content``, store both under ``name``, and return where. The same name twice replaces itself.

        Raises:
            PermanentError: no space, or no right to write.
            ConfigError: the signing key that is set cannot be used.
        """
        ...

    def names(self) -> list[str]:
        """Names of the certificates that are kept, in order."""
        ...

    def content(self, name: str) -> bytes:
        """The signed bytes of one.

        Raises:
            ConfigError: there is none of this name.
        """
        ...

    def public_key(self) -> bytes:
        """The public key, PEM."""
        ...
