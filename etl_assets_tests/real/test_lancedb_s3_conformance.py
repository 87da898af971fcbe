"""The suites of both indexes over LanceDB in a bucket."""

from dataclasses import replace
from uuid import uuid4

import pytest

from etl_assets.backends.lancedb_keywords import LanceKeywords
from etl_assets.backends.lancedb_s3 import S3Tables
from etl_assets.backends.lancedb_vectors import LanceVectors
from etl_assets.backends.s3_client import S3Bucket
from etl_assets.protocols.indexes import KeywordIndex, VectorIndex
from etl_assets_tests.conformance import test_keyword_index, test_vector_index
from etl_assets_tests.conformance.index_rows import keyword_table, vector_table
from etl_assets_tests.conformance.row_index_suite import half_indexed
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import Variables


@pytest.fixture(scope="module")
def bucket(minio: Variables) -> S3Bucket:
    return new_bucket(minio)


def new_tables(bucket: S3Bucket) -> S3Tables:
    """A place of its own in the bucket."""
    return S3Tables(S3Bucket(replace(bucket.settings, prefix=f"indexes/{uuid4().hex}")))


class TestLanceKeywordsOnS3(test_keyword_index.TestKeywordIndex):
    @pytest.fixture
    def index(self, bucket: S3Bucket) -> KeywordIndex:  # type: ignore[override]
        return LanceKeywords(new_tables(bucket))

    @pytest.fixture(scope="class", params=["minio"])  # Hypothesis tells the classes apart by the parameter
    @classmethod
    def varied_index(cls, bucket: S3Bucket) -> KeywordIndex:
        return half_indexed(LanceKeywords(new_tables(bucket)), keyword_table)


class TestLanceVectorsOnS3(test_vector_index.TestVectorIndex):
    @pytest.fixture
    def index(self, bucket: S3Bucket) -> VectorIndex:  # type: ignore[override]
        return LanceVectors(new_tables(bucket))

    @pytest.fixture(scope="class", params=["minio"])  # Hypothesis tells the classes apart by the parameter
    @classmethod
    def varied_index(cls, bucket: S3Bucket) -> VectorIndex:
        return half_indexed(LanceVectors(new_tables(bucket)), vector_table)
