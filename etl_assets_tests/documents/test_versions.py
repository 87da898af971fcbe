"""Versions of a document: how they differ, and an earlier one that searches see again."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_assets.documents.versions import diff, republish, unpin
from etl_assets.errors import ConfigError
from etl_assets_tests.small_homes import SmallHome

PLACE = ("acme", "reports")
OLD = "The bear group used EMOTET against a bank.\n\nNothing else happened."
NEW = "The bear group used TRICKBOT against a bank.\n\nNothing else happened."


def version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SmallHome]:
    home = SmallHome.ran(tmp_path / "home", {"bear.txt": OLD})
    home.write("bear.txt", NEW)
    home.run()
    yield home
    home.platform.close()


def test_a_diff_names_lines_chunks_and_entities(home: SmallHome) -> None:
    made = home.computed()
    found = diff(home.platform, home.document_id("bear.txt"), *PLACE, "1", version(NEW)[:8])
    assert "-The bear group used EMOTET against a bank." in found.text
    assert "+The bear group used TRICKBOT against a bank." in found.text
    assert (found.chunks_added, found.chunks_removed) == (1, 1) and home.computed() == made
    names = [name for _, name in (*found.entities_added, *found.entities_removed)]
    assert [name.lower() for name in names] == ["trickbot", "emotet"]
    same = diff(home.platform, home.document_id("bear.txt"), *PLACE, "2", "2")
    assert same.text == [] and (same.chunks_same, same.chunks_moved) == (1, 0)
    with pytest.raises(ConfigError, match="there is none"):
        diff(home.platform, home.document_id("bear.txt"), *PLACE, "99", "2")
    with pytest.raises(ConfigError, match="there is none"):
        diff(home.platform, home.document_id("bear.txt"), *PLACE, version(NEW)[:3], "2")


def test_an_earlier_version_stays_published_until_the_key_has_other_bytes(home: SmallHome) -> None:
    document = home.document_id("bear.txt")
    republish(home.platform, document, *PLACE, "1")
    for _ in range(2):
        home.run()
        assert home.published() == {"bear.txt": version(OLD)}
    home.write("bear.txt", NEW)  # as before, under another fingerprint
    home.run()
    assert home.published() == {"bear.txt": version(OLD)}
    home.write("bear.txt", "Something new.")
    home.run()
    assert home.published() == {"bear.txt": version("Something new.")}
    with pytest.raises(ConfigError, match="nothing to undo"):
        unpin(home.platform, document, *PLACE)


def test_unpinned_the_document_shows_what_its_key_has(home: SmallHome) -> None:
    document = home.document_id("bear.txt")
    republish(home.platform, document, *PLACE, version(OLD))
    home.run()
    unpin(home.platform, document, *PLACE)
    home.run()
    assert home.published() == {"bear.txt": version(NEW)}
    home.remove("bear.txt")
    home.run()
    with pytest.raises(ConfigError, match="its key is gone"):
        republish(home.platform, document, *PLACE, "1")
