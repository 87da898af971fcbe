"""Wrapped data keys in PostgreSQL, straight and through a pooler: one for a scope, whoever enters it first."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from etl_assets.backends.envelope import Envelope
from etl_assets.ledger.data_keys import LedgerKeys
from etl_assets.ledger.database import Ledger
from etl_assets_tests.backends.sealing import key_file


def test_data_keys_are_made_once_rotated_and_destroyed(ledger: Ledger, tmp_path: Path) -> None:
    old, new = key_file(tmp_path), key_file(tmp_path, "new.key")
    rows = LedgerKeys(ledger)
    scopes = [f"original:acme/{number}" for number in range(20)]

    def make(turn: int) -> list[bytes]:
        wanted = scopes if turn % 2 else scopes[::-1]
        made = Envelope(rows, [old]).for_writing(wanted)
        return [key.secret for key in sorted(made, key=lambda key: key.scope)]

    with ThreadPoolExecutor(4) as pool:
        assert len({tuple(secrets) for secrets in pool.map(make, range(4))}) == 1
    assert rows.any_master() == old.current()[0]
    both = Envelope(rows, [new, old])
    assert len([*both.rotate()]) == len(scopes)
    assert [one.count for one in Envelope(rows, [new]).status()] == [len(scopes)]
    (key,) = both.for_writing([scopes[0]])
    assert both.destroy(scopes[0])
    assert rows.by_id(key.key_id) is None
    assert len([*rows.all()]) == len(scopes) - 1
