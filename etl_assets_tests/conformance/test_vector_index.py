"""What every vector index must do, whatever is behind it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.backends.lancedb_vectors import LanceVectors
from etl_assets.errors import PermanentError
from etl_assets.protocols.indexes import Filters, IndexHit, IndexSpace, VectorIndex, vector_rows
from etl_assets.protocols.row_digests import row_digest
from etl_assets.protocols.visibility import Visibility
from etl_assets_tests.conformance.index_rows import (
    ALL,
    NO_FILTERS,
    SPACE,
    Row,
    filters,
    unit_vector,
    varied_rows,
    vector_table,
    visibilities,
)
from etl_assets_tests.conformance.row_index_suite import VARIED, RowIndexSuite, half_indexed

BACKENDS: dict[str, Callable[[Path], VectorIndex]] = {"lancedb": lambda folder: LanceVectors(folder / "vectors")}


@pytest.fixture(scope="module", params=list(BACKENDS.values()), ids=list(BACKENDS))
def varied_index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VectorIndex:
    """An index that is only read."""
    index: VectorIndex = request.param(tmp_path_factory.mktemp("varied"))
    return half_indexed(index, vector_table)


class TestVectorIndex(RowIndexSuite[VectorIndex]):
    @pytest.fixture(params=list(BACKENDS.values()), ids=list(BACKENDS))
    def index(self, request: pytest.FixtureRequest, tmp_path: Path) -> VectorIndex:
        index: VectorIndex = request.param(tmp_path)
        return index

    def table(self, rows: Iterable[Row]) -> pa.Table:
        return vector_table(rows)

    def found(
        self, index: VectorIndex, space: IndexSpace, k: int, visible: Visibility, only: Filters
    ) -> list[IndexHit]:
        return index.query(space, unit_vector(1), k=k, visible=visible, filters=only)

    def digest(self, row: Row) -> str:
        return row_digest(row.vector, row.attributes)

    def test_the_score_is_the_cosine(self, index: VectorIndex) -> None:
        rows = [Row(n, "c", seed=n) for n in range(1, 30)]
        index.write(SPACE, vector_table(rows))
        hits = index.query(SPACE, unit_vector(3), k=30, visible=ALL, filters=NO_FILTERS)
        assert hits[0].publication == 3
        assert [hit.score for hit in hits] == pytest.approx(
            sorted((float(row.vector @ unit_vector(3)) for row in rows), reverse=True), abs=1e-5
        )
        opposite = index.query(SPACE, -unit_vector(3), k=30, visible=ALL, filters=NO_FILTERS)
        assert opposite[-1].publication == 3
        assert opposite[-1].score == pytest.approx(-1.0, abs=1e-5)
        assert all(-1.0 <= hit.score <= 1.0 for hit in [*hits, *opposite])

    def test_vectors_of_another_width_are_refused(self, index: VectorIndex) -> None:
        index.write(SPACE, vector_table([Row(1, "c")]))
        wide = pa.table(
            [
                *vector_table([Row(2, "c")]).columns[:-2],
                pa.array([[1.0] + [0.0] * 15], pa.list_(pa.float32(), 16)),
                pa.nulls(1, pa.list_(pa.string())),
            ],
            schema=vector_rows(16),
        )
        with pytest.raises(PermanentError, match=r"acme\.reports\.1.*generation"):
            index.write(SPACE, wide)
        with pytest.raises(PermanentError, match=r"acme\.reports\.1.*8 components"):
            index.query(SPACE, unit_vector(1, 16), k=1, visible=ALL, filters=NO_FILTERS)
        assert index.counts(SPACE, [1, 2]) == {1: 1}

    @given(seed=st.integers(0, 10**6), k=st.integers(1, 70), visible=visibilities(), only=filters())
    @settings(max_examples=40)
    def test_the_nearest_of_what_may_be_seen_are_found(
        self, varied_index: VectorIndex, seed: int, k: int, visible: Visibility, only: Filters
    ) -> None:
        query = unit_vector(seed)
        hits = varied_index.query(VARIED, query, k=k, visible=visible, filters=only)
        admitted = [row for row in varied_rows() if row.passes(visible, only)]
        cosines = {(row.publication, row.chunk_id): float(row.vector @ query) for row in admitted}
        assert [hit.score for hit in hits] == pytest.approx(sorted(cosines.values(), reverse=True)[:k], abs=1e-5)
        assert all(np.isclose(hit.score, cosines[hit.publication, hit.chunk_id], atol=1e-5) for hit in hits)
