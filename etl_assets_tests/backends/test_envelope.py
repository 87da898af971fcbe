"""Data keys: one for each scope whoever asks, wrapped by what is set, wrapped again without touching a blob."""

import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.backends.envelope import KEPT_S, Envelope, original_scope, segment_scope
from etl_assets.backends.key_files import KeyFile, create_key_file
from etl_assets.backends.key_ring import open_masters
from etl_assets.errors import ConfigError, DataError, PermanentError
from etl_assets.ledger.data_keys import LedgerKeys
from etl_assets.ledger.database import Ledger
from etl_assets.protocols.keys import MasterKey, WrappedKey, Wrapping
from etl_assets_tests.backends.sealing import encrypted, envelope, get, key_file, put


@pytest.fixture
def rows(tmp_path: Path) -> LedgerKeys:
    return LedgerKeys(Ledger.sqlite(tmp_path / "keys.sqlite"))


class Counting(KeyFile):
    """A key file that counts how often it is asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.unwrapped = 0

    def unwrap(self, wrapping: Wrapping, context: str) -> bytes:
        self.unwrapped += 1
        return super().unwrap(wrapping, context)


def test_a_scope_has_one_key_and_another_scope_another(tmp_path: Path) -> None:
    keys = envelope(tmp_path)
    one, two, again = keys.for_writing(["a", "b", "a"])
    assert one == again
    assert one.secret != two.secret
    assert envelope(tmp_path).for_reading(one.key_id, "name").secret == one.secret


def test_all_who_make_the_same_key_at_once_end_with_the_same(tmp_path: Path, rows: LedgerKeys) -> None:
    key_file(tmp_path)
    together = threading.Barrier(6)

    class Late(KeyFile):
        def wrap(self, secret: bytes, context: str) -> Wrapping:
            together.wait(30)  # all have seen that there is no key yet
            return super().wrap(secret, context)

    def make(_: int) -> bytes:
        mine = Envelope(LedgerKeys(Ledger.sqlite(tmp_path / "keys.sqlite")), [Late(tmp_path / "master.key")])
        return mine.for_writing(["scope"])[0].secret

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(make, range(6)))) == 1
    assert len([*rows.all()]) == 1


def test_an_unwrapped_key_is_kept_for_minutes_and_a_destroyed_one_is_not_written_with(
    tmp_path: Path, rows: LedgerKeys
) -> None:
    key_file(tmp_path)
    master = Counting(tmp_path / "master.key")
    now = [0.0]
    writer = envelope(tmp_path)
    (key,) = writer.for_writing(["scope"])
    keys = Envelope(rows, [master], clock=lambda: now[0])
    for _ in range(3):
        keys.for_reading(key.key_id, "name")
    assert master.unwrapped == 1
    now[0] = KEPT_S + 1
    keys.for_reading(key.key_id, "name")
    assert master.unwrapped == 2
    writer.destroy("scope")
    assert keys.for_writing(["scope"])[0].key_id != key.key_id
    now[0] *= 3
    with pytest.raises(DataError, match="destroyed"):
        keys.for_reading(key.key_id, "name")


def test_rotation_wraps_again_reads_go_on_and_no_blob_changes(tmp_path: Path, rows: LedgerKeys) -> None:
    old = key_file(tmp_path)
    blobs = encrypted(tmp_path)
    for number in range(5):
        put(blobs, f"acme/doc{number}/v", b"text %d" % number)
    files = {path: path.read_bytes() for path in (tmp_path / "blobs").rglob("*") if path.is_file()}
    new = key_file(tmp_path, "new.key")
    keys = envelope(tmp_path, new, old)
    rotating = keys.rotate()
    next(rotating), next(rotating)
    rotating.close()  # killed
    assert {(one.master == new.current()[0], one.count) for one in keys.status()} == {(True, 2), (False, 3)}
    assert len([*keys.rotate()]) == 3
    assert [*keys.rotate()] == []
    assert len([*keys.rotate(rewrap_all=True)]) == 5
    (only,) = keys.status()
    assert (only.count, only.is_current, only.is_set) == (5, True, True)
    after = encrypted(tmp_path, keys=envelope(tmp_path, new))
    assert [get(after, f"acme/doc{number}/v") for number in range(5)] == [b"text %d" % n for n in range(5)]
    assert {path: path.read_bytes() for path in files} == files
    with pytest.raises(ConfigError, match="is wrapped by file:"):
        get(encrypted(tmp_path, keys=envelope(tmp_path, old)), "acme/doc0/v")


def test_a_key_that_was_rotated_by_another_meanwhile_is_left(tmp_path: Path, rows: LedgerKeys) -> None:
    (key,) = envelope(tmp_path).for_writing(["scope"])
    row = rows.by_id(key.key_id)
    assert row is not None
    assert not rows.rewrap(key.key_id, replace(row.wrapping, wrapped=b"other"), row.wrapping)


def test_a_wrapped_key_opens_for_its_own_scope_only(tmp_path: Path, rows: LedgerKeys) -> None:
    keys = envelope(tmp_path)
    one, two = keys.for_writing(["one", "two"])
    stolen, target = rows.by_id(one.key_id), rows.by_id(two.key_id)
    assert stolen is not None and target is not None
    assert rows.rewrap(two.key_id, target.wrapping, stolen.wrapping)
    with pytest.raises(PermanentError, match="altered"):
        envelope(tmp_path).for_reading(two.key_id, "name")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_file_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "k"
    path.write_bytes(b"x" * size)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=f"{size} bytes"):
        KeyFile(path)


def test_a_key_file_that_is_missing_open_to_others_or_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys create"):
        KeyFile(tmp_path / "absent")
    create_key_file(tmp_path / "k")
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    os.chmod(tmp_path / "k", 0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyFile(tmp_path / "k")
    with pytest.raises(ConfigError, match="no file"):
        KeyFile(tmp_path)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    create_key_file(tmp_path / "k")
    before = (tmp_path / "k").read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        create_key_file(tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == before
    with pytest.raises(ConfigError, match="no such folder"):
        create_key_file(tmp_path / "absent" / "k")


def test_no_key_is_shown_or_leaves_its_process(tmp_path: Path) -> None:
    master, keys = key_file(tmp_path), envelope(tmp_path)
    (key,) = keys.for_writing(["scope"])
    shown = f"{key} {key!r} {keys!r} {master!r} {master.label} {master.wrap(key.secret, 'c')!r}"
    raw = (tmp_path / "master.key").read_bytes()
    for secret in (key.secret, raw):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    with pytest.raises(TypeError, match="must not leave"):
        pickle.dumps(key)


def test_the_setting_names_keys_and_never_repeats_what_is_no_name(tmp_path: Path) -> None:
    create_key_file(tmp_path / "a")
    create_key_file(tmp_path / "b")
    asked: list[tuple[str, str]] = []

    def vault(mount: str, name: str) -> MasterKey:
        asked.append((mount, name))
        return KeyFile(tmp_path / "a")

    text = f"vault-transit:a/transit/main, file:{tmp_path / 'b'}"
    assert [type(one) for one in open_masters(text, vault=vault)] == [KeyFile, KeyFile]
    assert asked == [("a/transit", "main")]
    for wrong in ("", "c2VjcmV0", "file:", "vault-transit:x", "aws-kms:"):
        with pytest.raises(ConfigError, match="use file:PATH") as caught:
            open_masters(wrong, vault=vault)
        assert "c2Vj" not in str(caught.value)
    with pytest.raises(ConfigError, match="no master key"):
        Envelope(LedgerKeys(Ledger.sqlite(tmp_path / "keys.sqlite")), [])


def test_a_secret_of_the_wrong_size_is_no_key(tmp_path: Path, rows: LedgerKeys) -> None:
    master = key_file(tmp_path)
    row = WrappedKey("0" * 32, "scope", Wrapping("", "", b""))
    rows.enter([replace(row, wrapping=master.wrap(b"short", row.context))])
    with pytest.raises(PermanentError, match="is no key"):
        envelope(tmp_path).for_reading(row.key_id, "name")


def test_scopes_are_documents_of_originals_and_collections_of_segments() -> None:
    assert original_scope("acme/doc/version") == "original:acme/doc"
    assert segment_scope("chunks/acme/reports/00/000000000001-000000000002.parquet") == "lake:acme/reports"
    assert rows_are_kept_apart("a/b/c", "a/c/b")


def rows_are_kept_apart(one: str, two: str) -> bool:
    return original_scope(one) != original_scope(two) and segment_scope(one) != segment_scope(two)
