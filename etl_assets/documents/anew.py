"""What a person asks to be computed again although nothing changed: which stages, of which documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from etl_assets.documents.model import STAGES
from etl_assets.errors import ConfigError
from etl_assets.ledger import objects
from etl_assets.ledger.catalogue import Partition, mark_dirty
from etl_assets.ledger.database import Ledger
from etl_assets.ledger.leases import Lease


@dataclass(frozen=True, slots=True)
class Anew:
    """``stages`` by name; ``documents`` are globs of paths, and empty for all."""

    stages: tuple[str, ...]
    documents: tuple[str, ...] = ()

    @classmethod
    def read(cls, stages: Sequence[str], documents: Sequence[str]) -> "Anew":
        """All stages where none is named.

        Raises:
            ConfigError: there is no such stage.
        """
        names = tuple(stage.name for stage in STAGES)
        unknown = [one for one in stages if one not in names]
        if unknown:
            raise ConfigError(f"stage {unknown[0]!r}: one of {', '.join(names)}")
        return cls(tuple(stages) or names, tuple(documents))

    def chosen(self, ledger: Ledger, partition: Partition) -> dict[str, str]:
        """Present documents of a partition that are meant: id -> path."""
        with ledger.reading() as connection:
            present = objects.present_paths(connection, partition)
        return {one: path for one, path in present.items() if self._is_meant(path)}

    def _is_meant(self, path: str) -> bool:
        return not self.documents or any(fnmatchcase(path, pattern) for pattern in self.documents)


def enter(anew: Anew, ledger: Ledger, lease: Lease, partition: Partition) -> Mapping[str, frozenset[str]]:
    """Let the run look at what is to be computed anew: documents by stage."""
    documents = frozenset(anew.chosen(ledger, partition))
    if documents:
        with lease.writing() as connection:
            mark_dirty(connection, partition.key, documents)
    return dict.fromkeys(anew.stages, documents)
