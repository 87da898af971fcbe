"""What a run computes is exactly what changed: documents, lines, parameters, metadata, models, tenants."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from etl_assets.documents.parameters import Publications
from etl_assets.ledger import quarantine, schema
from etl_assets.ledger.catalogue import mark_dirty
from etl_assets.ledger.database import sequence
from etl_assets.protocols.objects import ObjectAttributes
from etl_assets_tests.faults.chains import (
    ShapedChain,
    files_written,
    is_no_op,
    ledger_rows,
    quick_home,
    untidy,
)
from etl_assets_tests.trivial import Chain, Counts, Home, contents


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return quick_home(tmp_path / "home")


def run(home: Home, **changes: Any) -> Counts:
    """What one undisturbed run computed."""
    chain = ShapedChain(home, **changes)
    chain.run()
    return chain.counts


def put_with(home: Home, path: str, text: str, metadata: dict[str, str]) -> None:
    part = home.folder / "tmp" / "tagged"
    part.write_text(text)
    home.arrivals.put(f"acme/reports/{path}", part, attributes=ObjectAttributes(metadata=metadata))


def test_a_second_run_computes_nothing_and_writes_nothing(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    for i in range(5):
        home.put(f"{i}.txt", f"line {i}\nALPHA\n")
    Chain(home).run()
    rows, files = ledger_rows(home), files_written(home)
    with home.ledger.reading() as connection:
        before = sequence(connection)
    chain = Chain(home)
    intake, reports, report = chain.run()
    assert (intake.added, intake.changed, intake.renewed, intake.removed) == (0, 0, 0, 0)
    assert is_no_op(reports, report)
    assert chain.counts == Counts()
    with home.ledger.reading() as connection:
        assert sequence(connection) == before
    assert ledger_rows(home) == rows
    assert files_written(home) == files


def test_one_changed_line_embeds_exactly_one_text(home: Home) -> None:
    for i in range(4):
        home.put(f"{i}.txt", f"shared\nown {i}\nthird {i}\n")
    assert sorted(run(home).embedded) == sorted(["shared", *(f"{w} {i}" for i in range(4) for w in ("own", "third"))])
    home.put("2.txt", "shared\nown 2, changed\nthird 2\n")
    counts = run(home)
    assert counts.embedded == ["own 2, changed"]
    assert (counts.parsed, counts.chunked, counts.searched) == (["2.txt"], ["2.txt"], ["2.txt"])


def test_a_chunk_that_only_moved_keeps_its_vector_and_gets_its_new_span(home: Home) -> None:
    home.put("a.txt", "first\nsecond\n")
    run(home)
    home.put("a.txt", "zeroth\nfirst\nsecond\n")
    assert run(home).embedded == ["zeroth"]
    with home.ledger.reading() as connection:
        file = connection.execute(select(schema.segments).where(schema.segments.c.stage == "chunks")).one()
    import polars as pl

    with home.lake.blobs.local(file.key) as path:
        rows = pl.read_parquet(path)
    assert rows.select("text", "start", "end").rows() == [("zeroth", 0, 6), ("first", 7, 12), ("second", 13, 19)]


def test_a_removed_document_leaves_no_row_and_keeps_entities_that_others_mention(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    home.put("a.txt", "ALPHA and BETA\n")
    home.put("b.txt", "BETA alone\n")
    Chain(home).run()
    home.remove("a.txt")
    _, _, report = Chain(home).run()
    assert report.removed == 1
    shown = contents(home)
    assert shown["graph"] == [("b.txt", "word:BETA")]
    assert {row[0] for row in shown["vector"]} == {row[0] for row in shown["keyword"]} == {"b.txt"}
    assert shown["orphans"] == []
    assert untidy(home) == []
    with home.ledger.reading() as connection:
        rows = connection.scalar(select(func.sum(schema.segments.c.row_count)))
    assert rows == 4, "one page, one chunk, one vector and one mention of b.txt"


def test_the_last_document_of_a_collection_can_go(home: Home) -> None:
    home.put("a.txt", "ALPHA\n")
    run(home)
    home.remove("a.txt")
    run(home)
    assert contents(home) == {"ledger": [], "vector": [], "keyword": [], "graph": [], "orphans": []}
    assert untidy(home) == []
    assert list(home.lake.blobs.keys("")) == []


def test_a_parameter_recomputes_its_stage_and_what_it_changes_and_nothing_before(home: Home) -> None:
    home.put("a.txt", "one ALPHA\ntwo\nthree\n")
    home.put("b.txt", "only\n")
    run(home)
    counts = run(home, parameters={"chunks": {"lines": 2}})
    assert counts.parsed == []
    assert sorted(counts.chunked) == ["a.txt", "b.txt"]
    assert sorted(counts.embedded) == ["one ALPHA two"], "'three' and 'only' had their vectors already"
    assert counts.searched == ["a.txt"], "the chunks of b.txt came out the same"
    counts = run(home, parameters={"chunks": {"lines": 2}, "mentions": {"least": 9}})
    assert (counts.parsed, counts.chunked, counts.embedded) == ([], [], [])
    assert sorted(counts.searched) == ["a.txt", "b.txt"]
    assert contents(home)["graph"] == []


def test_a_parameter_that_goes_back_finds_its_results_again(home: Home) -> None:
    home.put("a.txt", "one ALPHA\ntwo\n")
    run(home)
    first = contents(home)
    run(home, parameters={"chunks": {"lines": 2}})
    run(home)
    assert contents(home) == first
    assert untidy(home) == []


def test_metadata_alone_republishes_without_computing(home: Home) -> None:
    put_with(home, "a.txt", "one ALPHA\n", {"team": "red"})
    run(home)
    before = contents(home)["ledger"]
    put_with(home, "a.txt", "one ALPHA\n", {"team": "blue"})
    chain = ShapedChain(home)
    intake, reports, report = chain.run()
    assert (intake.changed, report.published) == (1, 1)
    assert chain.counts == Counts() and not any(one.wanted for one in reports)
    assert contents(home)["ledger"] != before


def test_a_touched_file_renews_its_fingerprint_and_nothing_else(home: Home) -> None:
    home.put("a.txt", "one\n")
    run(home)
    with home.ledger.reading() as connection:
        before = sequence(connection)
    home.put("a.txt", "one\n")
    chain = ShapedChain(home)
    intake, _, report = chain.run()
    assert (intake.renewed, intake.changed, report.published) == (1, 0, 0)
    with home.ledger.reading() as connection:
        assert sequence(connection) == before
    assert ShapedChain(home).run()[0].renewed == 0


def test_a_new_producer_with_equal_output_repoints_without_touching_a_store(home: Home) -> None:
    home.put("a.txt", "one ALPHA\n")
    run(home)
    shown = contents(home)
    writes: list[str] = []
    from etl_assets_tests.faults.chains import ticking

    watched = ticking(home, writes.append)
    watched.ledger.tick = lambda _: None  # type: ignore[attr-defined]
    chain = ShapedChain(watched, parameters={"mentions": {"least": 4}})
    _, _, report = chain.run()
    assert chain.counts.searched == ["a.txt"]
    assert (report.published, report.repointed) == (0, 1)
    assert [w for w in writes if w.split()[-1].split(".")[0] in ("vector", "keyword", "graph")] == []
    assert contents(home) == shown
    assert untidy(home) == []


def test_bytes_that_come_back_end_where_they_began(home: Home) -> None:
    home.put("a.txt", "first\n")
    run(home)
    first = contents(home)
    home.put("a.txt", "second\n")
    run(home)
    home.put("a.txt", "first\n")
    run(home)
    assert contents(home) == first
    assert untidy(home) == []


def test_the_same_bytes_under_another_key_are_copied_and_not_computed(home: Home) -> None:
    home.put("a.txt", "one ALPHA\ntwo\n")
    run(home)
    home.put("folder/twin.txt", "one ALPHA\ntwo\n")
    chain = ShapedChain(home)
    _, reports, report = chain.run()
    assert chain.counts == Counts()
    assert [one.reused for one in reports] == [1, 1, 1, 1] and report.published == 1
    shown = contents(home)
    assert {row[0] for row in shown["vector"]} == {"a.txt", "folder/twin.txt"}
    home.remove("a.txt")
    run(home)
    assert {row[0] for row in contents(home)["vector"]} == {"folder/twin.txt"}
    assert untidy(home) == []


def test_results_are_reused_inside_a_tenant_and_never_across(home: Home) -> None:
    home.put("a.txt", "one ALPHA\n")
    run(home)
    home.put("b.txt", "one ALPHA\nmore\n", collection="other")
    assert run(home, collection="other").embedded == ["more"]
    home.put("a.txt", "one ALPHA\n", tenant="rival")
    counts = run(home, tenant="rival")
    assert (counts.parsed, counts.embedded) == (["a.txt"], ["one ALPHA"])


def test_empty_documents_have_zero_rows_and_are_published(home: Home) -> None:
    home.put("empty.txt", "")
    _, reports, report = ShapedChain(home).run()
    assert [one.computed for one in reports] == [1, 1, 1, 1]
    assert [one.rows for one in reports] == [0, 0, 0, 0] and report.published == 1
    assert is_no_op(*ShapedChain(home).run()[1:])
    home.put("blank.txt", "\n\n")
    home.put("full.txt", "text\n")
    run(home)
    assert [row[0] for row in contents(home)["ledger"]] == ["blank.txt", "empty.txt", "full.txt"]
    assert untidy(home) == []


def test_a_broken_version_keeps_the_last_good_one_published_and_its_neighbours_go_on(home: Home) -> None:
    home.put("a.txt", "good\n")
    home.put("b.txt", "neighbour\n")
    run(home)
    home.put("a.txt", "BROKEN\n")
    home.put("b.txt", "neighbour, changed\n")
    _, reports, report = ShapedChain(home).run()
    assert reports[0].quarantined == 1 and reports[0].reasons == {"broken": 1} and report.published == 1
    (held,) = quarantine.rows(home.ledger)
    assert (held.path, held.stage, held.reason, held.error_class) == ("a.txt", "pages", "broken", "DataError")
    texts = {row[0] for row in contents(home)["keyword"]}
    assert texts == {"a.txt", "b.txt"}
    assert len(contents(home)["keyword"]) == 2
    assert run(home).parsed == [], "a document is not tried again for nothing"


@pytest.mark.parametrize("mend", ["good again\n", "good\n"])
def test_a_new_version_lifts_the_quarantine_even_if_it_is_the_old_one(home: Home, mend: str) -> None:
    home.put("a.txt", "good\n")
    run(home)
    home.put("a.txt", "BROKEN\n")
    run(home)
    home.put("a.txt", mend)
    run(home)
    assert quarantine.rows(home.ledger) == []
    assert untidy(home) == []


def test_a_new_producer_tries_what_is_held_again(home: Home) -> None:
    home.put("a.txt", "BROKEN\n")
    run(home)
    counts = run(home, parameters={"pages": {"mark": "M"}})
    assert counts.parsed == ["a.txt"]
    assert quarantine.rows(home.ledger)[0].attempts == 2


def test_a_new_input_tries_what_is_held_again(home: Home) -> None:
    home.put("a.txt", "fine\nUNEMBEDDABLE\n")
    run(home)
    assert [row.stage for row in quarantine.rows(home.ledger)] == ["embeddings"]
    assert run(home, parameters={"chunks": {"lines": 1}}).embedded == [], "other chunks, but the very same ones"
    run(home, parameters={"chunks": {"lines": 2}})
    (held,) = quarantine.rows(home.ledger)
    assert held.attempts == 2, "the text that cannot be embedded is now part of another chunk"


def test_a_person_can_have_it_tried_again(home: Home) -> None:
    home.put("a.txt", "BROKEN\n")
    run(home)
    (held,) = quarantine.rows(home.ledger)
    with home.ledger.writing() as connection:
        assert quarantine.release(connection, None, [held.document_id]) == 1
        mark_dirty(connection, "acme.reports.00-of-01", [held.document_id])
    assert run(home).parsed == ["a.txt"]


def test_one_text_that_cannot_be_embedded_fails_its_documents_only(home: Home) -> None:
    home.put("a.txt", "fine\nUNEMBEDDABLE\n")
    for i in range(5):
        home.put(f"{i}.txt", f"fine {i}\n")
    _, reports, report = ShapedChain(home).run()
    assert reports[2].quarantined == 1 and report.published == 5
    assert [row.path for row in quarantine.rows(home.ledger)] == ["a.txt"]


def test_a_removed_document_leaves_the_quarantine(home: Home) -> None:
    home.put("a.txt", "BROKEN\n")
    run(home)
    home.remove("a.txt")
    run(home)
    assert quarantine.rows(home.ledger) == []


def test_switching_a_publication_off_and_on_again(home: Home) -> None:
    home.put("a.txt", "one ALPHA\n")
    run(home)
    first = contents(home)
    counts = run(home, publications=Publications(keyword=False))
    assert counts == Counts()
    assert contents(home)["keyword"] == [] and contents(home)["vector"] != []
    run(home)
    shown = contents(home)
    assert shown == first
    assert untidy(home) == []


def test_another_model_is_built_beside_and_then_promoted(home: Home) -> None:
    home.put("a.txt", "one ALPHA\n")
    home.put("b.txt", "two\n")
    run(home)
    chain = ShapedChain(home, model="better")
    _, _, report = chain.run()
    assert report.promoted is not None and report.published == 2
    assert (chain.counts.parsed, chain.counts.chunked, chain.counts.searched) == ([], [], [])
    assert sorted(chain.counts.embedded) == ["one ALPHA", "two"]
    assert untidy(home) == []
    clean = quick_home(home.folder.parent / "clean")
    clean.put("a.txt", "one ALPHA\n")
    clean.put("b.txt", "two\n")
    run(clean, model="better")
    assert contents(home) == contents(clean)


def test_a_model_given_up_before_its_generation_was_done_leaves_nothing(home: Home) -> None:
    for i in range(8):
        home.put(f"{i}.txt", f"text {i}\n")
    for shard in range(2):
        run(home, shard=shard, shards=2)
    first = contents(home)
    _, _, report = ShapedChain(home, model="better", shard=0, shards=2).run()
    assert report.promoted is None and "still lacks" in report.notes[0]
    assert {row[3] for row in contents(home)["vector"]} == {True}
    for shard in (0, 1, 0):
        run(home, shard=shard, shards=2)
    assert contents(home) == first
    assert untidy(home) == []


def test_a_document_of_many_slices_loses_one_slice_to_a_kill(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl_assets.documents import model
    from etl_assets_tests import trivial
    from etl_assets_tests.faulty import Killed

    small = replace(model.EMBEDDINGS, batch_rows=10)
    monkeypatch.setattr(trivial, "EMBEDDINGS", small)
    monkeypatch.setattr(trivial, "STAGES", tuple(small if one is model.EMBEDDINGS else one for one in trivial.STAGES))
    home.put("big.txt", "".join(f"line {i}\n" for i in range(35)))
    chain = ShapedChain(home, tick=_dies_at("embeddings", 3))
    with pytest.raises(Killed):
        chain.run()
    assert len(chain.counts.embedded) == 20, "two slices of ten were made, the third was being made"
    again = run(home)
    assert sorted([*chain.counts.embedded, *again.embedded]) == sorted(f"line {i}" for i in range(35))
    assert untidy(home) == []


def _dies_at(what: str, n: int) -> Callable[[str], None]:
    from etl_assets_tests.faulty import Killed

    left = n

    def tick(name: str) -> None:
        nonlocal left
        left -= name == what
        if name == what and left == 0:
            raise Killed(what)

    return tick
