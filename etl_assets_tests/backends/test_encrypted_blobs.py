"""Encrypted blobs: what is on disk tells nothing, what was altered is noticed, and nothing plain stays behind."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl_assets.backends import sealed_files
from etl_assets.backends.encrypted_blobs import ENDING, EncryptedBlobs
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.backends.sealed_files import HEADER_BYTES, TAG_BYTES, plain_size, read_header, seal, unseal
from etl_assets.errors import ConfigError, DataError, PermanentError
from etl_assets.protocols.keys import DataKey
from etl_assets_tests.backends.sealing import encrypted, envelope, get, key_file, put

CHUNK = 64
KEY = "acme/doc/v1"
WORDS = b"the bear group used a well known tool"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_files, "CHUNK_BYTES", CHUNK)


@pytest.fixture
def blobs(tmp_path: Path) -> EncryptedBlobs:
    return encrypted(tmp_path)


def stored(folder: Path, key: str = KEY) -> Path:
    return folder / "blobs" / (key + ENDING)


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_no_stored_byte_tells_what_was_stored(blobs: EncryptedBlobs, tmp_path: Path) -> None:
    put(blobs, KEY, WORDS * 100)
    assert get(blobs, KEY) == WORDS * 100
    assert stored(tmp_path).exists()
    assert not [path for path in files_below(tmp_path) if WORDS in path.read_bytes()]


def test_the_same_bytes_are_stored_differently_each_time(blobs: EncryptedBlobs, tmp_path: Path) -> None:
    put(blobs, KEY, WORDS)
    first = stored(tmp_path).read_bytes()
    put(blobs, KEY, WORDS)
    second = stored(tmp_path).read_bytes()
    assert first[HEADER_BYTES:] != second[HEADER_BYTES:]
    assert first[:24] == second[:24], "magic, version and key id are the same"


def test_plain_bytes_are_in_a_private_folder_and_only_while_they_are_read(
    blobs: EncryptedBlobs, tmp_path: Path
) -> None:
    put(blobs, KEY, WORDS)
    with blobs.local(KEY) as path:
        assert path.is_relative_to(tmp_path / "plain")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, tmp_path / "plain")} == {0o700}
    assert not [*files_below(tmp_path / "plain")]
    with pytest.raises(RuntimeError), blobs.local(KEY):
        raise RuntimeError
    assert not [*files_below(tmp_path / "plain")]


def test_what_a_killed_reader_left_goes_with_the_next(blobs: EncryptedBlobs, tmp_path: Path) -> None:
    left = tmp_path / "plain" / "scratch-1-0123456789abcdef"
    left.mkdir(parents=True)
    (left / "plain").write_bytes(WORDS)
    put(blobs, KEY, b"other")
    assert not left.exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=4 * CHUNK))
@example(b"")
@example(b"x" * CHUNK)
@example(b"x" * (2 * CHUNK))
def test_sealing_has_an_inverse_and_a_size_that_can_be_told(
    small_chunks: None, tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("seal")
    key = DataKey("00" * 16, "scope", os.urandom(32))
    (folder / "in").write_bytes(data)
    assert seal(folder / "in", folder / "sealed", key, "name") == len(data)
    assert plain_size((folder / "sealed").stat().st_size) == len(data)
    with open(folder / "sealed", "rb") as sealed:
        unseal(sealed, read_header(sealed, "name"), folder / "out", key, "name")
    assert (folder / "out").read_bytes() == data


def test_every_altered_byte_is_noticed(small_chunks: None, blobs: EncryptedBlobs, tmp_path: Path) -> None:
    put(blobs, KEY, WORDS * 5)
    sound = stored(tmp_path).read_bytes()
    for place in [*range(HEADER_BYTES), *range(HEADER_BYTES, len(sound), 7)]:
        changed = bytearray(sound)
        changed[place] ^= 1
        stored(tmp_path).write_bytes(changed)
        with pytest.raises((DataError, ConfigError)), blobs.local(KEY):
            pass
    stored(tmp_path).write_bytes(sound)
    assert get(blobs, KEY) == WORDS * 5


@pytest.mark.parametrize(
    "damage",
    ["cut a chunk", "cut a byte", "cut all", "swap chunks", "repeat the last", "add a byte", "drop the first"],
)
def test_cut_and_reordered_chunks_are_noticed(
    small_chunks: None, blobs: EncryptedBlobs, tmp_path: Path, damage: str
) -> None:
    put(blobs, KEY, b"a" * CHUNK + b"b" * CHUNK + b"c" * CHUNK)
    raw, whole = stored(tmp_path).read_bytes(), CHUNK + TAG_BYTES
    head, one, two, three = raw[:HEADER_BYTES], *(raw[HEADER_BYTES + i * whole :][:whole] for i in range(3))
    changed = {
        "cut a chunk": head + one + two,
        "cut a byte": raw[:-1],
        "cut all": head,
        "swap chunks": head + two + one + three,
        "repeat the last": raw + three,
        "add a byte": raw + b"x",
        "drop the first": head + two + three,
    }[damage]
    stored(tmp_path).write_bytes(changed)
    with pytest.raises(DataError) as caught, blobs.local(KEY):
        pass
    assert caught.value.reason == "altered"
    assert not [*files_below(tmp_path / "plain")]


@pytest.mark.parametrize("other", ["acme/doc/v2", "acme/other/v1", "globex/doc/v1"])
def test_a_file_moved_to_another_key_is_noticed(blobs: EncryptedBlobs, tmp_path: Path, other: str) -> None:
    put(blobs, KEY, WORDS)
    put(blobs, other, b"second")
    stored(tmp_path, other).write_bytes(stored(tmp_path).read_bytes())
    with pytest.raises(DataError, match=other), blobs.local(other):
        pass


def test_a_newer_format_is_said_to_be_one(blobs: EncryptedBlobs, tmp_path: Path) -> None:
    put(blobs, KEY, WORDS)
    raw = stored(tmp_path).read_bytes()
    stored(tmp_path).write_bytes(raw[:4] + b"\2" + raw[5:])
    with pytest.raises(ConfigError, match="format 2"), blobs.local(KEY):
        pass


def test_what_was_stored_before_is_read_listed_and_encrypted_on_demand(blobs: EncryptedBlobs, tmp_path: Path) -> None:
    plain = LocalBlobs(tmp_path / "blobs")
    for key in ("acme/old/v1", "acme/old/v2"):
        put(plain, key, WORDS)
    put(blobs, KEY, b"new")
    assert get(blobs, "acme/old/v1") == WORDS
    assert blobs.exists("acme/old/v1")
    assert blobs.plain_count() == 2
    before = sorted((key, size) for key, size, _ in blobs.keys("acme/"))
    assert before == [(KEY, 3), ("acme/old/v1", len(WORDS)), ("acme/old/v2", len(WORDS))]
    converting = blobs.encrypt_existing()
    next(converting)
    converting.close()  # interrupted
    assert blobs.plain_count() == 1
    assert [size for _, size in blobs.encrypt_existing()] == [len(WORDS)]
    assert sorted((key, size) for key, size, _ in blobs.keys("acme/")) == before
    assert get(blobs, "acme/old/v1") == get(blobs, "acme/old/v2") == WORDS
    assert not [path for path in files_below(tmp_path / "blobs") if WORDS in path.read_bytes()]
    blobs.delete("acme/old/v1")
    assert not blobs.exists("acme/old/v1")


def test_an_encrypted_file_is_never_taken_for_a_plain_one(blobs: EncryptedBlobs) -> None:
    put(blobs, KEY, WORDS)
    assert not blobs.exists(KEY + ENDING)
    with pytest.raises(FileNotFoundError), blobs.local(KEY + ENDING):
        pass
    blobs.delete(KEY + ENDING)
    assert get(blobs, KEY) == WORDS


def test_a_destroyed_key_takes_its_document_and_no_other(blobs: EncryptedBlobs, tmp_path: Path) -> None:
    keys = envelope(tmp_path)
    blobs = encrypted(tmp_path, keys=keys)
    put(blobs, KEY, WORDS)
    put(blobs, "acme/other/v1", WORDS)
    assert keys.destroy("original:acme/doc")
    assert not keys.destroy("original:acme/doc")
    for opened in (blobs, encrypted(tmp_path)):
        with pytest.raises(DataError, match="destroyed") as caught, opened.local(KEY):
            pass
        assert caught.value.reason == "key-destroyed"
        assert get(opened, "acme/other/v1") == WORDS
    put(blobs, KEY, b"added again")
    assert get(encrypted(tmp_path), KEY) == b"added again"


def test_no_room_is_said_and_leaves_nothing(
    blobs: EncryptedBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    put(blobs, KEY, WORDS)
    monkeypatch.setattr(sealed_files, "write_all", full)
    with pytest.raises(PermanentError, match="no space left"):
        put(blobs, "acme/doc/v2", WORDS)
    with pytest.raises(PermanentError, match="no space left"), blobs.local(KEY):
        pass
    monkeypatch.undo()
    assert not blobs.exists("acme/doc/v2")
    assert key_file(tmp_path).label.startswith("key file")
