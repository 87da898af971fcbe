"""Seeded schedules of faults: more on an embedded home, and one on PostgreSQL, S3, Pinecone's stand-in and Neo4j."""

from pathlib import Path

import pytest

from etl_assets_tests.faults.schedule import play

SEEDS = (6, 17)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_any_schedule_of_faults_every_store_equals_a_clean_build(seed: int, tmp_path: Path) -> None:
    play(seed, tmp_path)


def test_a_hosted_home_ends_equal_to_an_embedded_clean_build_after_faults(tmp_path: Path) -> None:
    play(20, tmp_path, steps=8, hosted=True)
