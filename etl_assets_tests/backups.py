"""Backups of a small home, for tests: making, proving and bringing back, and what must be the same afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from etl_assets.backup_bindings import ENDINGS, open_places, open_target, restore_home
from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.backups.backup import BackupReport, make_backup
from etl_assets.documents.backups.check import Verifier
from etl_assets.documents.backups.restore import Point
from etl_assets.documents.backups.restored_home import RestoreReport
from etl_assets.documents.consistency.drift import find_drift
from etl_assets.documents.platform import Platform
from etl_assets.ledger.catalogue import partitions
from etl_assets.search.query import search
from etl_assets.settings import Settings
from etl_assets_tests.small_homes import SmallHome, shared_pool
from etl_assets_tests.trivial import Home, contents

QUESTIONS = ("EMOTET bank", "panda factory", "roses water", "APT28 mail server")


def back_up(settings: Settings, target: Path | str) -> BackupReport:
    with open_places(settings) as places, open_target(settings, str(target)) as place:
        return make_backup(places, place)


def damages(settings: Settings, target: Path | str, scratch: Path) -> list[str]:
    """What is wrong with any backup of a target."""
    scratch.mkdir(exist_ok=True)
    with open_target(settings, str(target)) as place:
        verifier = Verifier(place, scratch, endings=ENDINGS)
        return [line for name in place.names() for line in verifier.check(name).problems]


def bring_back(
    settings: Settings, target: Path | str, point: Point | None = None, *, replace_it: bool = False
) -> RestoreReport:
    with open_target(settings, str(target)) as place:
        return restore_home(settings, place, point or Point(), replace=replace_it)


def another(settings: Settings, folder: Path) -> Settings:
    """The settings of another home, which is not there yet."""
    return replace(settings, home_folder=str(folder))


@contextmanager
def opened(settings: Settings) -> Iterator[SmallHome]:
    platform = replace(open_platform(settings), parsers=shared_pool)
    try:
        yield SmallHome(settings, platform)
    finally:
        platform.close()


def shown(platform: Platform) -> dict[str, object]:
    """Everything that every store shows, without numbers."""
    return contents(cast("Home", platform))


def answers(platform: Platform) -> list[list[tuple[Any, ...]]]:
    """Hits of several questions, best first, each with its document, place, quotation and score."""
    places = replace(search_places(platform), time_limit_s=20.0)
    found = [search(places, question, tenant="acme") for question in QUESTIONS]
    return [
        [(hit.path, hit.version, hit.chunk_id, hit.page, hit.start, hit.end, hit.quote, hit.score) for hit in one.hits]
        for one in found
    ]


def differences(platform: Platform) -> list[str]:
    """In what any store differs from the ledger."""
    return [line for place in partitions(platform.ledger) for line in find_drift(platform, place).lines()]
