"""Whole runs of a partition on the product's own stages and stores: order, exactness, tidiness, and how they end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from etl_assets.documents import model
from etl_assets.documents.collections import Collections
from etl_assets.documents.partition_run import PartitionRun, all_steps
from etl_assets.errors import ConfigError, TransientError
from etl_assets.ledger import runs, schema
from etl_assets.ledger.database import sequence
from etl_assets.protocols.embedder import Embedder
from etl_assets.protocols.indexes import IndexSpace
from etl_assets_tests.faults.chains import ledger_rows, untidy
from etl_assets_tests.small_homes import STATIC, TEXTS, SmallHome
from etl_assets_tests.trivial import Home, contents

FIXED = "  chunking: {mode: fixed, size: 40, overlap: 0}\n"
STAGES = tuple(stage.name for stage in model.STAGES)


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.at(tmp_path / "home")


def left_over(home: SmallHome) -> list[str]:
    return untidy(cast("Home", home.platform))


def shown(home: SmallHome) -> dict[str, object]:
    return contents(cast("Home", home.platform))


def settings(home: SmallHome, yaml: str) -> None:
    """Decide something else about collections."""
    home.platform = replace(home.platform, collections=Collections.parse(yaml))


def computed(report: dict[str, Any]) -> dict[str, int]:
    return {stage: report[stage]["computed"] for stage in STAGES if stage in report}


def test_one_run_publishes_everything_and_leaves_nothing_to_tidy(home: SmallHome) -> None:
    report = home.run()
    assert report["raw_documents"]["added"] == report["published_documents"]["published"] == 3
    assert computed(report) == dict.fromkeys(STAGES, 3)
    assert set(home.published()) == set(TEXTS)
    assert left_over(home) == []


def test_a_second_run_computes_nothing_and_writes_no_more_than_that_it_ran(home: SmallHome) -> None:
    home.run("first")
    rows = {name: found for name, found in ledger_rows(cast("Home", home.platform)).items() if name != "runs"}
    with home.platform.ledger.reading() as connection:
        before = sequence(connection)
    report = home.run("second")
    assert computed(report) == dict.fromkeys(STAGES, 0)
    assert report["published_documents"]["published"] == report["published_documents"]["waited_s"] == 0
    after = {name: found for name, found in ledger_rows(cast("Home", home.platform)).items() if name != "runs"}
    assert after == rows
    with home.platform.ledger.reading() as connection:
        assert sequence(connection) == before


def test_a_run_that_removes_something_waits_as_long_as_a_search_may_take_at_most_and_tidies(home: SmallHome) -> None:
    home.run()
    home.remove("bear.txt")
    report = home.run()["published_documents"]
    assert report["removed"] == report["collected"] == 1
    assert report["waited_s"] <= 0.2, "the search time limit of this home is 0.1 s"
    assert left_over(home) == []
    assert "bear.txt" not in {row[0] for row in cast("list[Any]", shown(home)["vector"])}


def test_after_changes_the_home_equals_a_clean_one(home: SmallHome, tmp_path: Path) -> None:
    home.run()
    home.write("bear.txt", TEXTS["bear.txt"].replace("bank", "broker"))
    home.remove("panda.md")
    home.write("twin.txt", TEXTS["garden.txt"])
    home.write("empty.txt", "")
    home.run()
    texts = {"bear.txt": TEXTS["bear.txt"].replace("bank", "broker"), "garden.txt": TEXTS["garden.txt"]}
    clean = SmallHome.at(tmp_path / "clean", {**texts, "twin.txt": TEXTS["garden.txt"], "empty.txt": ""})
    clean.run()
    assert shown(home) == shown(clean)
    assert home.held() == clean.held()
    assert left_over(home) == []


def test_another_chunking_recomputes_chunks_and_not_pages(home: SmallHome) -> None:
    home.run()
    settings(home, STATIC + FIXED + "  generations: {keep_previous_days: 0}\n")
    report = home.run()
    assert computed(report)["pages"] == 0 and computed(report)["chunks"] == 3
    assert report["published_documents"]["published"] == 3
    assert left_over(home) == []


@pytest.mark.parametrize("switch", ["vector", "keyword", "graph"])
def test_a_publication_switched_off_is_emptied_and_comes_back(home: SmallHome, switch: str) -> None:
    home.run()
    before = shown(home)
    settings(home, STATIC + f"  publications: {{{switch}: false}}\n")
    home.run()
    assert shown(home)[switch] == [] and left_over(home) == []
    settings(home, STATIC)
    home.run()
    assert shown(home) == before and left_over(home) == []


def test_without_vectors_nothing_is_embedded(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", collections=STATIC + "  publications: {vector: false}\n")
    report = home.run()
    assert "embeddings" not in computed(report)
    assert report["published_documents"]["published"] == 3
    assert home.platform.stores.vector.spaces() == []


def test_documents_held_at_a_stage_that_is_switched_off_are_let_go(home: SmallHome) -> None:
    home.run()
    with home.platform.ledger.writing() as connection:
        from etl_assets.errors import DataError
        from etl_assets.ledger import quarantine

        held = quarantine.Held(home.document_id("bear.txt"), "bear.txt", "v", DataError("no vector", reason="x"))
        quarantine.hold(connection, home.partition(), "embeddings", 99, [held])
    settings(home, STATIC + "  publications: {vector: false}\n")
    home.run()
    assert home.held() == {}


def test_steps_may_be_taken_singly_by_runs_of_one_name(home: SmallHome) -> None:
    def step(act: Callable[[PartitionRun], object]) -> None:
        with PartitionRun(home.platform, home.key, run_id="pieces") as run:
            act(run)

    step(lambda run: run.raw_documents())
    for name in STAGES:
        step(lambda run, name=name: getattr(run, name)())
    for store in ("vector", "keyword", "graph"):
        step(lambda run, store=store: run.write_store(store))
    with home.platform.ledger.reading() as connection:
        numbers = connection.scalars(select(schema.outbox.c.publication)).all()
    assert list(numbers) == [1, 2, 3], "each step resumed the numbers that the first one drew"
    step(lambda run: run.published_documents())
    assert set(home.published()) == set(TEXTS) and left_over(home) == []


def test_how_a_run_ended_is_kept(home: SmallHome) -> None:
    home.run("good")
    with pytest.raises(TransientError), PartitionRun(home.platform, home.key, run_id="bad") as run:
        run.pages()
        raise TransientError("the network went away")
    last = runs.last_runs(home.platform.ledger)[home.key]
    assert (last.run_id, last.state) == ("bad", "failed")
    assert last.report["error"] == "TransientError: the network went away"
    assert last.ended_at is not None and last.ended_at >= last.started_at
    with home.platform.ledger.reading() as connection:
        states = dict(connection.execute(select(schema.runs.c.run_id, schema.runs.c.state)).all())
    assert states == {"good": "succeeded", "bad": "failed"}


def test_closing_twice_and_closing_what_never_began_do_nothing(home: SmallHome) -> None:
    run = PartitionRun(home.platform, home.key, run_id="idle")
    run.close()
    run.pages()
    run.close()
    run.close(TransientError("too late"))
    assert runs.last_runs(home.platform.ledger)[home.key].state == "succeeded"


def test_a_partition_that_is_being_worked_on_is_refused(home: SmallHome) -> None:
    with PartitionRun(home.platform, home.key, run_id="busy") as busy:
        busy.pages()
        with (
            pytest.raises(TransientError, match="being worked on by busy"),
            PartitionRun(home.platform, home.key, run_id="other") as other,
        ):
            all_steps(other)


def test_an_unknown_partition_is_named(home: SmallHome) -> None:
    with pytest.raises(ConfigError, match="acme.nothing.00-of-01: unknown"):
        PartitionRun(home.platform, "acme.nothing.00-of-01", run_id="x")
    with pytest.raises(ConfigError, match="expected TENANT.COLLECTION.SHARD-of-SHARDS"):
        PartitionRun(home.platform, "what is this", run_id="x")


def test_what_is_pending_is_what_a_run_then_does(home: SmallHome) -> None:
    def pending() -> Any:
        return PartitionRun(home.platform, home.key, run_id="look").pending()

    assert not pending()
    with PartitionRun(home.platform, home.key, run_id="half") as run:
        run.raw_documents()
        run.pages()
    found = pending()
    assert found and dict(found.unfinished) == dict.fromkeys(STAGES, 3) | {"pages": 0}
    home.run()
    assert not pending()
    home.write("broken.pdf", b"%PDF-1.7\nnot really")
    home.run()
    assert set(home.held()) == {"broken.pdf"} and not pending()
    settings(home, STATIC + FIXED)
    found = pending()
    assert found.unfinished["pages"] == 0 and found.unfinished["chunks"] == 3


def test_chunks_longer_than_the_model_reads_are_refused(home: SmallHome) -> None:
    class Short:
        def __init__(self, inner: Embedder) -> None:
            self.model = replace(inner.model, max_tokens=100)

    opened = home.platform.embedder
    home.platform = replace(home.platform, embedder=lambda choice: cast("Embedder", Short(opened(choice))))
    with pytest.raises(ConfigError, match="chunking.max_tokens is 200, but .* reads 100 tokens .* lower it"):
        home.run()


def test_a_run_tells_how_far_it_is(home: SmallHome) -> None:
    seen = []
    with PartitionRun(home.platform, home.key, run_id="told", watch=seen.append) as run:
        all_steps(run)
    assert [(one.stage, one.done, one.total) for one in seen] == [(stage, 3, 3) for stage in STAGES]
    assert all(one.remaining_s == 0 for one in seen)


def test_an_index_space_holds_one_model_only(home: SmallHome) -> None:
    home.run()
    (space,) = home.platform.stores.vector.spaces()
    assert space == IndexSpace("acme", "reports", 1)
