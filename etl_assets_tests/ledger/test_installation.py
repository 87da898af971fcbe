"""The id of an installation stays with its ledger."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from etl_assets.ledger.database import Ledger
from etl_assets.ledger.installation import installation_id, known_installation
from etl_assets.ledger.probes import sqlite_installation


def test_the_id_is_drawn_once_and_restored_with_the_ledger(tmp_path: Path) -> None:
    assert sqlite_installation(tmp_path / "none.sqlite") == ""
    ledger = Ledger.sqlite(tmp_path / "ledger.sqlite")
    assert known_installation(ledger) is None
    assert sqlite_installation(tmp_path / "ledger.sqlite") == ""
    with ThreadPoolExecutor(4) as threads:
        drawn = {*threads.map(lambda _: installation_id(ledger), range(8))}
    ledger.close()
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "restored.sqlite")
    restored = Ledger.sqlite(tmp_path / "restored.sqlite")
    assert drawn == {installation_id(restored)} == {sqlite_installation(tmp_path / "restored.sqlite")}
    restored.close()


def test_two_ledgers_are_two_installations(tmp_path: Path) -> None:
    ledgers = [Ledger.sqlite(tmp_path / name) for name in ("a.sqlite", "b.sqlite")]
    assert len({installation_id(ledger) for ledger in ledgers}) == 2
    for ledger in ledgers:
        ledger.close()
