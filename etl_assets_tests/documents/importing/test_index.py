"""Bringing in an index of another system, by JSON lines: what it answered is answered, and it can be taken back."""

import gzip
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from etl_assets.backends.foreign_jsonl import JsonLines
from etl_assets.backends.lancedb_foreign import ForeignLanceTable
from etl_assets.backends.static_embedder import StaticEmbedder
from etl_assets.bindings import open_platform, search_places
from etl_assets.documents.consistency.verification import run_checks
from etl_assets.documents.document_names import DocumentName
from etl_assets.documents.generations.work import begin
from etl_assets.documents.importing.foreign_rows import FieldNames
from etl_assets.documents.importing.foreign_spool import planned_paths
from etl_assets.documents.importing.index import ImportReport, Wish, bring, known_import, undo
from etl_assets.documents.importing.model import declared
from etl_assets.documents.lineage.upstream import lineage
from etl_assets.documents.planning.plan import plan_collection
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.ledger import schema
from etl_assets.ledger.leases import acquire
from etl_assets.protocols.indexes import Filters, IndexSpace
from etl_assets.protocols.visibility import Visibility
from etl_assets.search.query import search
from etl_assets_tests.documents.importing.foreign_indexes import OldIndex
from etl_assets_tests.small_homes import STATIC, SmallHome, shared_pool

PLAIN = "plain.txt"


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.at(tmp_path / "home", {PLAIN: "A file that was there before: the bear went to the city."})


@pytest.fixture
def old() -> OldIndex:
    return OldIndex.of()


WISH = Wish("acme", "reports", "jsonl", declared("static"), FieldNames(document="source", page="page", order="n"))


def brought(home: SmallHome, file: Path, wish: Wish = WISH, *, run: bool = True) -> ImportReport:
    report = bring(home.platform, JsonLines(file), wish)
    if run:
        home.run()
    return report


def nearest(home: SmallHome, query: np.ndarray, k: int) -> list[str]:
    """Texts of the nearest rows in the vector index, by the index alone."""
    place = home.partition()
    with home.platform.ledger.reading() as connection:
        p = schema.publications
        highest = connection.scalar(select(func.max(p.c.publication))) or 0
    visible = Visibility(0, highest)
    hits = home.platform.stores.vector.query(
        IndexSpace(place.tenant, place.collection, 1), query, k=k, visible=visible, filters=Filters()
    )
    texts = {one["chunk_id"]: one["text"] for one in rows(home, "chunks").iter_rows(named=True)}
    return [texts[hit.chunk_id] for hit in hits]


def rows(home: SmallHome, stage: str) -> pl.DataFrame:
    """Rows of a stage that are wanted."""
    x, file = schema.outputs, schema.segments
    with home.platform.ledger.reading() as connection:
        query = select(x.c.output_id, file.c.key).join(file, file.c.segment_id == x.c.segment_id)
        open_ = connection.execute(query.where(x.c.end_seq.is_(None), file.c.stage == stage)).all()
    frames = [pl.read_parquet(home.settings.home.lake / key).filter(pl.col("output_id") == n) for n, key in open_]
    return pl.concat(frames)


def tokens_spent(home: SmallHome) -> int:
    with home.platform.ledger.reading() as connection:
        return int(connection.scalar(select(func.sum(schema.spend.c.tokens))) or 0)


def test_searches_answer_as_the_old_index_did_and_no_text_is_embedded(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    home.remove(PLAIN)
    report = brought(home, old.write(tmp_path / "old.jsonl"))
    assert (report.rows, report.documents, report.added, report.rejected) == (20, 4, 4, {})
    assert report.check.texts == 20 and report.check.median is not None and report.check.median > 0.9
    assert tokens_spent(home) == 0
    kept = {bytes(np.float32(vector).tobytes()) for vector in rows(home, "embeddings")["vector"].to_list()}
    assert kept == {row["vector"].tobytes() for row in old.rows}
    for word in ("bear in the city", "rose garden", "money of the bank"):
        query = StaticEmbedder().embed_query(word)
        assert nearest(home, query, 6) == old.nearest(query, 6)
    places = replace(search_places(home.platform), time_limit_s=30.0)
    answer = search(places, "Part 3 of 2", tenant="acme", collection="reports")
    best = next(hit for hit in answer.hits if "Part 3 of 2" in hit.quote)
    assert (best.path, best.page) == ("hand book/part 2.pdf", 2)
    assert not answer.degraded
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_overlaps_of_chunks_stand_once_on_the_page_that_is_cited(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    brought(home, old.write(tmp_path / "old.jsonl"))
    pages = {(one["document_id"], one["page"]): one["text"] for one in rows(home, "pages").iter_rows(named=True)}
    chunks = list(rows(home, "chunks").iter_rows(named=True))
    for chunk in chunks:
        assert pages[chunk["document_id"], chunk["page"]][chunk["start"] : chunk["end"]] == chunk["text"]
    mine = home.document_id("hand book/part 1.pdf")
    assert pages[mine, 1].count("Part 1 of 1") == 1
    assert sum(len(c["text"]) for c in chunks if c["document_id"] == mine) > sum(
        len(text) for (document, _), text in pages.items() if document == mine
    )


def test_lineage_leads_back_to_the_import(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    file = old.write(tmp_path / "old.jsonl")
    report = brought(home, file)
    path = "hand book/part 2.pdf"
    name = DocumentName(home.document_id(path), "acme", "reports", path)
    tree = lineage(home.platform, name)
    assert tree.problems == []
    origins = [one.facts.get("imported_from") for one in tree.walk() if one.kind == "object"]
    model = {"kind": "static", "name": "", "dimension": 256, "embed": False}
    expected = {"import_id": report.import_id, "kind": "jsonl", "source": str(file), "model": model}
    assert origins and all(one == expected for one in origins)


def test_another_model_is_built_beside_and_leaves_imported_vectors_out(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    """They are of the model that answers, not of the one that is built; the live index keeps every one of them."""
    brought(home, old.write(tmp_path / "old.jsonl"))
    before = {row["vector"].tobytes() for row in old.rows}
    number = begin(home.platform, "acme", "reports", {"embedder.kind": "minilm"})
    home.run()
    with home.platform.ledger.reading() as connection:
        p = schema.publications
        counts = {
            (row.path, row.generation_id): dict(row.counts)
            for row in connection.execute(select(p.c.path, p.c.generation_id, p.c.counts).where(p.c.end_seq.is_(None)))
        }
    assert counts["hand book/part 2.pdf", number]["keyword"] == 5
    assert counts["hand book/part 2.pdf", number].get("vector", 0) == 0
    assert counts[PLAIN, number]["vector"] == 1
    kept = {bytes(np.float32(vector).tobytes()) for vector in rows(home, "embeddings")["vector"].to_list()}
    assert before <= kept
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_a_second_import_of_the_same_rows_costs_nothing(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    file = old.write(tmp_path / "old.jsonl")
    first = brought(home, file)
    before = home.computed()
    again = brought(home, file)
    assert again.import_id == first.import_id
    assert (again.added, again.changed, again.unchanged, again.removed) == (0, 0, 4, 0)
    assert home.computed() == before


def test_a_newer_state_brings_exactly_what_differs(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    """One row went, one has another text, one only another vector, and a document is new."""
    first = brought(home, old.write(tmp_path / "old.jsonl"))
    newer = old.but(6, vector=np.roll(old.rows[6]["vector"], 1)).but(11, text="Part 1 of 2 was written anew.")
    newer = newer.without("0-4", *(f"3-{c}" for c in range(5)))
    about = {"source": "new", "n": 0, "page": 1}
    newer = replace(newer, rows=[*newer.rows, old.rows[0] | {"id": "x", "metadata": about}])
    report = brought(
        home, newer.write(tmp_path / "newer.jsonl"), replace(WISH, again=first.import_id, trust_model=True)
    )
    assert (report.import_id, report.added, report.changed, report.unchanged, report.removed) == (
        first.import_id, 1, 3, 0, 1,
    )  # fmt: skip
    assert set(home.published()) == {PLAIN, "new", *(f"hand book/part {d}.pdf" for d in range(3))}
    kept = {bytes(np.float32(vector).tobytes()) for vector in rows(home, "embeddings")["vector"].to_list()}
    assert {row["vector"].tobytes() for row in newer.rows} <= kept
    assert old.rows[6]["vector"].tobytes() not in kept
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_undoing_takes_back_what_was_brought_and_nothing_else(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    home.run()
    before = home.published()
    report = brought(home, old.but(0, text="").write(tmp_path / "old.jsonl"))
    assert home.held() != {}
    home.write("hand book/part 3.pdf", "Somebody has put a file of his own there.")
    home.run()
    found, done = undo(home.platform, report.import_id)
    home.run()
    assert found.documents == 4
    assert (len(done.removed), done.replaced) == (3, ["hand book/part 3.pdf"])
    assert set(home.published()) == {*before, "hand book/part 3.pdf"}
    assert home.held() == {}
    with pytest.raises(ConfigError, match="there is none"):
        known_import(home.platform, report.import_id)
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_a_file_of_the_same_path_is_processed_as_any_other_and_stays_when_the_import_is_run_again(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    file = old.write(tmp_path / "old.jsonl")
    brought(home, file)
    home.write("hand book/part 0.pdf", "The present text of this part is short.")
    home.run()
    again = brought(home, old.but(0, text="Part 0 of 0 is another one.").write(file))
    assert again.replaced == ["hand book/part 0.pdf"]
    texts = [one for one in rows(home, "chunks")["text"].to_list() if "present text" in one]
    assert texts == ["The present text of this part is short."]


def test_files_that_were_there_before_are_never_overwritten(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    home.write("hand book/part 0.pdf", "This was here first.")
    home.write("0-1", "And this.")
    file = old.write(tmp_path / "old.jsonl")
    assert brought(home, file).conflicts == ["hand book/part 0.pdf"]
    rows_alone = brought(home, file, replace(WISH, fields=FieldNames(), under=""), run=False)
    assert rows_alone.conflicts == ["0-1"]
    aside = brought(home, file, replace(WISH, under="from the old one"))
    assert (aside.conflicts, aside.added) == ([], 4)
    assert "from the old one/hand book/part 0.pdf" in home.published()


def test_bad_rows_are_quarantined_with_reasons_and_their_neighbours_go_on(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    broken = old.but(0, vector=np.full(256, np.nan)).but(1, text=None).but(2, vector=np.ones(3)).but(3, id="0-4")
    broken = broken.but(5, vector=np.zeros(256)).but(6, metadata={"n": 1, "page": 1}).but(7, id=None)
    broken = broken.but(8, metadata={"source": "hand book/part 1.pdf", "page": "iv"})
    file = broken.write(tmp_path / "old.jsonl")
    with file.open("ab") as out:
        out.write(b'{"id": 1, \n"text"\n[1]\n\xff\xfe\n')
    report = brought(home, file)
    assert report.rejected == {
        "not-finite": 1, "missing-text": 1, "wrong-dimension": 1, "duplicate-id": 1, "zero-vector": 1,
        "missing-document": 1, "missing-id": 1, "bad-page": 1, "bad-row": 4,
    }  # fmt: skip
    held = home.held()
    assert len(held) == 12
    assert held[f"{file} line 1"] == ("import", "not-finite")
    assert all(stage == "import" for stage, _ in held.values())
    assert len(home.published()) == 5
    home.run()
    assert len(home.held()) == 12
    mended = brought(home, old.write(file))
    assert (mended.rejected, home.held()) == ({}, {})


def test_vectors_of_another_model_are_refused_unless_they_are_trusted(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    strange = replace(old, rows=[row | {"vector": random.normal(size=256).astype(np.float32)} for row in old.rows])
    file = strange.write(tmp_path / "old.jsonl")
    with pytest.raises(ConfigError, match=r"not of static: \d+ of 20 texts.*--trust-model"):
        brought(home, file)
    assert list(home.platform.arrivals.list("acme", "reports"))[1:] == []
    report = brought(home, file, replace(WISH, trust_model=True))
    assert (report.added, report.normalised) == (4, 20)
    lengths = [np.linalg.norm(vector) for vector in rows(home, "embeddings")["vector"].to_list()]
    assert np.allclose(lengths, 1.0, atol=1e-5)


def test_a_text_with_trusted_vectors_does_not_lend_them_to_a_file_with_the_same_text(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    text = old.rows[0]["text"]
    one = replace(old, rows=[old.rows[0] | {"vector": np.roll(old.rows[0]["vector"], 5)}])
    brought(home, one.write(tmp_path / "old.jsonl"), replace(WISH, trust_model=True))
    home.write("same.txt", text)
    home.run()
    vectors = dict(rows(home, "embeddings").select("document_id", "vector").iter_rows())
    mine = np.float32(vectors[home.document_id("same.txt")])
    assert float(mine @ StaticEmbedder().embed_documents([text])[0]) == pytest.approx(1.0, abs=1e-3)


def test_without_its_model_an_import_is_found_by_keywords_and_the_search_says_what_to_configure(
    tmp_path: Path, old: OldIndex
) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    wish = replace(WISH, model=declared("openai:some-model"))
    report = brought(home, old.write(tmp_path / "old.jsonl"), wish)
    assert report.check.skipped
    assert report.configure == "embedder: {kind: openai, model: some-model, dimension: 256}"
    assert tokens_spent(home) == 0
    assert rows(home, "chunks").height == 20
    places = replace(search_places(home.platform), time_limit_s=30.0)
    answer = search(places, "Part 3 of 2", tenant="acme", collection="reports")
    assert any("Part 3 of 2" in hit.quote for hit in answer.hits)
    reasons = [one.reason for one in answer.degraded if one.source == "vector"]
    assert any("openai:some-model" in reason and "embedder: {kind: openai" in reason for reason in reasons)
    assert all(one.passed for one in run_checks(home.platform, home.partition()))


def test_once_its_model_is_configured_the_imported_vectors_are_searched(tmp_path: Path, old: OldIndex) -> None:
    """Nothing is embedded for it: the index beside is made of the vectors that were kept."""
    home = SmallHome.at(tmp_path / "home", {}, collections="defaults:\n  embedder: {kind: minilm}\n")
    report = brought(home, old.write(tmp_path / "old.jsonl"))
    assert report.configure == "embedder: {kind: static}"
    assert report.check.texts == 20
    home.settings.home.collections_file.write_text(STATIC)
    home.platform.close()
    home.platform = replace(open_platform(home.settings), parsers=shared_pool, search_time_limit_s=5.0)
    home.run()
    assert tokens_spent(home) == 0
    kept = {bytes(np.float32(vector).tobytes()) for vector in rows(home, "embeddings")["vector"].to_list()}
    assert kept == {row["vector"].tobytes() for row in old.rows}
    answer = search(replace(search_places(home.platform), time_limit_s=30.0), "Part 3 of 2", tenant="acme")
    assert not answer.degraded
    assert "vector" in answer.sources


def test_another_model_may_embed_the_texts_anew_when_that_is_asked_for(tmp_path: Path, old: OldIndex) -> None:
    home = SmallHome.at(tmp_path / "home", {})
    wish = replace(WISH, model=declared("openai:some-model"), embed=True)
    brought(home, old.write(tmp_path / "old.jsonl"), wish)
    made = rows(home, "embeddings")
    chunks = dict(rows(home, "chunks").select("chunk_id", "text").iter_rows())
    expected = dict(zip(chunks, StaticEmbedder().embed_documents(list(chunks.values())), strict=True))
    for chunk_id, vector in made.select("chunk_id", "vector").iter_rows():
        assert float(np.float32(vector) @ expected[chunk_id]) == pytest.approx(1.0, abs=1e-3)
    assert made.height == 20


def test_a_plan_counts_no_token_for_vectors_that_are_given(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    home.run()
    brought(home, old.write(tmp_path / "old.jsonl"), run=False)
    plan = plan_collection(home.platform, "acme", "reports")
    embeddings = plan.stage("embeddings")
    assert (plan.chunks, embeddings.rows, embeddings.tokens) == (20, 20, 0)
    run = home.run()
    assert (run["chunks"]["rows"], run["embeddings"]["rows"], run["embeddings"]["tokens"]) == (20, 20, 0)


def test_a_dry_run_writes_nothing(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    before = sorted(path for path in home.settings.home.objects.rglob("*") if path.is_file())
    report = bring(home.platform, JsonLines(old.write(tmp_path / "old.jsonl")), WISH, dry=True)
    assert (report.added, report.documents) == (4, 4)
    assert sorted(path for path in home.settings.home.objects.rglob("*") if path.is_file()) == before
    with home.platform.ledger.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.imports)) == 0


def test_compressed_lines_are_read_and_cut_off_ones_refused(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    data = old.write(tmp_path / "old.jsonl").read_bytes()
    packed = gzip.compress(data)
    whole, cut, broken = (tmp_path / name for name in ("whole.gz", "cut.gz", "broken.jsonl"))
    whole.write_bytes(packed)
    cut.write_bytes(packed[: len(packed) // 2])
    broken.write_bytes(data[:-20])
    for file in (cut, broken):
        with pytest.raises(PermanentError, match="cut off|middle of line 20"):
            brought(home, file)
    assert list(home.platform.arrivals.list("acme", "reports"))[1:] == []
    assert brought(home, whole, run=False).added == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has no rows"),
        (b"\n\n", "no JSON"),
        (b"[1, 2]", "JSON array"),
        (b"PK\x03\x04", "no JSON"),
        (b'{"id": "a", "body": "b", "vector": [1]}\n', "no row has a field text.*body, id, vector.*--text-field"),
        (b'{"id": "a", "text": "b", "vector": [1, 2]}\n', "no row can be used.*wrong-dimension"),
        (b'{"id": "a", "text": "b", "vector": "x"}\n', "no row can be used.*bad-vector"),
    ],
)  # fmt: skip
def test_what_is_no_index_is_refused_with_a_reason(
    home: SmallHome, tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        brought(home, file, replace(WISH, fields=FieldNames()))


def test_a_table_of_lancedb_is_read_as_it_is_while_its_owner_goes_on(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    """By the folder of the database or of the table; nothing is made where there is none."""
    import lancedb

    database = lancedb.connect(str(tmp_path / "old"))
    table = database.create_table("chunks", data=[row | row["metadata"] for row in old.rows])
    files = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    source = ForeignLanceTable(tmp_path / "old")
    report = bring(home.platform, source, replace(WISH, kind="lancedb"))
    assert (report.added, report.rows, report.rejected) == (4, 20, {})
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == files
    table.delete("id = '3-0'")
    again = bring(home.platform, ForeignLanceTable(tmp_path / "old" / "chunks.lance"), replace(WISH, kind="lancedb"))
    assert (again.import_id, again.changed, again.unchanged) == (report.import_id, 1, 3)
    home.run()
    assert rows(home, "embeddings").height == 20
    with pytest.raises(ConfigError, match="no such folder"):
        list(ForeignLanceTable(tmp_path / "none").rows())
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="there is no table other; there are chunks"):
        list(ForeignLanceTable(tmp_path / "old", "other").rows())


def test_a_file_that_is_not_there_and_a_folder_are_refused(home: SmallHome, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match="name a file of JSON lines"):
            brought(home, path)


@pytest.mark.parametrize("model", ["", "bert", "openai", "folder:", "static:x", "jina:nope"])
def test_a_model_that_nobody_knows_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="model"):
        declared(model)


def test_two_imports_of_one_collection_do_not_run_at_once(home: SmallHome, old: OldIndex, tmp_path: Path) -> None:
    lease = acquire(home.platform.ledger, "acme.reports.import", holder="another import")
    try:
        with pytest.raises(TransientError, match="another import"):
            brought(home, old.write(tmp_path / "old.jsonl"))
    finally:
        lease.release()


def test_an_import_that_was_killed_is_finished_by_the_next_one_and_can_be_undone(
    home: SmallHome, old: OldIndex, tmp_path: Path
) -> None:
    """Killed after one object, and then run again; killed after three, and then undone."""
    file = old.write(tmp_path / "old.jsonl")
    for done in (1, 3):
        code = (
            "import os, signal, sys\n"
            "from etl_assets_tests.documents.importing import killed_import\n"
            f"killed_import.run({str(home.settings.home.root)!r}, {str(file)!r}, {done})\n"
        )
        process = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
        assert process.returncode == -signal.SIGKILL, process.stderr
        stored = [one for one in home.platform.arrivals.list("acme", "reports") if PLAIN not in one.key]
        assert len(stored) == done
        if done == 1:
            report = brought(home, file)
            assert (report.added + report.changed + report.unchanged, len(home.published())) == (4, 5)
        found = bring(home.platform, JsonLines(file), WISH, dry=True).import_id
        assert len(undo(home.platform, found)[1].removed) == (4 if done == 1 else done)
        home.run()
        assert set(home.published()) == {PLAIN}


names = st.text(st.sampled_from("ab/.\\% \né~\x00"), min_size=1, max_size=8) | st.text(min_size=1, max_size=300)


@settings(max_examples=50)
@given(st.lists(names, unique=True, max_size=12))
def test_every_name_gets_a_path_of_its_own_that_a_key_may_have(found: list[str]) -> None:
    paths = planned_paths(sorted(found))
    assert len(set(paths.values())) == len(found)
    for path in paths.values():
        parts = path.split("/")
        assert all(part and not part.startswith(".") and len(part.encode()) <= 255 for part in parts)
        assert "\x00" not in path and len(path.encode()) <= 900
        assert not any(other.startswith(f"{path}/") for other in paths.values())
