"""The suite of every vector index over Pinecone's stand-in, with queries that lag behind every write."""

from collections.abc import Iterator

import pytest

from etl_assets.backends.pinecone_server import PineconeAccess
from etl_assets.backends.pinecone_vectors import PineconeVectors
from etl_assets.protocols.indexes import VectorIndex
from etl_assets_tests.conformance import test_vector_index as suite
from etl_assets_tests.conformance.index_rows import varied_rows, vector_table
from etl_assets_tests.conformance.row_index_suite import VARIED
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn


@pytest.fixture(scope="module")
def standin() -> Iterator[PineconeStandIn]:
    with PineconeStandIn(lag=2) as standin:
        yield standin


@pytest.fixture(scope="module")
def varied_index() -> Iterator[VectorIndex]:
    """An index that is only read."""
    with PineconeStandIn(lag=2) as standin:
        index = PineconeVectors(PineconeAccess("test-key", host=standin.url))
        index.write(VARIED, vector_table(varied_rows()[:30]))
        index.write(VARIED, vector_table(varied_rows()[30:]))
        yield index
        index.close()


class TestPineconeVectors(suite.TestVectorIndex):
    MANY = 2_500  # three requests to write, and twenty-five pages of ids

    @pytest.fixture
    def index(self, standin: PineconeStandIn) -> Iterator[VectorIndex]:  # type: ignore[override]
        standin.clear()
        index = PineconeVectors(PineconeAccess("test-key", host=standin.url))
        yield index
        index.close()
        # Whatever the suite did, no request broke the vendor's contract.
        requests = [*standin.requests, *(one for part in standin.indexes.values() for one in part.requests)]
        assert {one.status for one in requests} <= {200, 201, 404}
