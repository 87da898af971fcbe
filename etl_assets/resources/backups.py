"""Hands the documents domain the targets of its backups, opened from the environment's settings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from etl_assets.documents.backups.backup import BackupReport, BackupTargets
from etl_assets.resources.document_runs import settings_from_environment

if TYPE_CHECKING:
    from etl_assets.settings import Settings


class SetTargets:
    """``BackupTargets`` by settings; what is opened is closed after each backup."""

    def __init__(self, settings: "Settings", *, prunes: bool = True) -> None:
        self._settings = settings
        self._prunes = prunes

    def names(self) -> Sequence[str]:
        """See ``BackupTargets.names``."""
        return self._settings.backup_places

    def back_up(self, name: str) -> BackupReport:
        """See ``BackupTargets.back_up``."""
        from etl_assets.backup_bindings import open_places, open_target
        from etl_assets.documents.backups.backup import make_backup, prune

        with open_places(self._settings) as places, open_target(self._settings, name) as target:
            report = make_backup(places, target)
            if not self._prunes:
                return report
            gone, _ = prune(places.ledger, target, keep_days=self._settings.backup_keep_days)
        return replace(report, pruned=tuple(gone))


class BackupsResource(dg.ConfigurableResource[BackupTargets]):
    """The targets of ETL_BACKUP_TARGETS. Nothing is opened before a backup is made."""

    prunes: bool = Field(
        default=True, description="Whether backups older than ETL_BACKUP_KEEP_DAYS go after each new one"
    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[BackupTargets]:
        """For the time of the run or tick."""
        yield SetTargets(settings_from_environment(), prunes=self.prunes)
