"""An encrypted home: compaction works on it, damage costs one document or is mended, a purge costs one document."""

from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.backends.encrypted_blobs import EncryptedBlobs
from etl_assets.backends.key_files import create_key_file
from etl_assets.bindings import open_platform
from etl_assets.documents.deletion.orders import delete_documents, named
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.hosted_settings import EncryptionPlace
from etl_assets.ledger.data_keys import LedgerKeys
from etl_assets.settings import Settings
from etl_assets.stages import housekeeping
from etl_assets.stages.lake import SegmentLost
from etl_assets_tests.small_homes import STATIC, SmallHome, shared_pool


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    create_key_file(tmp_path / "master.key")
    settings = Settings(
        home_folder=str(tmp_path / "home"), search_time_limit_s=0.1, parser_processes=1,
        encryption=EncryptionPlace(f"file:{tmp_path / 'master.key'}"),
    )  # fmt: skip
    settings.home.create().collections_file.write_text(STATIC)
    made = SmallHome(settings, replace(open_platform(settings), parsers=shared_pool))
    made.write("bear.txt", "The bear group used EMOTET against a bank.")
    made.write("panda.txt", "The panda group used TRICKBOT.")
    return made


def segments(home: SmallHome, stage: str) -> list[Path]:
    return sorted((home.settings.home.lake / stage).rglob("*.enc"))


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def test_small_segments_are_merged(home: SmallHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SMALL_SEGMENTS", 2)
    for turn in range(3):
        home.write(f"rose{turn}.txt", f"Roses want sun and water, {turn} times a day.")
        home.run()
    assert len(segments(home, "chunks")) <= 2
    assert len(home.published()) == 5
    assert home.held() == {}


def test_an_altered_segment_is_made_again(home: SmallHome) -> None:
    home.run()
    flip(*segments(home, "pages"))
    home.settings.home.collections_file.write_text(STATIC + "  chunking: {max_tokens: 64}\n")
    reopened = SmallHome(home.settings, replace(open_platform(home.settings), parsers=shared_pool))
    with pytest.raises(SegmentLost, match="altered"):
        reopened.run()
    reopened.run()
    assert reopened.held() == {}
    assert set(reopened.published()) == {"bear.txt", "panda.txt"}


def test_an_original_that_was_altered_or_whose_key_was_destroyed_costs_that_document_alone(home: SmallHome) -> None:
    home.write("rose.txt", "Roses want sun and water.")
    with PartitionRun(home.platform, home.key, run_id="killed") as run:
        run.raw_documents()
    (stored,) = (home.settings.home.originals / "acme" / home.document_id("bear.txt")).glob("*.enc")
    flip(stored)
    store = home.platform.originals
    assert isinstance(store, EncryptedBlobs)
    assert store.envelope.destroy(f"original:acme/{home.document_id('panda.txt')}")
    home.run()
    assert home.held() == {"bear.txt": ("pages", "altered"), "panda.txt": ("pages", "key-destroyed")}
    assert set(home.published()) == {"rose.txt"}


def test_a_purge_destroys_the_data_key_of_the_document(home: SmallHome) -> None:
    home.run()
    kept = {path.name: path.read_bytes() for path in home.settings.home.originals.rglob("*.enc")}
    keys = LedgerKeys(home.platform.ledger)
    before = {key.scope for key in keys.all()}
    (done,) = delete_documents(home.platform, [named("acme", "reports", "bear.txt")], purge=True)
    (gone,) = before - {key.scope for key in keys.all()}
    assert gone.startswith("original:acme/") and b'"data_keys_destroyed": 1' in Path(done.certificate).read_bytes()
    left = {path.name for path in home.settings.home.originals.rglob("*.enc") if "tombstones.d" not in path.parts}
    assert len(kept) == 2 and len(left) == 1
    home.run("again")
    assert list(home.published()) == ["panda.txt"]
