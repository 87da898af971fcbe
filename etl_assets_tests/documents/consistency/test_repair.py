"""Drift behind the platform's back, on real files of every store, and what a repair makes of it."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select, update

from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.consistency.repair import RepairReport, repair
from etl_assets.documents.consistency.verification import run_checks
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.documents.publication.publisher import Stores
from etl_assets.errors import TransientError
from etl_assets.ledger import repairs, schema
from etl_assets.ledger.leases import acquire
from etl_assets.ledger.publications import STORES
from etl_assets.protocols.indexes import IndexSpace
from etl_assets.search.query import search
from etl_assets_tests.documents.consistency.test_verification import (
    a_publication,
    remove,
    row_id,
    table_of,
    vector_row,
    write,
)
from etl_assets_tests.faults.chains import die_holding, ticking, untidy
from etl_assets_tests.faulty import Fault, Faults, FaultyRows, Killed
from etl_assets_tests.small_homes import TEXTS, SmallHome, shared_pool
from etl_assets_tests.trivial import Home, contents

CLEAN: dict[str, object] = {}
KILLED_EVERY = 31
"""Writes between two moments at which a repair is killed; ``real/test_more_kills.py`` has them closer."""


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    home = SmallHome.ran(tmp_path / "home")
    CLEAN.setdefault("contents", shown(home))
    return home


def shown(home: SmallHome) -> dict[str, object]:
    """Everything that every store holds, read without any code of checks or repairs."""
    return contents(cast("Home", home.platform))


def reopen(home: SmallHome) -> None:
    home.platform.close()
    home.platform = replace(open_platform(home.settings), parsers=shared_pool)


def repaired(home: SmallHome, run_id: str = "repair", *, then_run: bool = False) -> RepairReport:
    """A repair by a process that has nothing open yet; then all is as after a clean build, and nothing is left over."""
    reopen(home)
    report = repair(home.platform, home.partition(), run_id=run_id)
    assert report.left == []
    if then_run:  # what a dead run has left in the outbox is every run's to tidy, and no difference
        assert home.run("tidy")["published_documents"]["published"] == 0
    assert shown(home) == CLEAN["contents"]
    assert untidy(cast("Home", home.platform)) == []
    assert all(one.passed or one.severity == "warn" for one in run_checks(home.platform, home.partition()))
    return report


def damage_file(path: Path, how: str) -> None:
    os.chmod(path, 0o600)
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)


def a_file(folder: Path, suffix: str = "") -> Path:
    return max((path for path in folder.rglob(f"*{suffix}") if path.is_file()), key=lambda path: path.stat().st_size)


def lose_rows(home: SmallHome) -> None:
    for store in STORES:
        remove(home, store, a_publication(home)[0])


def alter_rows(home: SmallHome) -> None:
    """One row of one document as a whole, and of another one what filters read."""
    number, document = a_publication(home)
    for store in STORES:
        write(home, store, number, document, row_id(home, store, number))
    other, _ = a_publication(home, "panda.md")
    for store, altered in (("vector", {"document_type": "altered"}), ("keyword", {"labels": ["sector:altered"]})):
        table_of(home, store).update(where=f"publication = {other}", values=altered)


def add_ghosts(home: SmallHome) -> None:
    """Under a number in use, under one that was never drawn, and in a space of no generation."""
    number, document = a_publication(home)
    for store in STORES:
        write(home, store, number, document, "a-stranger")
        write(home, store, 4_000, document, "a-ghost")
        write(home, store, 4_001, "not a document", "a-ghost")
    home.platform.stores.vector.write(IndexSpace("acme", "reports", 77), vector_row(number, document, "far"))


def write_rows_twice(home: SmallHome) -> None:
    table = table_of(home, "vector")
    table.add(table.to_arrow())


def drop_every_index(home: SmallHome) -> None:
    home.platform.close()
    shutil.rmtree(home.settings.home.indexes)
    home.settings.home.create()


def damage_tables(home: SmallHome) -> None:
    for kind in ("vectors", "keywords"):
        damage_file(a_file(home.settings.home.indexes / kind, ".lance"), "cut")


def damage_graph(home: SmallHome) -> None:
    graph = home.settings.home.indexes / "graph.sqlite"
    for path in graph.parent.glob("graph.sqlite*"):
        path.unlink()
    graph.write_bytes(b"nobody can read this" * 500)


def leave_an_entity_behind(home: SmallHome) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(home.settings.home.indexes / "graph.sqlite")) as db, db:
        db.execute("INSERT INTO entities (tenant, entity_id, folded) VALUES ('acme', 'malware:x', 'malware:x')")


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (lose_rows, {"missing"}),
        (alter_rows, {"altered"}),
        (add_ghosts, {"orphaned"}),
        (write_rows_twice, {"altered"}),
        (drop_every_index, {"missing"}),
        (damage_tables, {"damaged"}),
        (damage_graph, {"damaged"}),
        (leave_an_entity_behind, {"orphaned"}),
    ],
)
def test_a_store_that_drifted_is_made_equal_to_the_lake_again_and_nothing_is_computed(
    home: SmallHome, damage: Callable[[SmallHome], None], kinds: set[str]
) -> None:
    damage(home)
    reopen(home)
    made = home.computed()
    dry = repair(home.platform, home.partition(), run_id="dry", dry_run=True)
    assert dry.left and dry.done and {kind for counts in dry.found.values() for kind in counts} >= kinds
    report = repaired(home)
    assert report.done[: len(dry.done)] == dry.done, "a dry run says what is done then"
    assert report.embedded == 0 and report.recomputed == {} and home.computed() == made


def test_a_dry_run_writes_nothing_and_a_home_without_drift_is_left_alone(home: SmallHome) -> None:
    def rows() -> dict[str, int]:
        with home.platform.ledger.reading() as connection:
            return {t.name: len(connection.execute(select(t)).all()) for t in schema.metadata.sorted_tables}

    lose_rows(home)
    before = rows(), shown(home)
    repair(home.platform, home.partition(), run_id="dry", dry_run=True)
    assert (rows(), shown(home)) == before
    repaired(home)
    before = rows(), shown(home)
    assert not repair(home.platform, home.partition(), run_id="again").done
    assert (rows(), shown(home)) == before


@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
@pytest.mark.parametrize("stage", ["pages", "embeddings"])
def test_a_lost_segment_is_made_again_and_no_other(home: SmallHome, stage: str, how: str) -> None:
    damage_file(a_file(home.settings.home.lake / stage, ".parquet"), how)
    failed = [one for one in run_checks(home.platform, home.partition()) if not one.passed]
    assert "lake_equals_the_ledger" in {one.name for one in failed}
    report = repaired(home)
    assert report.recomputed == {stage: 3}
    assert (report.embedded > 0) is (stage == "embeddings"), "the only copy of the vectors was lost"


def test_vectors_of_a_lost_segment_are_read_from_another_one_that_holds_them(home: SmallHome) -> None:
    for path, text in TEXTS.items():
        home.write(path, text, collection="acme/copies")
    other = home.partition("acme/copies")
    with PartitionRun(home.platform, other.key, run_id="other") as run:
        all_steps(run)
    damage_file(a_file(home.settings.home.lake / "embeddings/acme/reports", ".parquet"), "gone")
    assert repaired(home).embedded == 0


def test_files_of_the_lake_that_nothing_names_are_deleted(home: SmallHome) -> None:
    whole = a_file(home.settings.home.lake / "chunks", ".parquet")
    shutil.copy(whole, whole.with_name("000000000000-000000000001.parquet"))
    shutil.copy(whole, whole.with_name("000099999999-000000000001.parquet"))
    report = repaired(home)
    assert report.found == {"lake": {"stray": 2}}
    assert len([*whole.parent.iterdir()]) == 1


@pytest.mark.parametrize("how", ["gone", "flipped"])
def test_a_lost_original_is_fetched_again_while_its_key_has_these_bytes(home: SmallHome, how: str) -> None:
    damage_file(a_file(home.settings.home.originals), how)
    assert repaired(home).found == {"originals": {"lost": 1}}


def test_a_lost_original_whose_key_has_other_bytes_is_told_and_its_rows_stay(home: SmallHome) -> None:
    lost = home.settings.home.originals / "acme" / home.document_id("bear.txt")
    shutil.rmtree(lost)
    home.write("bear.txt", "Something else.")
    report = repair(home.platform, home.partition(), run_id="repair")
    assert len(report.left) == 1 and "originals: bear.txt: its original" in report.left[0]
    assert shown(home) == CLEAN["contents"]


def test_a_document_whose_new_version_is_held_gets_the_rows_of_its_last_good_one_back(home: SmallHome) -> None:
    home.write("bear.txt", "")
    home.run("second")
    assert home.held()["bear.txt"][0] == "pages"
    lose_rows(home)
    assert repaired(home).republished == 1


def test_a_ledger_that_was_put_back_gives_out_no_number_that_a_store_may_hold(home: SmallHome) -> None:
    home.platform.close()
    ledger = home.settings.home.ledger
    shutil.copytree(ledger, home.settings.home.tmp / "yesterday")
    home.write("bear.txt", "The bear group used TRICKBOT and CVE-2020-0601 today.")
    home.write("new.txt", "A new report of APT29.")
    home.run("today")
    home.platform.close()
    shutil.rmtree(ledger)
    shutil.copytree(home.settings.home.tmp / "yesterday", ledger)
    for path, text in TEXTS.items():
        home.write(path, text)
    home.remove("new.txt")
    report = repaired(home)
    assert report.removed > 0
    assert home.run("after")["published_documents"]["published"] == 0
    c = schema.counters
    with home.platform.ledger.reading() as connection:
        assert int(connection.scalar(select(c.c.value).where(c.c.name == "publication")) or 0) > 2**32


def failing(home: SmallHome, faults: Faults) -> None:
    inner = home.platform.stores
    faulty = cast("Stores", replace(inner, vector=FaultyRows(inner.vector, faults)))  # type: ignore[arg-type]
    home.platform = replace(home.platform, stores=faulty)


def test_a_repair_that_a_store_refuses_is_counted_and_given_up_after_three(home: SmallHome) -> None:
    remove(home, "vector", a_publication(home)[0])
    failing(home, Faults({("write", n): Fault.REFUSED for n in range(9)}))
    table = schema.repairs
    for attempt in range(1, 4):
        with pytest.raises(TransientError, match="on purpose"):
            repair(home.platform, home.partition(), run_id=f"repair-{attempt}")
        with home.platform.ledger.writing() as connection:
            (known,) = repairs.differing(connection)
            assert (known.attempts, known.is_given_up) == (attempt, attempt == 3)
            assert repairs.due(connection) == [], "it waits before the next attempt"
            connection.execute(update(table).values(retry_at=0.0))
            assert len(repairs.due(connection)) == (attempt < 3)
    repaired(home, "by hand")
    with home.platform.ledger.reading() as connection:
        assert repairs.differing(connection) == []


def test_a_store_that_loses_what_it_takes_leaves_a_difference_that_is_told(home: SmallHome) -> None:
    remove(home, "vector", a_publication(home)[0])
    failing(home, Faults({("write", 0): Fault.LOST_WRITE}))
    with pytest.raises(TransientError, match="were not stored whole"):
        repair(home.platform, home.partition(), run_id="repair")
    repaired(home, "again")


def test_searches_go_on_while_an_index_is_repaired(home: SmallHome) -> None:
    remove(home, "vector", a_publication(home)[0])
    reopen(home)
    places = replace(search_places(home.platform), time_limit_s=60.0)
    stop, answers = threading.Event(), [search(places, "bear EMOTET").hits]

    def ask() -> None:
        while not stop.is_set():
            answers.append(search(places, "bear EMOTET").hits)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        report = repair(home.platform, home.partition(), run_id="repair")
    finally:
        stop.set()
        asking.join()
    assert report.left == [] and report.republished == 1 and len(answers) > 1
    assert {next(hit.path for hit in hits) for hits in answers} == {"bear.txt"}


def test_a_partition_that_a_run_works_on_is_waited_for_and_that_is_no_attempt(home: SmallHome) -> None:
    lose_rows(home)
    lease = acquire(home.platform.ledger, home.key, holder="a sync")
    with pytest.raises(TransientError, match="being worked on by a sync"):
        repair(home.platform, home.partition(), run_id="repair", wait_s=0.0)
    lease.release()
    with home.platform.ledger.reading() as connection:
        assert repairs.differing(connection) == []
    repaired(home)


def test_a_repair_that_is_killed_at_any_write_is_finished_by_the_next(
    home: SmallHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = repairs_killed_every(KILLED_EVERY, home, tmp_path, monkeypatch)
    assert len(killed) > 2


def repairs_killed_every(writes: int, home: SmallHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where repairs were killed, of which each was finished by the next one."""
    lose_rows(home)
    write(home, "graph", 4_000, home.document_id("bear.txt"), "a-ghost")
    damage_file(a_file(home.settings.home.lake / "chunks", ".parquet"), "gone")
    home.platform.close()
    shutil.copytree(home.settings.home.root, tmp_path / "base")
    monkeypatch.setattr(PartitionRun, "close", die)
    killed: list[str] = []
    for at in range(1, 1_000, writes):
        shutil.rmtree(home.settings.home.root)
        shutil.copytree(tmp_path / "base", home.settings.home.root)
        ticks = iter(range(10_000))

        def tick(what: str, at: int = at, ticks: Iterator[int] = ticks) -> None:
            if next(ticks) >= at:
                raise Killed(what)

        platform = replace(open_platform(home.settings), parsers=shared_pool)
        try:
            repair(ticking(cast("Home", platform), tick), home.partition(), run_id="killed")  # type: ignore[arg-type]
        except Killed as what:
            killed.append(str(what))
        platform.close()
        repaired(home, then_run=True)
        if len(killed) * writes < at:
            break
    return killed


def die(run: PartitionRun, error: BaseException | None = None) -> None:
    """What becomes of a run whose process is killed; of one that ended well nothing is left to tell either."""
    if run._lease is not None:
        die_holding(run._lease)
        run._lease = None
