"""What every store of arrivals must do, whatever is behind it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.protocols.objects import Arrivals, ListedPage, ObjectAttributes, ObjectInfo

KEYS = [
    "acme/reports/plain.txt",
    "acme/reports/deep/er/still/a file with spaces.txt",
    "acme/reports/caf\u00e9.txt",
    "acme/reports/cafe\u0301.txt",
    "acme/reports/line\nbreak.txt",
    "acme/reports/" + "n" * 251 + ".txt",
    "acme/reports/\u65e5\u672c\u8a9e \U0001f600 100% #?&.txt",
    "acme/notes/plain.txt",
    "other-tenant_2/reports/plain.txt",
]


def _local(folder: Path) -> Arrivals:
    (folder / "objects").mkdir()
    return LocalArrivals(folder / "objects", scratch=folder / "tmp")


@pytest.fixture
def build() -> Callable[[Path], Arrivals]:
    """Makes an empty store; a module that runs this suite over another backend gives a fixture of its own."""
    return _local


@pytest.fixture
def arrivals(build: Callable[[Path], Arrivals], tmp_path: Path) -> Arrivals:
    return build(tmp_path)


@pytest.fixture
def in_pages() -> Callable[[Arrivals], Arrivals]:
    """Opens the store of ``arrivals`` again, listed in pages of three."""

    def small(arrivals: Arrivals) -> Arrivals:
        assert isinstance(arrivals, LocalArrivals)
        return LocalArrivals(arrivals._objects, scratch=arrivals._objects.parent / "tmp", page_files=3)

    return small


@pytest.fixture
def keys() -> list[str]:
    """Names that must be kept as they are; a server that cannot keep one of them gives a list of its own."""
    return KEYS


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        (tmp_path / "source").write_bytes(data)
        return tmp_path / "source"

    return write


def listed(arrivals: Arrivals, tenant: str = "acme", collection: str = "reports") -> dict[str, ObjectInfo]:
    objects = [found for found in arrivals.list(tenant, collection) if isinstance(found, ObjectInfo)]
    assert len({found.key for found in objects}) == len(objects)
    return {found.key: found for found in objects}


def test_every_allowed_name_is_listed_and_fetched_as_it_was_put(
    arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path, keys: list[str]
) -> None:
    for n, key in enumerate(keys):
        arrivals.put(key, file(f"text {n}".encode()))
    assert arrivals.collections() == [("acme", "notes"), ("acme", "reports"), ("other-tenant_2", "reports")]
    assert [*arrivals.strays()] == []
    found = {
        **listed(arrivals),
        **listed(arrivals, "acme", "notes"),
        **listed(arrivals, "other-tenant_2", "reports"),
    }
    assert sorted(found) == sorted(keys)
    for n, key in enumerate(keys):
        fetched = arrivals.fetch(key, tmp_path / f"target {n}")
        assert (tmp_path / f"target {n}").read_bytes() == f"text {n}".encode()
        assert fetched.sha256 == hashlib.sha256(f"text {n}".encode()).hexdigest()
        assert (fetched.fingerprint, fetched.size_bytes) == (found[key].fingerprint, found[key].size_bytes)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_bytes_and_digest_are_exact_at_every_block_border(
    arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path, size: int
) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    arrivals.put("acme/reports/a", file(data[:size]))
    fetched = arrivals.fetch("acme/reports/a", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data[:size]
    assert (fetched.sha256, fetched.size_bytes) == (hashlib.sha256(data[:size]).hexdigest(), size)


def test_a_collection_that_does_not_exist_is_empty(arrivals: Arrivals) -> None:
    assert [*arrivals.list("nobody", "nothing")] == []
    assert arrivals.collections() == []


def test_no_write_after_a_fetch_has_the_fingerprint_of_what_was_fetched(
    arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path
) -> None:
    seen = set()
    for n, text in enumerate((b"aaaa", b"bbbb", b"aaaa", b"aaaa")):
        arrivals.put("acme/reports/a", file(text))
        assert listed(arrivals)["acme/reports/a"].fingerprint not in seen
        seen.add(arrivals.fetch("acme/reports/a", tmp_path / f"{n}").fingerprint)
    assert len(seen) == 4


def test_a_listing_twice_over_unchanged_objects_is_the_same(
    arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path
) -> None:
    arrivals.put("acme/reports/a", file(b"text"))
    before = listed(arrivals)
    arrivals.fetch("acme/reports/a", tmp_path / "target")
    assert listed(arrivals) == before


def test_content_type_and_metadata_come_back(arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path) -> None:
    attributes = ObjectAttributes("application/pdf", {"source": "mail", "author": "Zo\u00eb"})
    arrivals.put("acme/reports/a", file(b"text"), attributes=attributes)
    arrivals.put("acme/reports/b", file(b"text"))
    assert arrivals.fetch("acme/reports/a", tmp_path / "a").attributes == attributes
    assert arrivals.fetch("acme/reports/b", tmp_path / "b").attributes == ObjectAttributes()


def test_metadata_alone_change_the_fingerprint_and_not_the_digest(
    arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path
) -> None:
    arrivals.put("acme/reports/a", file(b"text"), attributes=ObjectAttributes("text/plain"))
    first = arrivals.fetch("acme/reports/a", tmp_path / "1")
    arrivals.put("acme/reports/a", file(b"text"), attributes=ObjectAttributes("text/markdown"))
    second = arrivals.fetch("acme/reports/a", tmp_path / "2")
    assert first.sha256 == second.sha256
    assert first.fingerprint != second.fingerprint


def test_a_removed_object_is_gone_and_removing_it_again_is_no_error(
    arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path
) -> None:
    for key in ("acme/reports/a/b/c", "acme/reports/a/d"):
        arrivals.put(key, file(b"text"))
    for _ in range(2):
        arrivals.delete("acme/reports/a/b/c")
    assert [*listed(arrivals)] == ["acme/reports/a/d"]
    with pytest.raises(FileNotFoundError):
        arrivals.fetch("acme/reports/a/b/c", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "key",
    [
        "acme/reports",
        "acme/reports/",
        "acme/reports//a",
        "/acme/reports/a",
        "Acme/reports/a",
        "acme/re.ports/a",
        "acme/reports/../../escape",
        "acme/reports/./a",
        "acme/reports/.hidden",
        "acme/reports/.git/a",
        "acme/reports/a\x00b",
        "acme/reports/\udcff",
        "a" * 65 + "/reports/a",
    ],
)
def test_a_key_that_could_never_be_a_document_is_refused(
    arrivals: Arrivals, file: Callable[[bytes], Path], tmp_path: Path, key: str
) -> None:
    with pytest.raises(ConfigError):
        arrivals.put(key, file(b"text"))
    with pytest.raises(ConfigError):
        arrivals.delete(key)
    with pytest.raises(ConfigError):
        arrivals.fetch(key, tmp_path / "target")
    assert arrivals.collections() == []


def test_a_missing_source_is_not_a_missing_object(arrivals: Arrivals, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, PermanentError)):
        arrivals.put("acme/reports/a", tmp_path / "nowhere")
    assert listed(arrivals) == {}


def test_a_listing_goes_on_from_any_page_in_another_process_and_shows_everything_once(
    arrivals: Arrivals, file: Callable[[bytes], Path], keys: list[str], in_pages: Callable[[Arrivals], Arrivals]
) -> None:
    names = [f"acme/reports/{n % 3}/{n}" for n in range(8)] + ["acme/reports/0-", "acme/reports/1.txt"]
    for key in {*names, *keys}:
        arrivals.put(key, file(b"text"))
    wanted = sorted(listed(arrivals))
    small = in_pages(arrivals)
    positions, found = [""], list[str]()
    while positions[-1] or len(positions) == 1:
        page = next(small.pages("acme", "reports", after=positions[-1]))
        assert len(page.entries) <= 3 and all(isinstance(one, ObjectInfo) for one in page.entries)
        found += [one.key for one in page.entries if isinstance(one, ObjectInfo)]
        positions.append(page.position)
        if not page.position:
            break
    assert sorted(found) == wanted and len(positions) > 3
    assert [*small.pages("nobody", "nothing")] == [ListedPage([], "")]


def test_what_comes_and_goes_between_two_pages_hides_nothing_that_stays(
    arrivals: Arrivals, file: Callable[[bytes], Path], in_pages: Callable[[Arrivals], Arrivals]
) -> None:
    stay = {f"acme/reports/{name}" for name in ("a/b", "a/c", "a-b", "d", "e/f/g", "e/h", "z")}
    come = [f"acme/reports/{name}" for name in ("0", "a/a", "a/bb", "e/f/f", "e/f/z", "y", "zz")]
    for key in stay:
        arrivals.put(key, file(b"text"))
    small, found, position = in_pages(arrivals), set[str](), ""
    for n in range(20):
        page = next(small.pages("acme", "reports", after=position))
        found |= {one.key for one in page.entries if isinstance(one, ObjectInfo)}
        position = page.position
        if not position:
            break
        for key in (come[n % len(come)], sorted(found)[-1]):
            arrivals.put(key, file(f"{n}".encode()))
        if n:
            arrivals.delete(come[(n - 1) % len(come)])
    assert not position and stay <= found


def test_a_position_of_something_else_is_refused(arrivals: Arrivals) -> None:
    for position in ("x", "[]", '"other/reports/a"', "[1"):
        with pytest.raises(PermanentError, match="begin it anew"):
            next(arrivals.pages("acme", "reports", after=position))
