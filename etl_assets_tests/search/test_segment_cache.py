"""Segments in memory: verified once, bounded."""

from pathlib import Path

import pytest

from etl_assets.ledger.segments import SegmentFile
from etl_assets.search.segment_cache import SegmentCache
from etl_assets.stages.lake import SegmentLost
from etl_assets_tests.search.small_home import published
from etl_assets_tests.trivial import Chain, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = published(tmp_path, {"a.txt": "one line"})
    for name in ("b", "c"):
        home.put(f"{name}.txt", "two\nlines")
        Chain(home).run()
    return home


def segments(home: Home) -> list[SegmentFile]:
    from sqlalchemy import select

    from etl_assets.ledger import schema

    file = schema.segments
    query = select(file.c.segment_id, file.c.key, file.c.sha256).where(file.c.stage == "chunks")
    with home.ledger.reading() as connection:
        return [SegmentFile(*row) for row in connection.execute(query.order_by(file.c.segment_id))]


def test_a_segment_is_read_once_in_the_columns_asked_for(home: Home) -> None:
    cache, file = SegmentCache(), segments(home)[0]
    frame = cache.frame(home.lake, file, ["text", "chunk_id"])
    assert frame.columns == ["text", "chunk_id"] and frame["text"].to_list() == ["one line"]
    home.lake.blobs.delete(file.key)
    assert cache.frame(home.lake, file, ["text", "chunk_id"]) is frame
    with pytest.raises(SegmentLost):
        cache.frame(home.lake, file, ["text"])


def test_an_altered_segment_is_refused(home: Home) -> None:
    file = segments(home)[0]
    forged = SegmentFile(file.segment_id, file.key, "0" * 64)
    with pytest.raises(SegmentLost, match="altered"):
        SegmentCache().frame(home.lake, forged, ["text"])


def test_the_least_recently_used_segment_goes_first(home: Home) -> None:
    first, second, third = segments(home)
    size = SegmentCache()
    for file in (first, second, third):
        size.frame(home.lake, file, ["text"])
    cache = SegmentCache(limit_bytes=size.size_bytes - 1)
    kept = cache.frame(home.lake, first, ["text"])
    cache.frame(home.lake, second, ["text"])
    assert cache.frame(home.lake, first, ["text"]) is kept
    cache.frame(home.lake, third, ["text"])
    assert cache.size_bytes < size.size_bytes
    assert cache.frame(home.lake, first, ["text"]) is kept
    home.lake.blobs.delete(second.key)
    with pytest.raises(SegmentLost):
        cache.frame(home.lake, second, ["text"])


def test_what_is_larger_than_the_whole_cache_is_not_kept(home: Home) -> None:
    cache = SegmentCache(limit_bytes=1)
    assert cache.frame(home.lake, segments(home)[0], ["text"]).height == 1
    assert cache.size_bytes == 0
