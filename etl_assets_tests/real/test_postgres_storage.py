"""Dagster's storage on PostgreSQL: several processes reach a pool first at one moment, and its limit is changed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from etl_assets.hosted_settings import PostgresPlace
from etl_assets.settings import Settings
from etl_assets_tests.real.databases import new_database
from etl_assets_tests.real.queued_runs import instance_of
from etl_assets_tests.servers.fixtures import Variables


def test_many_make_a_pool_at_one_moment_and_its_limit_changes(
    tmp_path: Path, postgres: Variables, databases: str
) -> None:
    url = new_database(postgres["ETL_TEST_POSTGRES_URL"], f"{databases}dagster")
    for limit in (2, 1, 3):
        settings = Settings(str(tmp_path), postgres=PostgresPlace(url, dagster_url=url), pool_limit=limit)
        together = Barrier(4)
        with instance_of(settings) as instance, ThreadPoolExecutor(4) as threads:

            def make(number: int) -> bool:
                together.wait(30)  # noqa: B023  all of them are done before the next round
                return instance.event_log_storage.initialize_concurrency_limit_to_default("graph")

            assert all(threads.map(make, range(4)))
            assert instance.event_log_storage.get_concurrency_info("graph").slot_count == limit
    with instance_of(settings) as instance:
        events = instance.event_log_storage
        events.set_concurrency_slots("graph", 5)
        events.initialize_concurrency_limit_to_default("graph")
        assert events.get_concurrency_info("graph").slot_count == 5, "a limit that a person has set stays"
