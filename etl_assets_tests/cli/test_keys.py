"""A home that is encrypted, from its first sync to another master key, by the commands alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets_tests.cli.conftest import SETTINGS, Command, copied, put

pytestmark = pytest.mark.usefixtures("without_dagster")

WORDS = ("TRICKBOT", "factory", "mail server")
TEXTS = {
    "acme/reports/bear.txt": "The bear group used EMOTET against a bank.\nIt moved to the mail server of APT28.",
    "acme/reports/panda.md": "# Panda\n\nThe panda group used TRICKBOT. A factory stopped for a week.",
}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the master keys of the commands that follow; none for none."""

    def use(*files: Path) -> None:
        monkeypatch.setenv("ETL_ENCRYPTION_KEY", ",".join(f"file:{path}" for path in files))

    return use


def found(home: Path) -> list[str]:
    """Files below originals, lake and the temporary folder that show a word of a document, or a Parquet file."""
    wanted = [word.encode() for word in WORDS] + [b"PAR1"]
    folders = ("originals", "lake", "tmp")
    files = [path for folder in folders for path in (home / folder).rglob("*") if path.is_file()]
    return [str(path) for path in files if any(word in path.read_bytes() for word in wanted)]


def test_a_whole_chain_runs_encrypted_and_no_stored_byte_tells_a_word(
    etl: Command, use: Callable[..., None], tmp_path: Path
) -> None:
    home, key = tmp_path / "home", tmp_path / "master.key"
    put(home, TEXTS)
    (home / "collections.yaml").write_text(SETTINGS)
    assert etl("keys", "create", str(key), home=home).code == 0
    use(key)
    assert etl("sync", home=home).code == 0
    stored = [path for folder in ("originals", "lake") for path in (home / folder).rglob("*.enc")]
    assert len(stored) >= 2 + 4, "originals and the segments of four stages"
    assert found(home) == []
    (hit,) = etl("search", "factory TRICKBOT", "--json", "--limit", "1", home=home).records
    assert "panda" in str(hit)
    (row,) = etl("sql", "SELECT text FROM chunks WHERE text LIKE '%TRICKBOT%'", "--format", "json", home=home).records
    assert "factory" in row["text"]
    outcome = etl("check", home=home)
    assert outcome.code == 0, outcome.out + outcome.err
    (record,) = etl("keys", "status", "--json", home=home).records
    assert [one["count"] for one in record["keys"]] == [3], "one for each document, one for the collection"
    assert record["plain"] == {"originals": 0, "segments": 0}

    second = tmp_path / "second.key"
    assert etl("keys", "create", str(second), home=home).code == 0
    use(second, key)
    assert "wrapped 3 " in etl("keys", "rotate", home=home).out
    assert "NO" not in etl("keys", "status", home=home).out
    use(second)
    assert etl("search", "factory", "--json", "--limit", "1", home=home).records
    for files, words in (((key,), "is encrypted under file:"), ((), "set ETL_ENCRYPTION_KEY")):
        use(*files)
        outcome = etl("sync", home=home)
        assert outcome.code == 2
        assert words in outcome.err
        assert second.read_bytes().hex() not in outcome.err
    assert found(home) == []


def test_a_home_of_before_is_read_and_then_encrypted(
    etl: Command, use: Callable[..., None], made_home: Path, tmp_path: Path
) -> None:
    home, key = tmp_path / "home", tmp_path / "master.key"
    copied(made_home, home)
    assert "nothing is encrypted" in etl("keys", "status", home=home).err
    assert etl("keys", "create", str(key), home=home).code == 0
    use(key)
    assert etl("search", "factory", "--json", "--limit", "1", home=home).records
    assert found(home) != []
    assert "`etl-assets keys encrypt`" in etl("keys", "status", home=home).out
    outcome = etl("keys", "encrypt", home=home)
    assert outcome.code == 0
    assert "encrypted 0 " not in outcome.out
    assert found(home) == []
    assert etl("search", "factory", "--json", "--limit", "1", home=home).records
    assert "encrypted 0 originals" in etl("keys", "encrypt", home=home).out


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "there is no key file"),
        (lambda path: path.write_bytes(b"short"), "5 bytes"),
        (lambda path: (path.write_bytes(b"x" * 32), path.chmod(0o644)), "chmod 600"),
    ],
    ids=["missing", "truncated", "open to others"],
)
def test_a_key_file_that_cannot_be_used_is_named(
    etl: Command, use: Callable[..., None], tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    key = tmp_path / "master.key"
    make(key)
    if key.exists() and words != "chmod 600":
        key.chmod(0o600)
    use(key)
    outcome = etl("status", home=tmp_path / "home")
    assert outcome.code == 2
    assert words in outcome.err
    assert str(key) in outcome.err
