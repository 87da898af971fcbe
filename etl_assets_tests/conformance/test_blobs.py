"""What every store of immutable bytes must do, whatever is behind it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.errors import ConfigError
from etl_assets.protocols.objects import Blobs


@pytest.fixture
def build() -> Callable[[Path], Blobs]:
    """Makes an empty store; a module that runs this suite over another backend gives a fixture of its own."""
    return lambda folder: LocalBlobs(folder / "blobs")


@pytest.fixture
def blobs(build: Callable[[Path], Blobs], tmp_path: Path) -> Blobs:
    return build(tmp_path)


def put(blobs: Blobs, key: str, data: bytes) -> int:
    with blobs.scratch() as folder:
        (folder / "file").write_bytes(data)
        return blobs.put(key, folder / "file")


def test_what_was_put_is_read_back(blobs: Blobs) -> None:
    assert put(blobs, "originals/acme/1/ab", b"text") == 4
    assert blobs.exists("originals/acme/1/ab")
    with blobs.local("originals/acme/1/ab") as path:
        assert path.read_bytes() == b"text"
    ((key, size, modified),) = blobs.keys("")
    assert (key, size) == ("originals/acme/1/ab", 4)
    assert modified > 1_700_000_000


def test_putting_a_key_twice_is_no_error(blobs: Blobs) -> None:
    put(blobs, "a/b", b"text")
    put(blobs, "a/b", b"text")
    assert [key for key, _, _ in blobs.keys("a/")] == ["a/b"]


def test_putting_takes_the_source_away(blobs: Blobs) -> None:
    with blobs.scratch() as folder:
        (folder / "file").write_bytes(b"text")
        blobs.put("a", folder / "file")
        assert not (folder / "file").exists()


def test_a_source_from_elsewhere_is_taken_too(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    blobs.put("a", tmp_path / "file")
    with blobs.local("a") as path:
        assert path.read_bytes() == b"text"


def test_a_missing_key_is_said_to_be_missing(blobs: Blobs) -> None:
    put(blobs, "a/b", b"text")
    assert not blobs.exists("a/c")
    assert not blobs.exists("a")
    assert not blobs.exists("a/b/c")
    for key in ("a/c", "a", "a/b/c"):
        with pytest.raises(FileNotFoundError), blobs.local(key):
            pass


def test_a_missing_source_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.put("a/b", tmp_path / "nowhere")
    assert [*blobs.keys("")] == []


def test_removing_is_final_and_may_be_repeated(blobs: Blobs) -> None:
    put(blobs, "a/b/c", b"text")
    put(blobs, "a/d", b"text")
    for key in ("a/b/c", "a/b/c", "a/b", "never/there"):
        blobs.delete(key)
    assert [key for key, _, _ in blobs.keys("")] == ["a/d"]


def test_scratch_is_empty_new_and_removed_with_its_context(blobs: Blobs) -> None:
    with blobs.scratch() as one, blobs.scratch() as two:
        assert one != two
        assert [*one.iterdir()] == []
        (one / "folder").mkdir()
        (one / "folder" / "file").write_bytes(b"text")
        assert [*blobs.keys("")] == []
    assert not one.exists()
    assert not two.exists()


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a/.", "a\x00b"])
def test_a_key_that_leaves_the_store_is_refused(blobs: Blobs, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_bytes(b"text")
    with pytest.raises(ConfigError):
        blobs.put(key, tmp_path / "file")
    with pytest.raises(ConfigError):
        blobs.exists(key)
    with pytest.raises(ConfigError):
        blobs.delete(key)
    with pytest.raises(ConfigError), blobs.local(key):
        pass
    assert (tmp_path / "file").exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.sets(st.sampled_from(["x", "x/a", "x/ab/c", "x/ab/d", "xy/a", "y/x/a", "y/x/b/c"]), max_size=5),
    prefix=st.sampled_from(["", "x", "x/", "x/a", "x/ab/", "y/", "y/x/b", "z", "z/z/z"]),
)
def test_keys_are_exactly_those_that_start_with_the_prefix(blobs: Blobs, names: set[str], prefix: str) -> None:
    names -= {"x"} if any(name.startswith("x/") for name in names) else set()
    for key, _, _ in [*blobs.keys("")]:
        blobs.delete(key)
    for name in names:
        put(blobs, name, b"text")
    assert sorted(key for key, _, _ in blobs.keys(prefix)) == sorted(n for n in names if n.startswith(prefix))


def test_many_blobs_put_together_are_all_read_back(blobs: Blobs) -> None:
    with blobs.scratch() as scratch:
        items = []
        for i in range(20):
            source = scratch / f"{i}"
            source.write_bytes(b"%d" % i)
            items.append((f"many/{i % 3}/{i}", source))
        blobs.put_all(items)
        assert not any(source.exists() for _, source in items)
    for i in range(20):
        with blobs.local(f"many/{i % 3}/{i}") as path:
            assert path.read_bytes() == b"%d" % i
