"""Publishing: draw, write, commit, collect, each step failing in every way, and numbers that are never used twice."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from etl_assets.documents.parameters import Publications
from etl_assets.documents.publication.publisher import Publisher, Stores, document_record
from etl_assets.errors import TransientError
from etl_assets.ledger import publications as ledger_publications
from etl_assets.ledger import schema
from etl_assets.ledger.publications import Due
from etl_assets.ledger.snapshots import snapshot, visible_documents
from etl_assets.stages import housekeeping
from etl_assets.stages.engine import Work
from etl_assets_tests.faults.chains import ShapedChain, die_holding, quick_home, untidy
from etl_assets_tests.faulty import Fault, Faults, FaultyGraph, FaultyRows
from etl_assets_tests.trivial import STAGES, Home, contents


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return quick_home(tmp_path / "home")


@contextmanager
def at_publication(home: Home, **changes: Any) -> Iterator[tuple[ShapedChain, Work, Publisher]]:
    """A run that has done everything before its publications."""
    chain = ShapedChain(home, **changes)
    lease = chain.take()
    try:
        work = chain.work(lease)
        chain.take_in(work)
        for stage in STAGES:
            chain.stage(work, stage)
        yield chain, work, chain.publisher(work)
    finally:
        lease.release()


def faulty(home: Home, store: str, planned: Mapping[tuple[str, int], Fault]) -> Home:
    """The same home with one store that fails by plan."""
    inner = getattr(home.stores, store)
    wrapped = (FaultyGraph if store == "graph" else FaultyRows)(inner, Faults(planned))
    return replace(home, stores=replace(home.stores, **{store: wrapped}))


def outbox(home: Home) -> list[tuple[int, str]]:
    b = schema.outbox
    with home.ledger.reading() as connection:
        return [(row[0], row[1]) for row in connection.execute(select(b.c.publication, b.c.state).order_by(b.c[0]))]


def drawn(home: Home) -> int:
    with home.ledger.reading() as connection:
        query = select(schema.counters.c.value).where(schema.counters.c.name == "publication")
        return int(connection.scalar(query) or 0)


def shown(home: Home) -> list[str]:
    """Paths that a search would see."""
    paths: list[str] = []
    for view in snapshot(home.ledger, tenant=None, collection=None):
        numbers = [n for n in range(1, view.visible.highest + 1) if view.visible.admits(n)]
        seen = visible_documents(home.ledger, view.generation_id, numbers, view.visible.sequence)
        paths += [one.path for one in seen.values()]
    return sorted(paths)


def test_nothing_is_visible_before_the_commit_and_everything_after(home: Home) -> None:
    home.put("a.txt", "one ALPHA\n")
    with at_publication(home) as (_, _, publisher):
        for store in ("vector", "keyword", "graph"):
            report = publisher.write(store)
            assert (report.documents, report.rows) == (1, 1)
            assert shown(home) == []
        assert outbox(home) == [(1, "staged")]
        assert publisher.commit().published == 1
    assert shown(home) == ["a.txt"] and outbox(home) == []


def test_a_second_write_of_a_store_writes_nothing(home: Home) -> None:
    home.put("a.txt", "one\n")
    with at_publication(home) as (_, _, publisher):
        assert publisher.write("vector").rows == 1
        assert publisher.write("vector").rows == 0
        publisher.commit()


def test_the_commit_writes_what_no_step_wrote(home: Home) -> None:
    home.put("a.txt", "one ALPHA\n")
    with at_publication(home) as (_, _, publisher):
        assert publisher.commit().published == 1
    assert [len(contents(home)[store]) for store in ("vector", "keyword", "graph")] == [1, 1, 1]  # type: ignore[arg-type]


FAULTS = [
    (store, operation, fault)
    for store in ("vector", "keyword", "graph")
    for operation, faults in (
        ("write", (Fault.REFUSED, Fault.LOST_REPLY, Fault.LOST_WRITE, Fault.HALF_WRITE)),
        ("counts", (Fault.REFUSED,)),
    )
    for fault in faults
]


@pytest.mark.parametrize(("store", "operation", "fault"), FAULTS)
def test_a_store_that_fails_while_it_is_written_to_shows_nothing_half(
    home: Home, store: str, operation: str, fault: Fault
) -> None:
    home.put("a.txt", "one ALPHA\ntwo BETA\n")
    home.put("b.txt", "three GAMMA\n")
    with pytest.raises(TransientError):
        ShapedChain(faulty(home, store, {(operation, 0): fault})).run()
    assert shown(home) == []
    home.put("a.txt", "quite different\n")
    run_id = "run" if operation == "counts" else "another run"
    _, _, report = ShapedChain(home, run_id=run_id).run()
    assert report.published == 2 and shown(home) == ["a.txt", "b.txt"]
    assert len(contents(home)["vector"]) == 2  # type: ignore[arg-type]
    assert untidy(home) == []


@pytest.mark.parametrize("store", ["vector", "keyword", "graph"])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST_REPLY, Fault.LOST_WRITE, Fault.HALF_WRITE])
def test_a_store_that_fails_to_remove_is_asked_again_by_the_next_run(home: Home, store: str, fault: Fault) -> None:
    for i in range(4):
        home.put(f"{i}.txt", f"one ALPHA {i}\n")
    ShapedChain(home).run()
    for i in range(3):
        home.put(f"{i}.txt", f"two BETA {i}\n")
    with pytest.raises(TransientError):
        ShapedChain(faulty(home, store, {("remove", 0): fault})).run()
    assert shown(home) == ["0.txt", "1.txt", "2.txt", "3.txt"], "what is committed is committed"
    assert outbox(home) != []
    ShapedChain(home, run_id="next").run()
    assert len(contents(home)["vector"]) == 4  # type: ignore[arg-type]
    assert untidy(home) == []


def test_a_number_is_resumed_by_its_run_for_the_very_same_contents_only(home: Home) -> None:
    home.put("same.txt", "same\n")
    home.put("other.txt", "before ALPHA\nmore\n")
    with at_publication(home) as (_, _, publisher):
        publisher.write("vector")
        publisher.write("graph")
    home.put("other.txt", "after\n")
    with at_publication(home) as (_, _, publisher):
        publisher.commit()
    assert drawn(home) == 3, "one number for same.txt, two for other.txt"
    assert [state for _, state in outbox(home)] == ["collect"]
    ShapedChain(home).run()
    assert len(contents(home)["vector"]) == 2  # type: ignore[arg-type]
    assert untidy(home) == []


def test_a_number_of_an_older_token_is_given_up_and_a_new_one_drawn(home: Home) -> None:
    home.put("a.txt", "one\n")
    chain = ShapedChain(home)
    lease = chain.take()
    work = chain.work(lease)
    chain.take_in(work)
    for stage in STAGES:
        chain.stage(work, stage)
    chain.publisher(work).write("vector")
    die_holding(lease)
    with at_publication(home, run_id="next") as (_, _, publisher):
        publisher.write("vector")
        assert outbox(home) == [(1, "collect"), (2, "staged")]
        publisher.commit()
    assert drawn(home) == 2


def test_a_number_drawn_for_what_is_not_wanted_any_more_is_given_up_by_a_run_with_nothing_else_to_do(
    home: Home,
) -> None:
    home.put("a.txt", "one\n")
    ShapedChain(home).run()
    with at_publication(home, publications=Publications(keyword=False)) as (_, _, publisher):
        publisher.write("vector")
    assert [state for _, state in outbox(home)] == ["staged"]
    ShapedChain(home, run_id="next").run()
    assert len(contents(home)["vector"]) == 1  # type: ignore[arg-type]
    assert untidy(home) == []


def test_commits_of_more_documents_than_one_transaction_holds(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl_assets.documents.publication import publisher as publication

    monkeypatch.setattr(publication, "COMMIT_DOCUMENTS", 3)
    monkeypatch.setattr(publication, "WRITE_ROWS", 4)
    for i in range(8):
        home.put(f"{i}.txt", f"one {i}\ntwo {i}\nALPHA\n")
    assert ShapedChain(home).run()[2].published == 8
    for i in range(7):
        home.remove(f"{i}.txt")
    assert ShapedChain(home).run()[2].removed == 7
    assert shown(home) == ["7.txt"] and untidy(home) == []


def test_what_is_superseded_is_collected_when_no_search_can_read_it(home: Home) -> None:
    home.put("a.txt", "one\n")
    ShapedChain(home).run()
    home.put("a.txt", "two\n")
    _, _, report = ShapedChain(home, time_limit_s=3600.0).run()
    assert report.collected == 0 and len(contents(home)["vector"]) == 2  # type: ignore[arg-type]
    with at_publication(home, time_limit_s=3600.0) as (_, work, publisher):
        assert 3000 < publisher.seconds_to_wait() <= 3600
        assert 3000 < housekeeping.seconds_to_wait(work, grace_s=3600.0) <= 3600
    assert ShapedChain(home).run()[2].collected == 1
    assert len(contents(home)["vector"]) == 1 and untidy(home) == []  # type: ignore[arg-type]


def test_a_retired_generation_takes_no_more_commits(home: Home) -> None:
    home.put("a.txt", "one\n")
    with at_publication(home) as (_, _, publisher):
        publisher.write("vector")
        with home.ledger.writing() as connection:
            connection.execute(update(schema.generations).values(state="retired"))
        with pytest.raises(TransientError, match="became retired while it was written to; run again"):
            publisher.commit()
    assert shown(home) == []


def test_a_number_that_was_given_up_meanwhile_is_not_committed(home: Home) -> None:
    home.put("a.txt", "one\n")
    with at_publication(home) as (_, work, publisher):
        for store in ("vector", "keyword", "graph"):
            publisher.write(store)
        with work.lease.writing() as connection:
            assert ledger_publications.abandon(connection, work.partition, but=()) == 1
        with pytest.raises(TransientError, match="1 staged publications were abandoned; run again"):
            publisher.commit()
    assert shown(home) == []
    ShapedChain(home).run()
    assert shown(home) == ["a.txt"] and untidy(home) == []


def test_a_removal_that_a_promotion_has_made_already_is_no_error(home: Home) -> None:
    home.put("a.txt", "one\n")
    home.put("b.txt", "two\n")
    ShapedChain(home).run()
    home.remove("a.txt")
    with at_publication(home) as (_, work, publisher):
        real = ledger_publications.removed
        asked = []

        def promoted_in_between(connection: Any, partition: Any) -> Any:
            found = real(connection, partition)
            if not asked:
                asked.append(1)
                return found
            return []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger_publications, "removed", promoted_in_between)
            assert publisher.commit().removed == 0
        assert publisher.commit().removed == 1
        assert work.lease.token
    ShapedChain(home).run()
    assert untidy(home) == []


def test_one_transaction_ends_a_retired_generation_and_its_rows_go(home: Home) -> None:
    home.put("a.txt", "one ALPHA\n")
    ShapedChain(home).run()
    ShapedChain(home, model="better").run()
    g = schema.generations
    with home.ledger.reading() as connection:
        states = connection.execute(select(g.c.state, func.count()).group_by(g.c.state)).all()
    assert {row[0]: row[1] for row in states} == {"live": 1, "retired": 1}
    assert len(contents(home)["graph"]) == 1, "the graph has no generations, but its publications are collected"  # type: ignore[arg-type]
    assert untidy(home) == []


def test_records_hold_facts_and_the_stores_own_metadata() -> None:
    due = Due(
        document_id="d", slot=1, path="folder/report.final.txt", version="v", content_type="text/plain",
        attributes={"team": "red"}, object_seq=1, outputs={}, digests={},
        facts={"outline": [1], "title": "", "date": None},
        superseded=None, published_digest=None,
    )  # fmt: skip
    assert document_record(due) == {
        "title": "report.final", "date": None, "path": "folder/report.final.txt", "content_type": "text/plain",
        "metadata": {"team": "red"},
    }  # fmt: skip


def test_optimising_asks_only_the_indexes_that_are_on(home: Home) -> None:
    asked: list[str] = []

    class Noted:
        def __init__(self, name: str, inner: Any) -> None:
            self._name, self._inner = name, inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def optimise(self, *_: Any, **__: Any) -> None:
            asked.append(self._name)

    stores = Stores(Noted("vector", home.stores.vector), Noted("keyword", home.stores.keyword), home.stores.graph)  # type: ignore[arg-type]
    watched = replace(home, stores=stores)
    with at_publication(watched, publications=Publications(vector=False)) as (_, _, publisher):
        publisher.optimise()
    with at_publication(watched) as (_, _, publisher):
        publisher.optimise()
    assert asked == ["keyword", "vector", "keyword"]
