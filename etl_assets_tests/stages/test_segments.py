"""Segments: compaction, pins, damage, strays, and the shape that rows keep through it all."""

import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import insert, select, update

from etl_assets.errors import PermanentError, TransientError
from etl_assets.ledger import schema
from etl_assets.ledger.database import clock
from etl_assets.ledger.leases import acquire
from etl_assets.stages import housekeeping
from etl_assets.stages.digests import EMPTY, output_digests
from etl_assets.stages.lake import SegmentLost
from etl_assets_tests.faults.chains import ShapedChain, die_holding, quick_home, ticking, untidy
from etl_assets_tests.faulty import Killed
from etl_assets_tests.trivial import Home, contents


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return quick_home(tmp_path / "home")


def segments(home: Home, stage: str) -> list[Path]:
    """Files of a stage that the ledger names and that hold live rows."""
    file = schema.segments
    with home.ledger.reading() as connection:
        keys = connection.scalars(select(file.c.key).where(file.c.stage == stage, file.c.dead_at.is_(None))).all()
    return [home.folder / "lake" / key for key in keys]


def run_until_quiet(home: Home) -> None:
    """As a sensor would: again, as long as a run ends with an error that may be retried."""
    for _ in range(6):
        try:
            ShapedChain(home).run()
            return
        except TransientError:
            continue
    raise AssertionError("six runs did not end it")


def test_small_segments_are_merged_and_every_live_row_and_every_reuse_is_kept(home: Home) -> None:
    for i in range(20):
        home.put(f"{i}.txt", f"line {i} ALPHA\nsecond {i}\n")
        ShapedChain(home).run()
    for stage in ("pages", "chunks", "embeddings", "mentions"):
        assert len(segments(home, stage)) <= housekeeping.SMALL_SEGMENTS
    clean = quick_home(home.folder.parent / "clean")
    for i in range(20):
        clean.put(f"{i}.txt", f"line {i} ALPHA\nsecond {i}\n")
    ShapedChain(clean).run()
    assert contents(home) == contents(clean)
    chain = ShapedChain(home)
    home.put("twin.txt", "line 3 ALPHA\nsecond 7\nonly new\n")
    chain.run()
    assert chain.counts.embedded == ["only new"], "vectors in merged segments are found again"
    assert untidy(home) == []


def test_a_segment_over_a_quarter_dead_is_written_anew(home: Home) -> None:
    for i in range(8):
        home.put(f"{i}.txt", f"line {i}\n")
    ShapedChain(home).run()
    for i in range(3):
        home.remove(f"{i}.txt")
    ShapedChain(home).run()
    (path,) = segments(home, "chunks")
    assert pl.read_parquet(path).height == 5
    assert untidy(home) == []


def test_shards_merge_their_own_rows_only(home: Home) -> None:
    for i in range(12):
        home.put(f"{i}.txt", f"line {i}\n")
    for shard in (0, 1):
        ShapedChain(home, shard=shard, shards=2).run()
    before = {path: path.read_bytes() for path in segments(home, "chunks") if "01-of-02" in str(path)}
    home.remove("0.txt")
    home.remove("1.txt")
    ShapedChain(home, shard=0, shards=2).run()
    assert {path: path.read_bytes() for path in segments(home, "chunks") if "01-of-02" in str(path)} == before


def _delete(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.Random(7).randrange(len(content))] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("stage", "damage"),
    [("pages", _delete), ("chunks", _flip), ("embeddings", _delete), ("embeddings", _truncate), ("mentions", _flip)],
)
def test_a_damaged_segment_is_noticed_and_made_again(home: Home, stage: str, damage: Callable[[Path], None]) -> None:
    for i in range(6):
        home.put(f"{i}.txt", f"line {i} ALPHA\nsecond {i}\n")
    ShapedChain(home).run()
    (path,) = segments(home, stage)
    damage(path)
    # Three of six documents go: every stage's segment is more than a quarter dead, and so it is read.
    for i in range(3):
        home.remove(f"{i}.txt")
    with pytest.raises(SegmentLost, match="gone|altered"):
        ShapedChain(home).run()
    run_until_quiet(home)
    clean = quick_home(home.folder.parent / "clean")
    for i in range(3, 6):
        clean.put(f"{i}.txt", f"line {i} ALPHA\nsecond {i}\n")
    ShapedChain(clean).run()
    assert contents(home) == contents(clean)
    assert untidy(home) == []


def test_a_damaged_segment_is_never_taken_for_a_known_vector(home: Home) -> None:
    home.put("a.txt", "known line\n")
    ShapedChain(home).run()
    _flip(segments(home, "embeddings")[0])
    home.put("b.txt", "known line\nnew line\n")
    chain = ShapedChain(home)
    chain.run()
    assert sorted(chain.counts.embedded) == ["known line", "new line"]


def test_a_twin_in_a_lost_segment_is_computed_after_all(home: Home) -> None:
    home.put("a.txt", "one\n")
    ShapedChain(home).run()
    _delete(segments(home, "pages")[0])
    home.put("b.txt", "one\n")
    run_until_quiet(home)
    assert {row[0] for row in contents(home)["keyword"]} == {"a.txt", "b.txt"}
    assert untidy(home) == []


def test_a_pinned_segment_outlives_its_rows_until_the_pin_is_gone(home: Home) -> None:
    home.put("a.txt", "one\n")
    ShapedChain(home).run()
    paths = segments(home, "pages")
    with home.ledger.writing() as connection:
        at = clock(connection)
        connection.execute(insert(schema.pins), {"pin": "reader", "taken_at": at, "expires_at": at + 60.0})
    home.remove("a.txt")
    ShapedChain(home).run()
    assert paths[0].exists()
    ShapedChain(home).run()
    assert paths[0].exists(), "the partition stays to be tidied, and the pin still holds"
    with home.ledger.writing() as connection:
        connection.execute(update(schema.pins).values(expires_at=1.0))
    ShapedChain(home).run()
    assert not paths[0].exists()
    assert untidy(home) == []


def test_a_file_that_nothing_names_goes_with_the_next_run(home: Home) -> None:
    home.put("a.txt", "one\n")

    def die(what: str) -> None:
        if what == "after lake.put":
            raise Killed(what)

    chain = ShapedChain(ticking(home, die))
    lease = chain.take()
    with pytest.raises(Killed):
        chain.steps(lease)
    die_holding(lease)
    assert len(list(home.lake.blobs.keys(""))) == 1
    home.remove("a.txt")
    ShapedChain(home, run_id="next").run()
    assert list(home.lake.blobs.keys("")) == []
    assert untidy(home) == []


def test_a_reader_of_a_segment_that_the_ledger_forgot_is_told_to_come_again(home: Home) -> None:
    with pytest.raises(SegmentLost, match="not in the ledger"):
        home.lake.read({}, {7: [1]})


def test_a_full_lake_ends_the_run_and_the_next_one_completes_it(home: Home) -> None:
    home.put("a.txt", "one\n")

    def refuse(what: str) -> None:
        if what == "before lake.put":
            raise PermanentError("no space left on the disk")

    with pytest.raises(PermanentError, match="no space"):
        ShapedChain(ticking(home, refuse)).run()
    ShapedChain(home).run()
    assert len(contents(home)["ledger"]) == 1
    assert untidy(home) == []


def test_compaction_that_finds_its_lease_gone_changes_nothing(home: Home) -> None:
    for i in range(4):
        home.put(f"{i}.txt", f"line {i}\n")
    ShapedChain(home).run()
    chain = ShapedChain(home, run_id="late")
    lease = chain.take()
    work = chain.work(lease)
    die_holding(lease)
    acquire(home.ledger, work.partition.key, holder="other").release()
    with pytest.raises(TransientError, match="taken over by another run"):
        housekeeping.drop_unwanted(work, [])
    assert len(contents(home)["ledger"]) == 4


def test_output_digests_tell_rows_values_and_their_borders_apart() -> None:
    def digest(*rows: tuple[object, ...]) -> str:
        frame = pl.DataFrame(
            [("d", *row) for row in rows],
            schema={"document_id": pl.String, "a": pl.String, "b": pl.Int32, "v": pl.List(pl.Float32)},
            orient="row",
        )
        return output_digests(frame, ("a", "b", "v"))["d"]

    different = [
        digest(("x", 1, [1.0])), digest(("x", 1, [1.0, 0.0])), digest(("x", 1, [])), digest(("x", 1, None)),
        digest(("x", 11, [1.0])), digest(("x1", 1, [1.0])), digest((None, 1, [1.0])), digest(("", 1, [1.0])),
        digest(("x", None, [1.0])), digest(("x", 1, [1.0]), ("x", 1, [1.0])), digest(("x", 1, [-0.0])),
        digest(("x", 1, [0.0])), digest(("x", 1, [1.0]), ("y", 1, [1.0])), digest(("y", 1, [1.0]), ("x", 1, [1.0])),
    ]  # fmt: skip
    assert len({*different, EMPTY}) == len(different), "an empty list and no list count as the same, and no other two"
