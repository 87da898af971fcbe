"""Only tenants that are let in are seen; of the others it is said that they are there."""

from pathlib import Path

import pytest

from etl_assets.backends.allowed_arrivals import AllowedArrivals
from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.errors import ConfigError


@pytest.fixture
def store(tmp_path: Path) -> AllowedArrivals:
    for name in ("acme/reports", "beta-1/mail", "evil/mail", "evil/more"):
        (tmp_path / "objects" / name).mkdir(parents=True)
        (tmp_path / "objects" / name / "a.txt").write_text("text")
    return AllowedArrivals(LocalArrivals(tmp_path / "objects", scratch=tmp_path / "tmp"), ["acme", "beta-*"])


def test_strangers_are_told_once_for_each_collection_and_have_none(store: AllowedArrivals) -> None:
    assert store.collections() == [("acme", "reports"), ("beta-1", "mail")]
    assert [one.shown for one in store.strays()] == ["evil/mail/", "evil/more/"]
    assert len([*store.list("acme", "reports")]) == 1 and store.look("beta-1/mail/a.txt") is not None
    assert store.look("acme/reports/b.txt") is None and store.concurrency == 8 and not store.seems_lost()


def test_nothing_of_a_stranger_looks_empty_or_deleted(store: AllowedArrivals, tmp_path: Path) -> None:
    for call in (
        lambda: store.list("evil", "mail"),
        lambda: store.look("evil/mail/a.txt"),
        lambda: store.fetch("evil/mail/a.txt", tmp_path / "copy"),
        lambda: store.put("evil/mail/b.txt", tmp_path / "copy"),
        lambda: store.delete("evil/mail/a.txt"),
    ):
        with pytest.raises(ConfigError, match="ETL_TENANTS"):
            call()
