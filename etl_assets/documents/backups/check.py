"""Proving that a backup can be restored: every byte read back, and its ledger tried against its files."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from etl_assets.documents.backups.ledger_copy import brought_back
from etl_assets.documents.backups.target import Damaged, Manifest, Target
from etl_assets.documents.original_keys import original_key
from etl_assets.errors import ConfigError
from etl_assets.ledger import named_files, restoring


@dataclass(slots=True)
class BackupCheck:
    """What was read of one backup; ``problems`` name what is damaged, in words."""

    backup: str
    sequence: int = 0
    taken_at: float | None = None
    pieces: int = 0
    bytes_read: int = 0
    problems: list[str] = field(default_factory=list)


class Verifier:
    """Checks the backups of one target. A piece that several of them share is read once."""

    def __init__(self, target: Target, scratch: Path, *, endings: Collection[str] = ("",)) -> None:
        self._target = target
        self._scratch = scratch
        self._endings = endings
        self._read: dict[str, str] = {}

    def check(self, name: str) -> BackupCheck:
        """Read one backup whole, and try its ledger.

        Raises:
            TransientError: the target does not answer.
        """
        found = BackupCheck(name)
        try:
            manifest = self._target.manifest(name)
        except (Damaged, ConfigError) as error:
            found.problems.append(str(error))
            return found
        found.sequence, found.taken_at = manifest.sequence, manifest.taken_at
        self._check_pieces(manifest, found)
        if not found.problems:
            self._check_ledger(manifest, found)
        return found

    def _check_pieces(self, manifest: Manifest, found: BackupCheck) -> None:
        named = {piece.key: (piece, "the ledger or a list of files") for piece in manifest.lists()}
        try:
            files = list(self._target.files(manifest))
        except Damaged:
            files = []  # the piece that cannot be read is named below
        named |= {one.piece.key: (one.piece, f"{one.store}/{one.key}") for one in files}
        for key, (piece, of) in named.items():
            if key not in self._read:
                try:
                    with self._target.opened(piece):
                        self._read[key] = ""
                except Damaged as error:
                    self._read[key] = str(error)
                found.pieces += 1
                found.bytes_read += piece.stored_bytes
            if self._read[key]:
                found.problems.append(f"{self._read[key]}: it holds {of}")

    def _check_ledger(self, manifest: Manifest, found: BackupCheck) -> None:
        there = {(one.store, one.key) for one in self._target.files(manifest)}
        path = self._scratch / "ledger.sqlite"
        for old in self._scratch.glob("ledger.sqlite*"):
            old.unlink()
        with brought_back(self._target, manifest, path) as ledger, ledger.reading() as connection:
            found.problems += [f"output {one} names no segment" for one in restoring.lost_outputs(connection)]
            needed = [("lake", key) for key in named_files.live_segment_keys(connection)]
            for one in named_files.named_originals(connection):
                if one.needed:
                    needed.append(("originals", original_key(one.tenant, one.document_id, one.version)))
            for store, key in needed:
                if not any((store, key + ending) in there for ending in self._endings):
                    found.problems.append(f"{store}/{key} is named by the ledger and is not in the backup")
