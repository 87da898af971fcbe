"""An index of another system brought into a home whose every store is hosted, and taken back; by the command."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_assets_tests.documents.importing.foreign_indexes import OldIndex
from etl_assets_tests.real.hosted_homes import command, hosted_environment, opened, stored

SETTINGS = "defaults:\n  embedder: {kind: static}\n"
FIELDS = ("--document-field", "source", "--page-field", "page", "--order-field", "n")


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "collections.yaml").write_text(SETTINGS)
    with hosted_environment(folder) as found:
        yield found


def etl(env: dict[str, str], *arguments: str) -> dict[str, object]:
    done = command(env, *arguments, "--json", limit_s=240)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_index_is_imported_searched_brought_up_to_date_and_taken_back(env: dict[str, str], tmp_path: Path) -> None:
    old = OldIndex.of()
    file = old.write(tmp_path / "old.jsonl")
    wanted = ("import", "jsonl", str(file), "--into", "acme/old", "--model", "static", *FIELDS)
    first = etl(env, *wanted)
    assert (first["added"], first["rejected"], first["configure"]) == (4, {}, "")
    answer = etl(env, "search", "Part 3 of 2", "--tenant", "acme", "--collection", "old")
    hits = answer["hits"]
    assert isinstance(hits, list) and any("Part 3 of 2" in hit["quote"] for hit in hits)
    assert answer["degraded"] == []
    old.without("3-0", *(f"0-{c}" for c in range(5))).write(file)
    again = etl(env, *wanted)
    assert [again[name] for name in ("added", "changed", "unchanged", "removed")] == [0, 1, 2, 1]
    undone = etl(env, "import", "undo", "acme/old")
    assert isinstance(undone["removed"], list) and len(undone["removed"]) == 3
    with opened(env) as platform:
        assert list(platform.arrivals.list("acme", "old")) == []
        assert all(not rows for rows in stored(platform).values())
