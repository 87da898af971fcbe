"""Every check passes on what is right, fails on what is wrong, and blames a document where it can."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import delete, select, update

from etl_assets.documents.consistency.verification import CHECKS, Check, CheckResult, run_checks
from etl_assets.documents.model import STAGES
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.errors import ConfigError
from etl_assets.ledger import quarantine, schema
from etl_assets.ledger.catalogue import mark_dirty
from etl_assets.ledger.check_marks import CHECK_FAILED
from etl_assets.protocols.graph import Entity, MentionEdge
from etl_assets.protocols.indexes import IndexSpace, keyword_rows, vector_rows
from etl_assets.stages.lake import SegmentLost
from etl_assets_tests.small_homes import STATIC, SmallHome

if TYPE_CHECKING:
    from lancedb.table import Table

STORES = ("vector", "keyword", "graph")
STORE_CHECKS = [
    "vector_index_equals_the_ledger", "keyword_index_equals_the_ledger", "knowledge_graph_equals_the_ledger",
]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.at(tmp_path / "home")


def check_named(name: str) -> Check:
    return next(check for check in CHECKS if check.name == name)


def verified(home: SmallHome, *names: str) -> dict[str, CheckResult]:
    return {one.name: one for one in run_checks(home.platform, home.partition(), names=names or None)}


def stages(run: PartitionRun, *, until: str) -> None:
    for name in ("raw_documents", *(stage.name for stage in STAGES)):
        getattr(run, name)()
        if name == until:
            return


def first_only(change: Callable[[pl.Expr], pl.Expr], column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Change a column in the rows of the first document of a segment."""

    def changed(rows: pl.DataFrame) -> pl.DataFrame:
        mine = pl.col("document_id") == rows["document_id"][0]
        return rows.with_columns(pl.when(mine).then(change(pl.col(column))).otherwise(pl.col(column)).alias(column))

    return changed


def finished(home: SmallHome) -> None:
    with PartitionRun(home.platform, home.key, run_id="first") as run:
        stages(run, until="relations")
        for store in STORES:
            run.write_store(store)
        run.published_documents()


def first_run(home: SmallHome) -> None:
    """What the first run of a new home leaves, copied: that takes a twentieth of the time."""
    home.platform.close()
    shutil.rmtree(home.settings.home.root)
    home.platform = SmallHome.ran(home.settings.home.root, run_id="first").platform


def test_every_check_passes_on_what_a_run_left(home: SmallHome) -> None:
    finished(home)
    results = run_checks(home.platform, home.partition())
    assert [(one.name, one.passed, one.details) for one in results] == [(check.name, True, ()) for check in CHECKS]
    assert verified(home)["every_vector_is_whole"].counts["documents"] == 3
    assert verified(home)["vector_index_equals_the_ledger"].counts["rows"] >= 3
    assert verified(home)["knowledge_graph_equals_the_ledger"].counts["rows"] >= 4


def test_checks_of_an_empty_collection_pass(home: SmallHome) -> None:
    home.partition("acme/nothing")
    assert all(one.passed for one in run_checks(home.platform, home.partition("acme/nothing")))


def test_an_unknown_check_is_named(home: SmallHome) -> None:
    with pytest.raises(ConfigError, match="no check everything_is_fine; known are every_document"):
        run_checks(home.platform, home.partition(), names=["everything_is_fine"])


def unit_length(values: pl.Expr) -> pl.Expr:
    return values.list.eval(pl.element() * 2.0)


def not_finite(values: pl.Expr) -> pl.Expr:
    return values.list.eval(pl.element() * float("nan"))


@pytest.mark.parametrize(
    ("check", "until", "damage"),
    [
        ("every_chunk_reproduces_its_text", "chunks", first_only(lambda start: start + 1, "start")),
        ("every_chunk_reproduces_its_text", "chunks", first_only(lambda page: page + 7, "page")),
        ("every_vector_is_whole", "embeddings", first_only(unit_length, "vector")),
        ("every_vector_is_whole", "embeddings", first_only(not_finite, "vector")),
        ("every_vector_is_whole", "embeddings", first_only(lambda vector: vector.list.head(7), "vector")),
        ("every_vector_is_whole", "embeddings", first_only(lambda chunk: chunk + "x", "chunk_id")),
        ("every_mention_holds", "mentions", first_only(lambda end: end + 1, "end")),
        ("every_mention_holds", "mentions", first_only(lambda chunk: pl.lit("no such chunk"), "chunk_id")),
        ("every_label_is_founded", "classifications", first_only(lambda score: score + 2, "score")),
    ],
)
def test_a_document_whose_rows_break_a_check_is_held_and_its_neighbours_go_on(
    home: SmallHome, check: str, until: str, damage: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    with PartitionRun(home.platform, home.key, run_id="faulty") as run:
        stages(run, until=until)
        home.rewrite(until, damage)
        result = check_named(check).in_run(check_named(check), run)
        assert result.passed and result.counts["quarantined"] == 1 and result.counts["documents"] == 3
        assert len(result.details) == 1 and "quarantined" in result.details[0]
        stages(run, until="relations")
        for store in STORES:
            run.write_store(store)
        run.published_documents()
    (held,) = home.held()
    assert home.held()[held] == (until, CHECK_FAILED)
    assert set(home.published()) == {"bear.txt", "panda.md", "garden.txt"} - {held}
    assert check_named(check).verify(check_named(check), home.platform, home.partition()).passed


@pytest.mark.parametrize(
    "damage",
    [
        first_only(lambda _: pl.lit("group:nobody"), "object_id"), first_only(lambda end: end - 1, "end"),
        first_only(lambda confidence: confidence * 0, "confidence"),
    ],
)  # fmt: skip
def test_a_relation_that_its_sentence_or_its_mentions_do_not_hold_is_held(
    home: SmallHome, damage: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    home.write("states.txt", "APT28 used Emotet against banks. APT29 did not use TrickBot.")
    with PartitionRun(home.platform, home.key, run_id="faulty") as run:
        stages(run, until="relations")
        home.rewrite("relations", damage)
        check = check_named("every_relation_holds")
        assert check.in_run(check, run).counts["quarantined"] == 1
    assert home.held() == {"states.txt": ("relations", CHECK_FAILED)}


def test_a_held_document_is_made_anew_once_it_is_released_and_never_copied_from_what_was_refused(
    home: SmallHome,
) -> None:
    with PartitionRun(home.platform, home.key, run_id="faulty") as run:
        stages(run, until="embeddings")
        home.rewrite("embeddings", first_only(not_finite, "vector"))
        check_named("every_vector_is_whole").in_run(check_named("every_vector_is_whole"), run)
    assert home.run("second")["embeddings"]["computed"] == 0
    (held,) = home.held()
    with home.platform.ledger.writing() as connection:
        quarantine.release(connection, "embeddings", [home.document_id(held)])
        mark_dirty(connection, home.key, [home.document_id(held)])
    home.run("third")
    assert not home.held() and len(home.published()) == 3
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_checks_in_a_run_read_only_what_has_not_passed_them(home: SmallHome) -> None:
    check = check_named("every_chunk_reproduces_its_text")
    with PartitionRun(home.platform, home.key, run_id="first") as run:
        stages(run, until="chunks")
        assert check.in_run(check, run).counts["documents"] == 3
        assert check.in_run(check, run).counts["documents"] == 0
    home.write("new.txt", "Something new happened.")
    with PartitionRun(home.platform, home.key, run_id="second") as run:
        stages(run, until="chunks")
        assert check.in_run(check, run).counts["documents"] == 1


def test_a_document_without_chunks_is_held_although_its_pages_have_text(home: SmallHome) -> None:
    check = check_named("every_document_with_text_has_chunks")
    x = schema.outputs
    with PartitionRun(home.platform, home.key, run_id="faulty") as run:
        stages(run, until="chunks")
        mine = (x.c.document_id == home.document_id("bear.txt"), x.c.producer_id == run.recipe()["chunks"].producer_id)
        with home.platform.ledger.writing() as connection:
            connection.execute(update(x).where(*mine).values(segment_id=None, row_count=0))
        assert check.in_run(check, run).counts["quarantined"] == 1
    assert home.held() == {"bear.txt": ("chunks", CHECK_FAILED)}


def test_a_document_without_a_page_is_held(home: SmallHome) -> None:
    check = check_named("every_document_has_pages_or_a_reason")
    x = schema.outputs
    with PartitionRun(home.platform, home.key, run_id="faulty") as run:
        stages(run, until="pages")
        with home.platform.ledger.writing() as connection:
            one = x.c.document_id == home.document_id("bear.txt")
            connection.execute(update(x).where(one).values(segment_id=None, row_count=0))
        assert check.in_run(check, run).passed
    assert home.held() == {"bear.txt": ("pages", CHECK_FAILED)}


def test_a_document_that_was_lost_on_the_way_fails_the_check_and_no_document_is_blamed(home: SmallHome) -> None:
    check = check_named("every_document_has_pages_or_a_reason")
    x = schema.outputs
    with PartitionRun(home.platform, home.key, run_id="faulty") as run:
        stages(run, until="pages")
        with home.platform.ledger.writing() as connection:
            connection.execute(delete(x).where(x.c.document_id == home.document_id("bear.txt")))
        result = check.in_run(check, run)
    assert not result.passed and result.counts["unaccounted"] == 1
    assert result.details == ("bear.txt: it has neither pages nor a reason in quarantine",)
    assert not home.held()


def test_documents_that_wait_for_a_run_fail_no_check(home: SmallHome) -> None:
    first_run(home)
    home.write("waiting.txt", "Nobody has read me yet.")
    with PartitionRun(home.platform, home.key, run_id="interrupted") as run:
        run.raw_documents()
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_verifying_names_wrong_rows_and_changes_nothing(home: SmallHome) -> None:
    first_run(home)
    home.rewrite("chunks", first_only(lambda start: start + 1, "start"))
    result = verified(home, "every_chunk_reproduces_its_text")["every_chunk_reproduces_its_text"]
    assert not result.passed and result.counts["wrong"] == 1 and "does not hold the row's text" in result.details[0]
    assert not home.held()
    assert result.as_json()["details"] == list(result.details)


def test_a_lost_segment_fails_every_check_that_needs_it(home: SmallHome) -> None:
    first_run(home)
    for path in (home.settings.home.lake / "chunks").rglob("*.parquet"):
        path.unlink()
    failed = {name for name, one in verified(home).items() if not one.passed}
    assert failed == {
        "every_chunk_reproduces_its_text", "every_vector_is_whole", "every_mention_holds",
        "keyword_index_equals_the_ledger", "lake_equals_the_ledger",
    }  # fmt: skip
    assert verified(home)["keyword_index_equals_the_ledger"].counts == {"lost_segments": 1}


def test_a_segment_that_is_lost_in_a_run_is_struck_out_so_that_the_next_run_makes_it_again(home: SmallHome) -> None:
    check = check_named("every_chunk_reproduces_its_text")
    with PartitionRun(home.platform, home.key, run_id="first") as run:
        stages(run, until="chunks")
        for path in (home.settings.home.lake / "chunks").rglob("*.parquet"):
            path.unlink()
        with pytest.raises(SegmentLost):
            check.in_run(check, run)
    with PartitionRun(home.platform, home.key, run_id="second") as run:
        stages(run, until="chunks")
        assert run.report["chunks"]["computed"] == 3
        assert check.in_run(check, run).counts["documents"] == 3


def a_publication(home: SmallHome, path: str = "bear.txt") -> tuple[int, str]:
    p = schema.publications
    with home.platform.ledger.reading() as connection:
        query = select(p.c.publication, p.c.document_id).where(p.c.end_seq.is_(None), p.c.path == path)
        number, document = connection.execute(query).one()
    return int(number), str(document)


def table_of(home: SmallHome, store: str) -> "Table":
    """What stands behind an index, past the platform."""
    import lancedb

    return lancedb.connect(home.settings.home.indexes / f"{store}s").open_table("acme.reports.1")


ALTERED: dict[str, object] = {
    "document_type": "altered", "document_date": date(1999, 9, 9), "labels": ["sector:altered"],
    "document_id": "0" * 32, "text": "altered", "vector": [0.0] * 256,
}  # fmt: skip
"""A value that no row has, by column."""


def space_of(home: SmallHome) -> IndexSpace:
    (space,) = home.platform.stores.vector.spaces()
    return space


def vector_row(number: int, document: str, chunk: str) -> pa.Table:
    vector = np.zeros(256, dtype=np.float32)
    vector[0] = 1.0
    row = {"publication": number, "document_id": document, "chunk_id": chunk, "document_type": "text"}
    return pa.Table.from_pylist([row | {"document_date": date(2020, 1, 1), "vector": vector}], schema=vector_rows(256))


def keyword_row(number: int, document: str, chunk: str) -> pa.Table:
    row = {"publication": number, "document_id": document, "chunk_id": chunk, "document_type": "text"}
    return pa.Table.from_pylist([row | {"document_date": None, "text": "something else"}], schema=keyword_rows())


def edge(number: int, document: str, entity: str) -> MentionEdge:
    found = Entity(entity, "malware", "Something")
    return MentionEdge("acme", "reports", document, number, found, 1, 0.5, "", 1, 0, 4)


def write(home: SmallHome, store: str, number: int, document: str, row: str) -> None:
    stores = home.platform.stores
    if store == "graph":
        stores.graph.write([edge(number, document, row)])
    elif store == "vector":
        stores.vector.write(space_of(home), vector_row(number, document, row))
    else:
        stores.keyword.write(space_of(home), keyword_row(number, document, row))


def remove(home: SmallHome, store: str, number: int) -> None:
    stores = home.platform.stores
    if store == "graph":
        stores.graph.remove("acme", "reports", [number])
    else:
        (stores.vector if store == "vector" else stores.keyword).remove(space_of(home), [number])


def row_id(home: SmallHome, store: str, number: int) -> str:
    stores = home.platform.stores
    if store == "graph":
        return next(one.edge_id for one in stores.graph.edges("acme", "reports") if one.publication == number)
    index = stores.vector if store == "vector" else stores.keyword
    return next(one.chunk_id for one in index.rows(space_of(home), publications=[number]))


@pytest.mark.parametrize(("store", "name"), list(zip(STORES, STORE_CHECKS, strict=True)))
def test_what_a_store_lost_or_changed_or_gained_is_named(home: SmallHome, store: str, name: str) -> None:
    first_run(home)
    number, document = a_publication(home)
    held = row_id(home, store, number)

    named = f"bear.txt: publication {number}, {'entity' if store == 'graph' else 'chunk'} {held} was altered"
    if store != "graph":
        table = table_of(home, store)
        whole = table.version
        columns = set(table.schema.names) - {"publication", "chunk_id"}
        for column in sorted(columns):
            table.update(where=f"publication = {number} AND chunk_id = '{held}'", values={column: ALTERED[column]})
            assert verified(home, name)[name].details == (named,), column
            table.checkout(whole)
            table.restore()
        assert verified(home, name)[name].passed

    write(home, store, number, document, held)
    assert verified(home, name)[name].counts["altered"] == 1
    assert verified(home, name)[name].details == (named,)

    write(home, store, number, document, "a-stranger")
    assert verified(home, name)[name].counts["orphaned"] == 1

    remove(home, store, number)
    lost = verified(home, name)[name]
    assert lost.counts["missing"] >= 1 and lost.counts["orphaned"] == lost.counts["altered"] == 0
    assert not lost.passed and lost.details[0].startswith("bear.txt: ") and "is missing" in lost.details[0]
    others = set(STORE_CHECKS) - {name}
    assert all(one.passed for one in run_checks(home.platform, home.partition(), names=sorted(others)))


@pytest.mark.parametrize(("store", "name"), list(zip(STORES, STORE_CHECKS, strict=True)))
def test_rows_of_numbers_that_were_superseded_or_never_drawn_are_told_apart(
    home: SmallHome, store: str, name: str
) -> None:
    first_run(home)
    number, document = a_publication(home)
    held = row_id(home, store, number)
    home.write("bear.txt", "The bear group used EMOTET and was never seen again.")
    finished(home)
    assert verified(home, name)[name].passed

    write(home, store, number, document, held)
    stale = verified(home, name)[name]
    assert stale.counts["stale"] == 1 and "is superseded" in stale.details[0]

    remove(home, store, number)
    c = schema.counters
    with home.platform.ledger.writing() as connection:
        ghost = int(connection.scalar(select(c.c.value).where(c.c.name == "publication")) or 0) + 1
        connection.execute(update(c).where(c.c.name == "publication").values(value=ghost))
    write(home, store, ghost, document, held)
    assert verified(home, name)[name].counts["orphaned"] == 1

    remove(home, store, ghost)
    write(home, store, ghost, "not a document id", held)
    assert verified(home, name)[name].counts["orphaned"] == 1, "what belongs to no document is the first shard's"


def test_rows_that_a_run_has_staged_are_no_drift(home: SmallHome) -> None:
    first_run(home)
    home.write("bear.txt", "The bear group used EMOTET and was never seen again.")
    with ExitStack() as stack:
        run = stack.enter_context(PartitionRun(home.platform, home.key, run_id="at work"))
        stages(run, until="relations")
        for store in STORES:
            run.write_store(store)
        assert all(one.passed for one in verified(home, *STORE_CHECKS).values())


@pytest.mark.parametrize(("store", "name"), list(zip(STORES, STORE_CHECKS, strict=True)))
def test_a_store_that_took_rows_and_changed_them_stops_the_run_before_the_commit(
    home: SmallHome, store: str, name: str
) -> None:
    with PartitionRun(home.platform, home.key, run_id="at work") as run:
        stages(run, until="relations")
        for each in STORES:
            run.write_store(each)
        b = schema.outbox
        with home.platform.ledger.reading() as connection:
            mine = select(b.c.publication, b.c.document_id).where(b.c.document_id == home.document_id("bear.txt"))
            number, document = connection.execute(mine).one()
        assert check_named(name).in_run(check_named(name), run).passed
        write(home, store, number, document, row_id(home, store, number))
        result = check_named(name).in_run(check_named(name), run)
    assert not result.passed and result.counts["altered"] == 1 and check_named(name).blocking


def test_a_store_that_a_collection_does_not_publish_to_is_not_checked(tmp_path: Path) -> None:
    home = SmallHome.at(
        tmp_path / "home", collections=STATIC + "  publications: {vector: false, graph: false}\n"
    )  # fmt: skip
    with PartitionRun(home.platform, home.key, run_id="first") as run:
        stages(run, until="relations")
        for store in STORES:
            run.write_store(store)
        counts = {check.name: check.in_run(check, run).counts for check in CHECKS}
        assert counts["vector_index_equals_the_ledger"]["rows"] == 0
        assert counts["every_vector_is_whole"] == {"documents": 0}
        assert counts["keyword_index_equals_the_ledger"]["rows"] >= 3
        run.published_documents()
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_a_document_that_was_never_read_counts_as_a_document_in_quarantine(tmp_path: Path) -> None:
    home = SmallHome.at(tmp_path / "home", {"a.txt": "text"}, collections=f"{STATIC}  parsing: {{size_limit_mb: 1}}\n")
    home.write("large.txt", "x" * 1_100_000)
    home.run()
    assert verified(home)["quarantine_share_is_low"].counts == {"documents": 2, "quarantined": 1}


def test_a_large_share_in_quarantine_is_a_warning(home: SmallHome) -> None:
    home.write("empty.txt", "")
    home.run()
    result = verified(home)["quarantine_share_is_low"]
    assert not result.passed and result.severity == "warn"
    assert result.details == ("1 of 4 documents are in quarantine, the threshold is 5.0%",)
    assert replace(result, passed=True).counts == {"documents": 4, "quarantined": 1}
