"""Backups that still hold what is purged: which they are, and forgetting them whole.

A backup is one moment of all stores under one digest, so no document can be taken out of it: it is kept, and named in
the certificate, or forgotten, and a new one made after the purge.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from etl_assets.documents.backups.target import Target


@dataclass(frozen=True, slots=True)
class TargetBackups:
    """Backups (see ``protocols.erasure``) in ``targets``; they are forgotten only where ``forget`` is set."""

    targets: Sequence[Target]
    forget: bool

    def settle(self, tenant: str, documents: Collection[str]) -> dict[str, list[str]]:
        """See ``Backups.settle``."""
        found: dict[str, list[str]] = {"forgotten": [], "still_holding": []}
        for target in self.targets:
            holding = [
                one.backup for one in target.manifests()
                if any(_document_of(file.store, file.key, tenant) in documents for file in target.files(one))
            ]  # fmt: skip
            found["forgotten" if self.forget else "still_holding"] += holding
            if self.forget and holding:
                for backup in holding:
                    target.forget(backup)
                target.sweep()
        return found


def _document_of(store: str, key: str, tenant: str) -> str | None:
    """The document whose original a file of a backup is."""
    parts = key.split("/")
    return parts[1] if store == "originals" and len(parts) == 3 and parts[0] == tenant else None
