"""The stores that fail on purpose do what their plan says: tests that lean on them must be able to."""

from pathlib import Path

import pyarrow as pa
import pytest

from etl_assets.backends.local_arrivals import LocalArrivals
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.errors import TransientError
from etl_assets.protocols.indexes import IndexSpace, keyword_rows
from etl_assets.protocols.row_digests import row_digest
from etl_assets_tests.faulty import Fault, Faults, FaultyArrivals, FaultyBlobs, FaultyRows, Killed
from etl_assets_tests.memory_rows import MemoryRows


def test_each_fault_of_a_put_has_its_effect(tmp_path: Path) -> None:
    inner = LocalBlobs(tmp_path / "blobs")
    pauses: list[int] = []
    plan = dict(
        zip([("put", n) for n in range(6)], [*Fault], strict=False)
    )  # REFUSED, LOST_REPLY, LOST_WRITE, HALF_WRITE, SLOW, ALTERED, and then none
    faults = Faults(plan, pause=lambda: pauses.append(1))
    blobs = FaultyBlobs(inner, faults)
    outcomes = {}
    for n, fault in enumerate([*Fault, None]):
        (tmp_path / "file").write_text("text")
        try:
            blobs.put(f"key{n}", tmp_path / "file")
            outcomes[fault] = ("said", inner.exists(f"key{n}"))
        except TransientError:
            outcomes[fault] = ("raised", inner.exists(f"key{n}"))
        if fault is Fault.HALF_WRITE:
            assert (tmp_path / "file").read_text() == "te"
    assert outcomes == {
        Fault.REFUSED: ("raised", False),
        Fault.LOST_REPLY: ("raised", True),
        Fault.LOST_WRITE: ("said", False),
        Fault.HALF_WRITE: ("raised", False),
        Fault.SLOW: ("said", True),
        Fault.ALTERED: ("said", True),
        None: ("said", True),
    }
    assert pauses == [1]
    assert [happened[2] for happened in faults.happened] == [*Fault]


def test_the_same_seed_gives_the_same_faults_and_healing_ends_them(tmp_path: Path) -> None:
    inner = LocalBlobs(tmp_path / "blobs")

    def run() -> list[tuple[str, int, Fault]]:
        faults = Faults.drawn(7, share=0.3)
        blobs = FaultyBlobs(inner, faults)
        for _ in range(40):
            try:
                blobs.exists("a")
                blobs.delete("a")
                [*blobs.keys("")]
                with blobs.scratch():
                    pass
                with blobs.local("a"):
                    pass
            except (TransientError, FileNotFoundError):
                continue
        faults.heal()
        before = len(faults.happened)
        assert not blobs.exists("a")
        assert len(faults.happened) == before
        return faults.happened

    assert run() == run() != []


def test_arrivals_fail_half_way_through_a_listing_and_a_copy(tmp_path: Path) -> None:
    (tmp_path / "objects/acme/reports").mkdir(parents=True)
    for n in range(4):
        (tmp_path / f"objects/acme/reports/{n}").write_text("text")
    inner = LocalArrivals(tmp_path / "objects", scratch=tmp_path / "tmp")
    kinds = [("fetch", Fault.REFUSED), ("fetch", Fault.HALF_WRITE), ("put", Fault.LOST_WRITE), ("put", Fault.REFUSED)]
    plan = {("list", 1): Fault.REFUSED, ("collections", 1): Fault.REFUSED, ("delete", 0): Fault.LOST_REPLY}
    plan |= {(name, n % 2): fault for n, (name, fault) in enumerate(kinds)}
    arrivals = FaultyArrivals(inner, Faults(plan, error=Killed))
    assert len([*arrivals.list("acme", "reports")]) == 4
    seen = []
    with pytest.raises(Killed):
        for found in arrivals.list("acme", "reports"):
            seen.append(found)
    assert len(seen) == 2
    assert arrivals.collections() == [("acme", "reports")]
    assert [*arrivals.strays()] == []
    with pytest.raises(Killed):
        arrivals.collections()
    with pytest.raises(Killed):
        arrivals.fetch("acme/reports/1", tmp_path / "one")
    with pytest.raises(Killed):
        arrivals.fetch("acme/reports/1", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "te"
    assert arrivals.fetch("acme/reports/1", tmp_path / "three").size_bytes == 4
    arrivals.put("acme/reports/new", tmp_path / "three")
    with pytest.raises(Killed):
        arrivals.put("acme/reports/new", tmp_path / "three")
    with pytest.raises(Killed):
        arrivals.delete("acme/reports/1")
    assert len([*inner.list("acme", "reports")]) == 3


def test_rows_and_edges_that_are_altered_keep_their_number() -> None:
    space, inner = IndexSpace("acme", "reports", 1), MemoryRows("text")
    row = {"publication": 1, "document_id": "d", "chunk_id": "c", "document_type": None, "document_date": None}
    rows = pa.Table.from_pylist([{**row, "text": "told"}], schema=keyword_rows())
    FaultyRows(inner, Faults({("write", 0): Fault.ALTERED})).write(space, rows)
    assert inner.counts(space, [1]) == {1: 1}
    assert [one.digest for one in inner.rows(space)] != [row_digest("told", {})]
