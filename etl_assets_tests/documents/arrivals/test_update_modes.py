"""Which changes of keys each update mode takes in: by runs, by the sensors, and by the command."""

from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.documents.arrivals.touched import compare_keys
from etl_assets.documents.arrivals.update_modes import update_mode
from etl_assets.documents.arrivals.watch import watch
from etl_assets.documents.listing import listed_documents
from etl_assets.documents.parameters import UPDATE_MODES, UpdateMode
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.errors import ConfigError
from etl_assets.ledger import touched
from etl_assets_tests.small_homes import STATIC, SmallHome

TAKES = {
    "auto": {"new", "changed", "gone"}, "add-only": {"new"}, "update-only": {"changed"},
    "skip-existing": {"new", "gone"},
}  # fmt: skip


class NoRuns:
    def outcome(self, run_key: str) -> bool | None:
        return None

    def busy(self) -> frozenset[str]:
        return frozenset()


def changed_home(folder: Path, mode: str) -> SmallHome:
    """A published home in which one file is new, one changed and one gone."""
    home = SmallHome.ran(
        folder, {"changed.txt": "EMOTET one.", "gone.txt": "APT28 one.", "same.txt": "A rose."}, run_id="before"
    )
    home.settings.home.collections_file.write_text(STATIC + f"  update_mode: {mode}\n")
    home = SmallHome.at(folder, {}, collections=STATIC + f"  update_mode: {mode}\n")
    home.write("new.txt", "TRICKBOT two.")
    home.write("changed.txt", "EMOTET two.")
    home.remove("gone.txt")
    return home


def taken_in(home: SmallHome, before: dict[str, str]) -> set[str]:
    now = home.published()
    found = {"new"} if "new.txt" in now else set()
    found |= {"changed"} if now["changed.txt"] != before["changed.txt"] else set()
    return found | (set() if "gone.txt" in now else {"gone"})


@pytest.mark.parametrize("mode", UPDATE_MODES)
def test_a_mode_takes_in_what_it_says_and_shows_what_it_keeps_out(tmp_path: Path, mode: UpdateMode) -> None:
    home = changed_home(tmp_path / "home", mode)
    before = home.published()
    found = watch(home.platform, NoRuns())
    assert [one.partition for one in found.requests] == [home.key], "something of it is taken in by every mode"
    with home.platform.ledger.reading() as connection:
        assert touched.waiting(connection)[home.key].count == len(TAKES[mode])
    told = {one.path.removesuffix(".txt") for one in listed_documents(home.platform) if one.reason == "held-back"}
    assert told == {"new", "changed", "gone"} - TAKES[mode], "the sensor alone says so"
    report = home.run("after")
    assert report["raw_documents"]["held_back"] == 3 - len(TAKES[mode])
    assert taken_in(home, before) == TAKES[mode]
    held = {one.path.removesuffix(".txt") for one in listed_documents(home.platform) if one.reason == "held-back"}
    assert held == {"new", "changed", "gone"} - TAKES[mode]
    with home.platform.ledger.writing() as connection:
        touched.drop_settled(connection, [home.key])
    # What a mode keeps out is no reason for a run, however often anybody looks.
    with home.platform.ledger.reading() as connection:
        assert not touched.waiting(connection)
    again = watch(home.platform, NoRuns())
    assert not again.requests
    names = [f"acme/reports/{name}.txt" for name in ("new", "changed", "gone")]
    shards = {("acme", "reports"): 1}
    assert not compare_keys(
        home.platform.ledger, home.platform.arrivals, shards, names, {("acme", "reports"): mode}
    ).touched


def test_what_was_kept_out_comes_in_when_the_mode_is_auto_again(tmp_path: Path) -> None:
    home = changed_home(tmp_path / "home", "add-only")
    before = home.published()
    home.run("held")
    with PartitionRun(home.platform, home.key, run_id="auto") as run:
        assert run.raw_documents(mode="auto").held_back == 0
    home.run("after")
    assert taken_in(home, before) >= {"new"}
    settings = replace(home.platform.collections.of("acme", "reports"), update_mode="auto")
    collections = home.platform.collections.with_settings("acme", "reports", settings)
    platform = replace(home.platform, collections=collections)
    assert not [one for one in listed_documents(platform) if one.reason == "held-back" and one.path == "changed.txt"]


def test_a_mode_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="add-only, update-only"):
        update_mode("append")
