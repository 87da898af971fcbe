"""Pinecone's adapter against a stand-in that is slow to show writes, limits, fails, lies and loses answers."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from etl_assets.backends.circuit import Backoff, Calls, CircuitBreaker, CircuitOpen
from etl_assets.backends.pinecone_server import PineconeAccess
from etl_assets.backends.pinecone_vectors import PineconeVectors
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.indexes import IndexSpace, vector_rows
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.conformance.index_rows import ALL, NO_FILTERS, SPACE, Row, unit_vector, varied_rows, vector_table
from etl_assets_tests.servers.pinecone_namespace import Record
from etl_assets_tests.servers.pinecone_standin import REQUEST_BYTES, IndexStandIn, PineconeStandIn
from etl_assets_tests.servers.standin import Fault, Kind, seeded_faults

KEY = "pcsk_canary_7f3a9e"
ROWS = [Row(n, "c", seed=n) for n in range(1, 41)]
Opened = Callable[..., PineconeVectors]


@pytest.fixture
def standin() -> Iterator[PineconeStandIn]:
    with PineconeStandIn(keys={KEY}) as standin:
        yield standin


@pytest.fixture
def opened(standin: PineconeStandIn) -> Iterator[Opened]:
    indexes: list[PineconeVectors] = []

    def make(key: str = KEY, *, calls: Calls | None = None, **settings: float) -> PineconeVectors:
        calls = calls or Calls(CircuitBreaker("Pinecone", failures=1_000), Backoff(8, base_s=0.01, cap_s=0.05))
        indexes.append(PineconeVectors(PineconeAccess(key, host=standin.url, **settings), calls))  # type: ignore[arg-type]
        return indexes[-1]

    yield make
    for index in indexes:
        index.close()


def data_plane(standin: PineconeStandIn) -> IndexStandIn:
    return standin.indexes["etl-assets-8"]


def found(index: PineconeVectors, k: int = 100, visible: Visibility = ALL) -> list[int]:
    hits = index.query(SPACE, unit_vector(1), k=k, visible=visible, filters=NO_FILTERS)
    return sorted(hit.publication for hit in hits)


@pytest.mark.parametrize(
    "altered",
    [
        {"publication": 77}, {"document_type": "altered"}, {"document_date": 20000101}, {"labels": ["a:b"]}, {"new": 1},
        {"labels": "a:b"}, {},
    ],
)  # fmt: skip
def test_metadata_altered_past_the_platform_are_told_of_their_record_and_removed_with_it(
    standin: PineconeStandIn, opened: Opened, altered: dict[str, Any]
) -> None:
    index = opened()
    index.write(SPACE, vector_table(ROWS))
    whole = {row.publication: row for row in index.rows(SPACE)}
    records = data_plane(standin).namespaces[SPACE.name]
    (identity,) = [one for one in records.stored.records if one.startswith("7.")]

    def change(held: dict[str, Record]) -> None:
        held[identity] = replace(held[identity], metadata={**held[identity].metadata, **altered} if altered else {})

    records.write(change)
    assert {row.publication for row in index.rows(SPACE) if row != whole[row.publication]} == {7}
    index.remove(SPACE, [7])
    assert index.counts(SPACE, [7]) == {}
    index.write(SPACE, vector_table(ROWS[6:7]))
    assert {row.publication: row for row in index.rows(SPACE)} == whole


@pytest.mark.parametrize("kind", ["limited", "error", "truncated", "garbage", "hang-up"])
def test_what_may_pass_is_tried_again(standin: PineconeStandIn, opened: Opened, kind: Kind) -> None:
    index = opened()
    index.prepare(8)
    fault = Fault(kind, seconds=0.01)
    data_plane(standin).misbehave(None, fault, fault)
    index.write(SPACE, vector_table(ROWS))
    data_plane(standin).misbehave(fault)
    assert index.counts(SPACE, [1, 40]) == {1: 1, 40: 1}
    data_plane(standin).misbehave(fault)
    assert found(index) == list(range(1, 41))
    data_plane(standin).misbehave(fault)
    index.remove(SPACE, [1])
    assert len({row.publication for row in index.rows(SPACE)}) == 39


def test_a_third_of_all_answers_lost_or_broken_changes_nothing(standin: PineconeStandIn, opened: Opened) -> None:
    index = opened()
    index.prepare(8)
    data_plane(standin).misbehave(
        *(next(faults) for faults in [seeded_faults(7, 0.33, ("error", "truncated", "garbage", "hang-up"))]
          for _ in range(400))
    )  # fmt: skip
    rows = varied_rows()
    for start in range(0, 60, 12):
        index.write(SPACE, vector_table(rows[start : start + 12]))
    index.remove(SPACE, [3, 4])
    kept = {(row.publication, row.chunk_id) for row in rows if row.publication not in (3, 4)}
    assert {(row.publication, row.chunk_id) for row in index.rows(SPACE)} == kept
    assert found(index) == sorted(publication for publication, _ in kept)


@pytest.mark.parametrize(("status", "text"), [(401, "PINECONE_API_KEY"), (403, "PINECONE_API_KEY"), (400, "400")])
def test_a_refusal_is_permanent_and_asked_once(
    standin: PineconeStandIn, opened: Opened, status: int, text: str
) -> None:
    index = opened()
    index.write(SPACE, vector_table(ROWS))
    data_plane(standin).requests.clear()
    data_plane(standin).misbehave(Fault("error", status=status))
    with pytest.raises(PermanentError, match=text):
        found(index)
    assert len(data_plane(standin).requests) == 1


def test_a_key_is_never_told(standin: PineconeStandIn, opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = opened("pcsk_canary_wrong")
    with pytest.raises(PermanentError) as refused:
        wrong.write(SPACE, vector_table(ROWS))
    echoed = opened()
    echoed.prepare(8)
    body = {"error": {"code": "UNKNOWN", "message": f"key {KEY} has no rights"}, "status": 403}
    data_plane(standin).misbehave(Fault("error", status=403, body=body))
    with pytest.raises(PermanentError) as told:
        echoed.counts(SPACE, [1])
    assert "canary" not in "".join([str(refused.value), str(told.value), caplog.text, repr(PineconeAccess(KEY))])
    assert len(standin.requests) >= 1


def test_a_write_returns_only_when_queries_show_it(opened: Opened, standin: PineconeStandIn) -> None:
    standin.lag = 4
    index = opened()
    index.write(SPACE, vector_table(ROWS))
    assert found(index) == list(range(1, 41))
    index.write(SPACE, vector_table([Row(1, "c", seed=2), Row(41, "c", seed=41)]))
    assert found(index) == list(range(1, 42))
    index.remove(SPACE, [2, 41])
    assert found(index) == [1, *range(3, 41)]


def test_a_write_that_queries_never_show_is_reported_in_time(standin: PineconeStandIn, opened: Opened) -> None:
    standin.lag = 10**9
    with pytest.raises(TransientError, match=r"acme\.reports\.1.*log sequence number 1.*0\.2 s"):
        opened(freshness_s=0.2).write(SPACE, vector_table(ROWS))


def test_a_write_without_effect_shows_in_the_counts(standin: PineconeStandIn, opened: Opened) -> None:
    index = opened()
    index.write(SPACE, vector_table(ROWS[:1]))
    data_plane(standin).ignored = 1
    index.write(SPACE, vector_table(ROWS[1:2]))
    assert index.counts(SPACE, [1, 2]) == {1: 1}


def test_a_removal_without_effect_is_reported(standin: PineconeStandIn, opened: Opened) -> None:
    index = opened(freshness_s=0.2)
    index.write(SPACE, vector_table(ROWS))
    data_plane(standin).ignored = 1
    with pytest.raises(TransientError, match="removal"):
        index.remove(SPACE, [1])
    index.remove(SPACE, [1])
    assert index.counts(SPACE, [1]) == {}


def test_matches_given_twice_are_one_hit(standin: PineconeStandIn, opened: Opened) -> None:
    index = opened()
    index.write(SPACE, vector_table(ROWS))
    data_plane(standin).misbehave(Fault("doubled"))
    assert found(index) == list(range(1, 41))


def test_requests_stay_within_the_limits(standin: PineconeStandIn, opened: Opened) -> None:
    width, count = 384, 1_500
    vectors = np.random.default_rng(1).standard_normal((count, width)).astype(np.float32)
    table = pa.table(
        {
            "publication": pa.array([1 + i // 300 for i in range(count)], pa.int64()),
            "document_id": [f"{1 + i // 300:032x}" for i in range(count)],
            "chunk_id": [f"{i:032x}-0" for i in range(count)],
            "document_type": ["application/pdf"] * count,
            "document_date": pa.nulls(count, pa.date32()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width),
            "labels": [["threat:ransomware"]] * count,
        },
        schema=vector_rows(width),
    )
    index = opened()
    index.write(SPACE, table)
    assert index.counts(SPACE, range(1, 6)) == dict.fromkeys(range(1, 6), 300)
    assert len([*index.rows(SPACE)]) == count
    requests = standin.indexes["etl-assets-384"].requests
    upserts = [one for one in requests if one.path == "/vectors/upsert"]
    assert {one.status for one in requests} <= {200, 404}
    assert max(int(one.headers["content-length"]) for one in upserts) <= REQUEST_BYTES
    assert sum(len(one.body["vectors"]) for one in upserts) == count


def test_many_requests_are_under_way_at_once(standin: PineconeStandIn, opened: Opened) -> None:
    index = opened(concurrency=8)
    index.write(SPACE, vector_table(ROWS))
    data_plane(standin).together = 8
    data_plane(standin)._gate.clear()
    assert len(index.counts(SPACE, range(1, 41))) == 40
    assert data_plane(standin).most_under_way >= 8


def test_two_that_make_an_index_at_once_share_it(standin: PineconeStandIn, opened: Opened) -> None:
    standin.slow_start = 3
    indexes = [opened() for _ in range(4)]
    threads = [threading.Thread(target=index.prepare, args=(8,)) for index in indexes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [*standin.indexes] == ["etl-assets-8"]
    indexes[0].write(SPACE, vector_table(ROWS[:3]))
    assert found(indexes[3]) == [1, 2, 3]


def test_what_another_process_wrote_and_dropped_is_seen(standin: PineconeStandIn, opened: Opened) -> None:
    one, other = opened(), opened()
    assert found(other) == []
    one.write(SPACE, vector_table(ROWS))
    assert found(other) == list(range(1, 41))
    one.drop(SPACE)
    assert found(other) == [] and other.counts(SPACE, [1]) == {} and [*other.rows(SPACE)] == []
    other.remove(SPACE, [1])
    other.drop(SPACE)
    one.write(SPACE, vector_table(ROWS))
    assert len(found(other)) == 40


def test_an_index_made_anew_elsewhere_is_found_again(standin: PineconeStandIn, opened: Opened) -> None:
    index = opened()
    index.write(SPACE, vector_table(ROWS))
    gone = standin.indexes.pop("etl-assets-8")
    gone.misbehave(*[Fault("hang-up")] * 100)
    gone.__exit__(None, None, None)
    with pytest.raises(TransientError):
        found(index)
    assert found(index) == []
    index.write(SPACE, vector_table(ROWS))
    assert found(index) == list(range(1, 41))


def test_a_store_that_keeps_failing_is_left_alone(standin: PineconeStandIn, opened: Opened) -> None:
    breaker = CircuitBreaker("Pinecone", failures=2, pause_s=60)
    index = opened(calls=Calls(breaker, Backoff(1)))
    index.write(SPACE, vector_table(ROWS))
    data_plane(standin).misbehave(*[Fault("garbage")] * 2)
    for _ in range(2):
        with pytest.raises(TransientError):
            found(index)
    asked = len(data_plane(standin).requests)
    with pytest.raises(CircuitOpen):
        found(index)
    assert len(data_plane(standin).requests) == asked


def test_more_hidden_numbers_than_a_filter_holds_are_met_and_left_out(opened: Opened) -> None:
    index = opened()
    rows = [Row(n, "c", seed=1 if n <= 300 else n) for n in range(1, 401)]
    index.write(SPACE, vector_table(rows))
    # Short ranges beyond the limit first, so that none of those that matter is named in the filter.
    decoys = ((n, n) for n in range(10**6, 10**6 + 60_002, 2))
    hidden = Visibility(1, 10**12, tuple(chain(((n, n + 15) for n in range(1, 290, 32)), decoys)))
    expected = [n for n in range(1, 401) if hidden.admits(n)]
    assert found(index, 400, hidden) == expected
    # Of equal ones, the first by their documents' ids.
    assert found(index, 5, hidden) == sorted(sorted((n for n in expected if n <= 300), key=str)[:5])


@pytest.mark.parametrize(
    "settings", [{"index_prefix": "Bad_Name"}, {"index_prefix": "-x"}, {"index_prefix": "x" * 60}, {"concurrency": 0}]
)
def test_settings_that_cannot_work_are_named(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="Pinecone"):
        PineconeAccess(KEY, **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="PINECONE_API_KEY"):
        PineconeVectors(PineconeAccess(" "))


def test_rows_that_do_not_fit_are_refused(opened: Opened) -> None:
    index = opened()
    table = vector_table(ROWS[:1])
    with pytest.raises(PermanentError, match="columns"):
        index.write(SPACE, table.drop_columns(["chunk_id"]))
    without_ids = table.set_column(1, "document_id", pa.array([None], pa.string()))
    with pytest.raises(PermanentError, match="document_id"):
        index.write(SPACE, without_ids.cast(pa.schema([field.with_nullable(True) for field in table.schema])))
    with pytest.raises(PermanentError, match="metadata"):
        index.write(SPACE, vector_table([Row(1, "c", document_type="x" * 50_000)]))
    assert [*index.spaces()] == []
    assert index.counts(IndexSpace("acme", "other", 1), [1]) == {}
