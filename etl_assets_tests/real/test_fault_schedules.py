"""A seeded schedule of faults on PostgreSQL, S3, Pinecone's stand-in and Neo4j, held to an embedded clean build."""

from pathlib import Path

from etl_assets_tests.faults.schedule import play


def test_a_hosted_home_ends_equal_to_an_embedded_clean_build_after_faults(tmp_path: Path) -> None:
    play(20, tmp_path, steps=8, hosted=True)
