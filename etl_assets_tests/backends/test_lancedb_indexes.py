"""What is particular to the LanceDB indexes: processes, kills, housekeeping, bad disks, approximate search."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.backends.lancedb_folder import ATTEMPTS, TableFolder, space_of, table_name
from etl_assets.backends.lancedb_keywords import LanceKeywords, query_words
from etl_assets.backends.lancedb_vectors import LanceVectors
from etl_assets.errors import PermanentError, TransientError
from etl_assets.protocols.indexes import Filters, IndexSpace, vector_rows
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.backends.disks import folder_for_everybody, small_volume, without_rights
from etl_assets_tests.backends.index_worker import ROWS, batch, read_rows
from etl_assets_tests.backends.processes import ROOT, finished, killed_after, started
from etl_assets_tests.conformance.index_rows import ALL, NO_FILTERS, SPACE, Row, keyword_table, vector_table


@given(tenant=st.text(), collection=st.text(), generation=st.integers(0, 2**63))
def test_a_table_name_is_safe_and_leads_back_to_its_space(tenant: str, collection: str, generation: int) -> None:
    if any(0xD800 <= ord(c) <= 0xDFFF for c in tenant + collection):
        return
    name = table_name(IndexSpace(tenant, collection, generation))
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-Z.")
    assert space_of(name) == IndexSpace(tenant, collection, generation)


@pytest.mark.parametrize(
    "name", ["", "a", "a.b", "a.b.c", "a.b.01", "a.b.1.2", "A.b.1", "a.Zzz.1", "a.Z61.1", "a.b.-1"]
)
def test_a_name_that_no_space_has_is_no_space(name: str) -> None:
    assert space_of(name) is None


def test_foreign_and_half_made_folders_are_no_spaces(tmp_path: Path) -> None:
    index = LanceKeywords(tmp_path)
    for name in ["lost+found", "backup.lance", "a.b.c.lance", "acme.reports.1.lance/data"]:
        (tmp_path / name).mkdir(parents=True)
    assert [*index.spaces()] == []
    assert [*index.rows(SPACE)] == []
    index.write(SPACE, keyword_table([Row(1, "c")]))
    assert [*index.spaces()] == [SPACE]


def test_what_does_not_exist_is_answered_without_importing_lancedb(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.backends.lancedb_vectors import LanceVectors
from etl_assets.protocols.indexes import IndexSpace
for index in (LanceKeywords(Path({str(tmp_path / "k")!r})), LanceVectors(Path({str(tmp_path / "v")!r}))):
    space = IndexSpace("acme", "reports", 1)
    index.counts(space, [1]), index.remove(space, [1]), list(index.rows(space)), index.spaces()
    index.optimise(space, now=True), index.drop(space)
assert "lancedb" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    assert [*tmp_path.iterdir()] == []


def test_processes_that_make_write_tidy_and_read_one_table_lose_nothing(tmp_path: Path) -> None:
    check_processes(tmp_path / "keywords", workers=(1, 2), batches=4)


def check_processes(folder: Path, *, workers: Sequence[int], batches: int) -> None:
    """Each worker writes, rewrites, removes and tidies in a process of its own, while this one reads."""
    folder.mkdir()
    with ThreadPoolExecutor(1) as here:
        reading = here.submit(read_rows, folder)
        try:
            finished([started("write_rows", folder, worker, batches) for worker in workers])
        finally:
            (folder / "stop").touch()
        reading.result()
    numbers = [n for worker in workers for n in range(worker * 1_000, worker * 1_000 + batches)]
    assert LanceKeywords(folder).counts(SPACE, numbers) == {n: ROWS for n in numbers if n % 3}
    hits = LanceKeywords(folder).query(SPACE, "zebra", k=10_000, visible=ALL, filters=NO_FILTERS)
    assert len(hits) == ROWS * sum(1 for n in numbers if n % 3)


def test_a_killed_writer_leaves_whole_batches(tmp_path: Path) -> None:
    acknowledged = killed_after(started("write_rows_for_ever", tmp_path), 10)
    index = LanceKeywords(tmp_path)
    held = index.counts(SPACE, range(1, 1_000))
    assert set(acknowledged) <= set(held)
    assert set(held.values()) == {ROWS}
    assert len(held) <= len(acknowledged) + 1
    index.write(SPACE, keyword_table(batch(5_000)))
    index.optimise(SPACE, now=True)
    assert index.counts(SPACE, [1, 5_000]) == {1: ROWS, 5_000: ROWS}


def test_a_reader_follows_a_table_that_another_drops_and_makes_anew(tmp_path: Path) -> None:
    reader, writer = LanceKeywords(tmp_path), LanceKeywords(tmp_path)
    for number in (1, 2, 3):
        writer.write(SPACE, keyword_table([Row(number, "c", text="zebra")]))
        assert reader.counts(SPACE, [1, 2, 3]) == {number: 1}
        hits = reader.query(SPACE, "zebras", k=5, visible=ALL, filters=NO_FILTERS)
        assert [hit.publication for hit in hits] == [number]
        writer.drop(SPACE)
        assert reader.counts(SPACE, [1, 2, 3]) == {}
        assert reader.query(SPACE, "zebras", k=5, visible=ALL, filters=NO_FILTERS) == []


def small_files(folder: Path) -> int:
    return len([*folder.glob("*.lance/data/*")])


def test_housekeeping_waits_until_it_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.backends.lancedb_tables.FRAGMENTS", 5)
    index = LanceVectors(tmp_path)
    for number in range(1, 6):
        index.write(SPACE, vector_table([Row(number, "c", seed=number)]))
    index.optimise(SPACE)
    assert small_files(tmp_path) == 5
    index.write(SPACE, vector_table([Row(6, "c", seed=6)]))
    index.optimise(SPACE)
    # The old files stay for readers of the versions before.
    assert small_files(tmp_path) == 7
    assert index.counts(SPACE, range(1, 7)) == dict.fromkeys(range(1, 7), 1)


def test_words_are_indexed_when_a_tenth_of_them_is_new(tmp_path: Path) -> None:
    import lancedb

    def unindexed() -> int:
        table = lancedb.connect(tmp_path).open_table(table_name(SPACE))
        return max(stats.num_unindexed_rows or 0 for stats in table.list_indices())

    index = LanceKeywords(tmp_path)
    for publication, rows, left in [(1, 200, 200), (2, 57, 0), (3, 256, 256), (4, 1, 0)]:
        index.write(SPACE, keyword_table(Row(publication, f"c{n}") for n in range(rows)))
        index.optimise(SPACE)
        assert unindexed() == left, publication


def test_the_approximate_index_finds_the_nearest_under_any_filter(tmp_path: Path) -> None:
    width, count = 32, 3_000
    rng = np.random.default_rng(11)
    centres = rng.standard_normal((30, width))
    raw = centres[rng.integers(0, 30, count)] + 0.5 * rng.standard_normal((count, width))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    publications = np.arange(count) // 10 + 1
    columns = [
        pa.array(publications), pa.array([f"d{p}" for p in publications]), pa.array([f"c{n}" for n in range(count)]),
        pa.nulls(count, pa.string()), pa.nulls(count, pa.date32()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width), pa.nulls(count, pa.list_(pa.string())),
    ]  # fmt: skip
    table = pa.table(columns, schema=vector_rows(width))
    index = LanceVectors(tmp_path, ann_rows=2_000)
    index.write(SPACE, table.slice(0, 2_800))
    index.optimise(SPACE)
    index.write(SPACE, table.slice(2_800))
    assert [*tmp_path.glob("*.lance/_indices/*/*.idx")]
    views: list[tuple[Visibility, Filters]] = [
        (ALL, NO_FILTERS),
        (Visibility(1, 290, ((1, 140),)), NO_FILTERS),
        (Visibility(1, 300, tuple((n, n) for n in range(1, 300, 2))), NO_FILTERS),
        (ALL, Filters(publications=(7, 150, 288, 299))),
        (ALL, Filters(publications=tuple(range(3, 300, 9)))),
    ]
    for visible, only in views:
        allowed = np.array(
            [visible.admits(int(p)) and (only.publications is None or p in only.publications) for p in publications]
        )
        recalls = []
        for number in range(0, count, 150):
            query = vectors[number]
            best = np.sort((vectors @ query)[allowed])[::-1][:10]
            hits = index.query(SPACE, query, k=10, visible=visible, filters=only)
            assert len(hits) == min(10, int(allowed.sum()))
            assert all(allowed[int(hit.chunk_id[1:])] for hit in hits)
            recalls.append(sum(hit.score >= best[-1] - 1e-5 for hit in hits) / 10)
        assert np.mean(recalls) > 0.97, (only, np.mean(recalls))


def broken(folder: Path, part: str) -> LanceKeywords:
    LanceKeywords(folder).write(SPACE, keyword_table([Row(1, "c")]))
    for file in folder.glob(f"*.lance/{part}/*"):
        with file.open("r+b") as held:
            held.truncate(10)
    return LanceKeywords(folder)


@pytest.mark.parametrize("part", ["data", "_versions"])
def test_a_damaged_table_is_named_with_what_to_do(tmp_path: Path, part: str) -> None:
    index = broken(tmp_path, part)
    message = r"keyword index acme\.reports\.1 cannot be used: .*; rebuild this index from the lake"
    with pytest.raises(PermanentError, match=message) as caught:
        index.counts(SPACE, [1])
    assert ".rs:" not in str(caught.value)
    with pytest.raises(PermanentError, match=message):
        [*index.rows(SPACE)]
    index.drop(SPACE)
    index.write(SPACE, keyword_table([Row(2, "c")]))
    assert index.counts(SPACE, [1, 2]) == {2: 1}


def test_a_lost_data_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    LanceKeywords(tmp_path).write(SPACE, keyword_table([Row(1, "c")]))
    for file in tmp_path.glob("*.lance/data/*"):
        file.unlink()
    with pytest.raises(PermanentError, match="Not found.*rebuild this index"):
        LanceKeywords(tmp_path).query(SPACE, "word", k=1, visible=ALL, filters=NO_FILTERS)


def test_a_full_disk_is_said_and_what_was_written_stays(tmp_path: Path) -> None:
    with small_volume(tmp_path / "small", 2_000_000) as volume:
        index = LanceKeywords(volume)
        index.write(SPACE, keyword_table([Row(1, "c")]))
        with pytest.raises(PermanentError, match=r"acme\.reports\.1: the disk is full"):
            index.write(SPACE, keyword_table(Row(2, f"c{n}", text=os.urandom(2_000).hex()) for n in range(1_000)))
        assert LanceKeywords(volume).counts(SPACE, [1, 2]) == {1: 1}


def test_a_folder_without_rights_is_said() -> None:
    with folder_for_everybody() as folder:
        (folder / "keywords").mkdir(mode=0o500)
        with without_rights(), pytest.raises(PermanentError, match=r"keyword index acme\.reports\.1"):
            LanceKeywords(folder / "keywords").write(SPACE, keyword_table([Row(1, "c")]))


def test_a_lost_race_is_tried_again_and_then_called_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.backends.lancedb_folder.LONGEST_WAIT_S", 0.0)
    tries: list[int] = []

    def lose() -> None:
        tries.append(1)
        raise RuntimeError("lance error: Retryable commit conflict for version 3, /build/x/lance-13.0.0/src/io.rs:1:2")

    with pytest.raises(TransientError, match="kept writing.*version 3$"):
        TableFolder(tmp_path, "vector").retried(SPACE, lose)
    assert len(tries) == ATTEMPTS


@pytest.mark.parametrize("column", ["publication", "chunk_id", "text"])
def test_rows_without_a_needed_value_or_column_are_refused(tmp_path: Path, column: str) -> None:
    index = LanceKeywords(tmp_path)
    table = keyword_table([Row(1, "c")])
    place = table.schema.get_field_index(column)
    kind = table.schema.field(column).type
    empty = table.set_column(place, pa.field(column, kind), pa.nulls(1, kind))
    with pytest.raises(PermanentError, match=column):
        index.write(SPACE, empty)
    with pytest.raises(PermanentError, match=column):
        index.write(SPACE, table.drop_columns([column]))


def test_rows_may_come_as_polars_lays_them_out(tmp_path: Path) -> None:
    import polars as pl

    frame = pl.DataFrame(
        {
            "publication": [1], "document_id": ["d"], "chunk_id": ["c"], "document_type": [None],
            "document_date": [None], "vector": [[0.6, 0.8]], "labels": [["topic:roses"]],
        },
        schema_overrides={"document_type": pl.String, "document_date": pl.Date, "vector": pl.List(pl.Float32)},
    )  # fmt: skip
    index = LanceVectors(tmp_path)
    index.write(SPACE, frame.to_arrow())
    hits = index.query(SPACE, np.array([0.6, 0.8], np.float32), k=1, visible=ALL, filters=NO_FILTERS)
    assert hits[0].score == pytest.approx(1.0, abs=1e-6)


def test_a_space_that_cannot_be_removed_is_said(tmp_path: Path) -> None:
    with folder_for_everybody() as folder:
        LanceKeywords(folder / "k").write(SPACE, keyword_table([Row(1, "c")]))
        with without_rights(), pytest.raises(PermanentError, match=r"acme\.reports\.1 cannot be removed"):
            LanceKeywords(folder / "k").drop(SPACE)
        assert LanceKeywords(folder / "k").counts(SPACE, [1]) == {1: 1}
        shutil.rmtree(folder / "k")


def test_a_query_keeps_each_telling_word_once() -> None:
    assert query_words("The loader, the LOADER and (wiper)!") == ["LOADER", "wiper"]
    assert query_words("to be, or not to be?") == ["to", "be", "or", "not"]
    assert query_words(" ?! \n") == []
    assert query_words("\ud800 a\ud800b") == ["a?b"]
    assert len(query_words(" ".join(f"w{n}" for n in range(3_000)))) == 512


def test_a_table_of_before_labels_is_searched_and_gets_their_column_at_the_next_write(tmp_path: Path) -> None:
    """Without the column no row has a label; a filter by one finds nothing until rows with labels come."""
    import lancedb

    old = keyword_table([Row(1, "a", text="a bank")]).drop_columns(["labels"])
    lancedb.connect(tmp_path).create_table(table_name(SPACE), old)
    index, wanted = LanceKeywords(tmp_path), Filters(labels=("threat:ransomware",))
    assert index.query(SPACE, "bank", k=5, visible=ALL, filters=wanted) == []
    assert len([*index.rows(SPACE)]) == 1
    index.write(SPACE, keyword_table([Row(2, "b", text="a bank", labels=("threat:ransomware",))]))
    assert [hit.publication for hit in index.query(SPACE, "bank", k=5, visible=ALL, filters=wanted)] == [2]
    assert index.counts(SPACE, [1, 2]) == {1: 1, 2: 1}
