"""Deletions with proof, backups and restores as steps of a schedule of faults."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from etl_assets.documents.deletion.orders import delete_documents, finish_interrupted, named
from etl_assets.errors import EtlAssetsError
from etl_assets_tests.backups import back_up, bring_back
from etl_assets_tests.faults.chains import ticking
from etl_assets_tests.faults.steps import PLACE
from etl_assets_tests.faulty import Killed
from etl_assets_tests.trivial import Home

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets_tests.faults.scheduled_home import ScheduledHome

MOMENTS = 40
"""About as many writes as a deletion has."""


def delete(home: "ScheduledHome", path: str, source: random.Random) -> None:
    """Delete a document, its history as well as often as not."""
    if home.files:
        _order(home, _one(home, path), source.random() < 0.5, home.platform)


def killed_delete(home: "ScheduledHome", path: str, source: random.Random) -> None:
    """The same, killed at some moment. What the ledger was told is finished from there; else it is ordered again."""
    left = source.randint(1, MOMENTS)

    def tick(what: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed(what)

    if not home.files:
        return
    path, purge = _one(home, path), source.random() < 0.5
    try:
        _order(home, path, purge, cast("Platform", ticking(cast("Home", home.platform), tick)))
    except Killed as killed:
        home.note(f"   killed {killed}")
        _unless_damaged(home, lambda: finish_interrupted(home.platform))
        if home.platform.arrivals.look("/".join((*PLACE, path))) is not None:
            _order(home, path, purge, home.platform)
        home.watcher.look("after a deletion was finished")


def _one(home: "ScheduledHome", path: str) -> str:
    return path if path in home.files else min(home.files)


def _order(home: "ScheduledHome", path: str, purge: bool, platform: "Platform") -> None:
    home.note(f"   {path} {'with' if purge else 'without'} its history")
    home.watcher.removed.add(path)
    home.files.pop(path, None)
    home.gone.add(path)
    _unless_damaged(home, lambda: delete_documents(platform, [named(*PLACE, path)], purge=purge))
    home.watcher.look("after a deletion")
    assert home.damaged or path not in home.watcher.shown, f"{path} was deleted, and is shown"


def _unless_damaged(home: "ScheduledHome", act: Callable[[], object]) -> None:
    """Over what is damaged a deletion may be refused: after a repair it is not."""
    try:
        act()
    except EtlAssetsError as error:
        if not home.damaged:
            raise
        home.note(f"   over what is damaged: {error}")
        home.repaired()
        finish_interrupted(home.platform)


def backup(home: "ScheduledHome") -> None:
    """Into the one target of this home."""
    try:
        back_up(home.settings, home.folder / "kept")
    except EtlAssetsError as error:
        if not home.damaged:
            raise
        home.note(f"   over what is damaged: {error}")


def restore(home: "ScheduledHome") -> None:
    """Back to the newest backup, over what is there. The first makes a backup.

    What lies in the bucket stays; what was removed since comes back to its key, what was deleted by an order does not.
    """
    if not (home.folder / "kept").exists():
        backup(home)
        return
    home.platform.close()
    home.damaged = home.lost_lake = True
    try:
        bring_back(home.settings, home.folder / "kept", replace_it=True)
    finally:
        home.open()
    home.watcher.shown = frozenset()
    lying = home.settings.home.objects.joinpath(*PLACE)
    for path in home.texts.keys() - home.files.keys():
        if (lying / path).exists():
            assert path not in home.gone, f"{path} was deleted, and a restore brings it back"
            home.note(f"   {path} lies under its key again")
            home.files[path] = (lying / path).read_text()
            home.watcher.removed.discard(path)
