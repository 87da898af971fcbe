"""The assets in Dagster: what loads, what a run leaves in the instance, and what a second one does not do."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import delete

from etl_assets.asset_keys import (
    BACKUPS,
    COLLECTION_REPORTS,
    DOCUMENT_ASSETS,
    DOCUMENT_SHARDS,
    INGEST_JOB,
    REPAIRED_INDEXES,
    VERIFY_JOB,
)
from etl_assets.definitions import defs
from etl_assets.documents.consistency.verification import CHECKS, WHOLE_READS
from etl_assets.documents.partition_runs import PartitionRuns, ProgressLog, progress_line
from etl_assets.ledger import runs, schema
from etl_assets.stages.report import Progress
from etl_assets_tests.small_homes import STATIC, SmallHome

KEY = "acme.reports.00-of-01"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    return SmallHome.at(tmp_path / "home")


@pytest.fixture
def ran(tmp_path: Path) -> SmallHome:
    """A home in which all is published, of which Dagster knows nothing."""
    return SmallHome.ran(tmp_path / "ran")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        ephemeral.add_dynamic_partitions(DOCUMENT_SHARDS, [KEY])
        yield ephemeral


@dataclass(frozen=True)
class FirstRun:
    """A home and what its first run gave; whoever runs it again changes nothing in it."""

    home: SmallHome
    result: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, instance: dg.DagsterInstance) -> FirstRun:
    home = SmallHome.at(tmp_path_factory.mktemp("first") / "home")
    return FirstRun(home, execute(home, instance))


def execute(
    home: SmallHome, instance: dg.DagsterInstance, job: str = INGEST_JOB, **more: Any
) -> dg.ExecuteInProcessResult:
    held = PartitionRuns(lambda: home.platform, run_id=dg.DagsterInstance.__name__ + str(len(instance.get_runs())))
    try:
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=home.key, raise_on_error=False, resources={"partition_runs": held},
            run_config=QUIET, **more,
        )  # fmt: skip
    finally:
        held.close()


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    found = [event.materialization for event in result.get_asset_materialization_events()]
    return {one.asset_key.to_user_string(): one for one in found}


def versions(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {name: (one.tags or {})["dagster/data_version"] for name, one in materialised(result).items()}


def test_definitions_load_in_a_bare_environment_and_import_no_heavy_library(repository: Path) -> None:
    code = (
        "import sys; from etl_assets.definitions import defs; defs.resolve_asset_graph(); "
        "print(sorted({'lancedb', 'onnxruntime', 'polars', 'duckdb', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={}, cwd="/", capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr[-2000:]


def test_every_asset_says_who_owns_it_what_it_is_and_when_it_is_fresh() -> None:
    graph = defs.resolve_asset_graph()
    assert set(graph.get_all_asset_keys()) == {*DOCUMENT_ASSETS, REPAIRED_INDEXES, BACKUPS, COLLECTION_REPORTS}
    for key in DOCUMENT_ASSETS:
        node = graph.get(key)
        assert node.owners and node.kinds and node.description and node.code_version and node.tags["domain"], key
        assert node.freshness_policy is not None and node.partitions_def is not None, key
    names = {key.name for key in graph.asset_check_keys}
    assert names == {check.name for check in CHECKS} | {"citations_of_sampled_searches_verify"}


def test_published_documents_rest_on_every_store_and_every_store_on_its_stage() -> None:
    graph = defs.resolve_asset_graph()
    parents = {
        key.to_user_string(): {p.to_user_string() for p in graph.get(key).parent_keys} for key in DOCUMENT_ASSETS
    }
    assert parents["pages"] == {"raw_documents"} and parents["chunks"] == {"pages"}
    assert parents["embeddings"] == {"chunks"} and parents["mentions"] == {"pages", "chunks", "knowledge"}
    assert "embeddings" in parents["vector_index"] and "chunks" in parents["keyword_index"]
    assert "mentions" in parents["knowledge_graph"]
    assert parents["published_documents"] == {"vector_index", "keyword_index", "knowledge_graph"}


def test_a_run_leaves_counts_columns_versions_and_checks(first: FirstRun) -> None:
    home, result = first.home, first.result
    assert result.success
    made = materialised(result)
    assert list(made) and {one.partition for one in made.values()} == {home.key} == {KEY}
    chunks = made["chunks"].metadata
    assert chunks["documents"].value == 3 and chunks["dagster/row_count"].value >= 3
    assert chunks["quarantined"].value == 0 and chunks["seconds"].value >= 0
    columns = [column.name for column in chunks["dagster/column_schema"].schema.columns]
    assert columns[0] == "document_id" and {"chunk_id", "page", "start", "end", "text"} < set(columns)
    assert chunks["dagster/uri"].value.startswith("lake/chunks/acme/reports/")
    assert made["published_documents"].metadata["published"].value == 3
    assert made["raw_documents"].metadata["added"].value == 3
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert len(checks) == len(CHECKS) - len(WHOLE_READS) + 1 and all(one.passed for one in checks.values())
    assert {one.partition for one in checks.values()} == {home.key}
    assert checks["citations_of_sampled_searches_verify"].metadata["searches"].value >= 1
    (row,) = runs.last_runs(home.platform.ledger).values()
    assert row.state == "succeeded" and set(row.report) >= {"raw_documents", "pages", "published_documents"}


def test_a_second_run_computes_nothing_and_its_data_versions_are_the_same(
    first: FirstRun, instance: dg.DagsterInstance
) -> None:
    home, before = first.home, first.home.computed()
    second = execute(home, instance)
    assert second.success and versions(second) == versions(first.result) and home.computed() == before
    assert materialised(second)["published_documents"].metadata["published"].value == 0
    checks = {one.check_name: one for one in second.get_asset_check_evaluations()}
    assert checks["every_vector_is_whole"].metadata["documents"].value == 0
    assert checks["citations_of_sampled_searches_verify"].metadata["searches"].value == 0


def test_a_change_gives_new_data_versions_just_as_far_as_it_goes(ran: SmallHome, instance: dg.DagsterInstance) -> None:
    home, first = ran, versions(execute(ran, instance))
    home.write("garden.txt", "Roses want  sun and water. CVE-2021-44228 is no rose, and 10.20.30.40 is no garden.\n")
    home.remove("panda.md")
    second = versions(execute(home, instance))
    assert all(first[name] != second[name] for name in first)
    home.write("garden.txt", SmallHome.__doc__ or "", collection="acme/other")
    assert versions(execute(home, instance)) == second, "another collection is another partition"


def test_a_blocking_check_that_fails_stops_the_run_before_anything_is_published(
    home: SmallHome, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl_assets.documents.partition_run import PartitionRun

    whole = PartitionRun.pages

    def lossy(run: PartitionRun) -> Any:
        report = whole(run)
        x = schema.outputs
        with home.platform.ledger.writing() as connection:
            connection.execute(delete(x).where(x.c.document_id == home.document_id("bear.txt")))
        return report

    monkeypatch.setattr(PartitionRun, "pages", lossy)
    result = execute(home, instance)
    assert not result.success and set(materialised(result)) == {"raw_documents", "pages"}
    assert home.published() == {}
    (row,) = runs.last_runs(home.platform.ledger).values()
    assert row.state == "failed" and "every_document_has_pages_or_a_reason" in row.report["error"]
    monkeypatch.undo()
    assert execute(home, instance).success and len(home.published()) == 3


def test_verifying_stores_a_result_for_each_check_and_fails_when_one_does(ran: SmallHome) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(DOCUMENT_SHARDS, [KEY])
        verify_and_break(ran, instance)


def verify_and_break(home: SmallHome, instance: dg.DagsterInstance) -> None:
    assert execute(home, instance, VERIFY_JOB).success
    (space,) = home.platform.stores.keyword.spaces()
    home.platform.stores.keyword.drop(space)
    broken = execute(home, instance, VERIFY_JOB)
    (failure,) = [event for event in broken.all_events if event.is_step_failure]
    assert "keyword_index_equals_the_ledger: garden.txt: " in str(failure.event_specific_data)
    key = dg.AssetCheckKey(dg.AssetKey("keyword_index"), "keyword_index_equals_the_ledger")
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    results = [one.event.dagster_event.asset_check_evaluation_data for one in history if one.event]  # type: ignore[union-attr]
    assert [one.passed for one in results] == [False, True]
    assert {one.partition for one in results} == {home.key} and results[0].metadata["missing"].value >= 3


def check_alone(home: SmallHome, instance: dg.DagsterInstance, **more: Any) -> dg.ExecuteInProcessResult:
    held = PartitionRuns(lambda: home.platform, run_id="alone")
    names = {"every_chunk_reproduces_its_text", "citations_of_sampled_searches_verify"}
    checks = [one for one in defs.asset_checks or () if names & {key.name for key in one.check_keys}]
    try:
        return dg.materialize(
            [*checks], selection=dg.AssetSelection.all_asset_checks(), instance=instance, raise_on_error=False,
            resources={"partition_runs": held}, run_config=QUIET, **more,
        )  # fmt: skip
    finally:
        held.close()


def test_a_check_executed_alone_reads_everything(ran: SmallHome, instance: dg.DagsterInstance) -> None:
    result = check_alone(ran, instance, tags={"dagster/partition": KEY})
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert all(one.passed and one.partition == KEY for one in found.values())
    assert found["every_chunk_reproduces_its_text"].metadata["documents"].value == 3
    assert found["citations_of_sampled_searches_verify"].metadata["searches"].value >= 3


def test_a_check_executed_without_a_partition_says_what_to_do(home: SmallHome, instance: dg.DagsterInstance) -> None:
    failed = [event for event in check_alone(home, instance).all_events if event.is_step_failure]
    assert failed and all("run the job verify_documents" in str(one.event_specific_data) for one in failed)


def test_a_partition_that_somebody_works_on_is_left_to_them(home: SmallHome) -> None:
    from etl_assets.ledger.leases import acquire

    held = PartitionRuns(lambda: home.platform, run_id="late", wait_s=0.0)
    lease = acquire(home.platform.ledger, home.key, holder="somebody")
    try:
        with pytest.raises(Exception, match="is being worked on by somebody"), held.step(home.key) as run:
            run.raw_documents()
    finally:
        lease.release()
        held.close()


def test_the_home_is_opened_from_the_environment_when_a_run_starts(
    home: SmallHome, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in home.settings.as_environment().items():
        monkeypatch.setenv(name, value)
    job = defs.resolve_job_def(INGEST_JOB)
    result = job.execute_in_process(
        instance=instance, partition_key=home.key, run_config=QUIET, asset_selection=[dg.AssetKey("raw_documents")]
    )
    assert result.success and materialised(result)["raw_documents"].metadata["documents"].value == 3
    monkeypatch.setenv("ETL_LEASE_S", "soon")
    failed = job.execute_in_process(
        instance=instance, partition_key=home.key, run_config=QUIET, raise_on_error=False,
        asset_selection=[dg.AssetKey("raw_documents")],
    )  # fmt: skip
    (failure,) = [event for event in failed.all_events if event.is_step_failure]
    assert "ETL_LEASE_S='soon'" in str(failure.event_specific_data)


def test_progress_is_logged_at_most_every_five_seconds_and_at_the_end() -> None:
    lines: list[str] = []
    now = [100.0]
    log = ProgressLog(lines.append, clock=lambda: now[0])
    for done in range(1, 101):
        now[0] += 1.0
        log(Progress("acme.reports.00-of-01", "chunks", done, 100, done * 10, float(done)))
    assert len(lines) == 20
    assert lines[0] == "chunks: 5 of 100 documents, 50 rows, 10.0 rows/s, about 95 s left"
    assert lines[-1] == "chunks: 100 of 100 documents, 1,000 rows, 10.0 rows/s"
    assert progress_line(Progress("p", "pages", 0, 5, 0, 0.0)) == "pages: 0 of 5 documents, 0 rows, 0.0 rows/s"


def test_owners_of_a_collection_are_shown(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    home = SmallHome.ran(tmp_path / "owned", {}, collections=STATIC + "  owners: [team:research]\n")
    assert materialised(execute(home, instance))["raw_documents"].metadata["owners"].value == "team:research"


def test_another_index_is_begun_compared_and_promoted_by_jobs(ran: SmallHome, instance: dg.DagsterInstance) -> None:
    from etl_assets.documents import jobs

    home = ran
    runs_of = PartitionRuns(lambda: home.platform, run_id="jobs")
    settings = {"chunking.mode": "fixed", "chunking.size": "40", "chunking.overlap": "0"}

    def start(job: dg.JobDefinition, op: str, **config: object) -> dg.ExecuteInProcessResult:
        chosen = {"collection": "acme/reports", **config}
        return job.execute_in_process(
            instance=instance, resources={"partition_runs": runs_of}, run_config={"ops": {op: {"config": chosen}}},
            raise_on_error=False,
        )  # fmt: skip

    assert start(jobs.generation_build, "begin_generation", settings=settings).success
    refused = start(jobs.generation_promote, "promote_generation")
    assert not refused.success, "nothing is built yet"
    execute(home, instance)
    assert start(jobs.generation_compare, "compare_generations").success
    assert start(jobs.generation_promote, "promote_generation").success
    records = instance.fetch_observations(dg.AssetKey("published_documents"), limit=10).records
    seen = [record.asset_observation.metadata["index_generations"].value for record in records]  # type: ignore[union-attr]
    assert [(one["passed"], one["promoted_at"] is None) for one in seen] == [
        (True, False), (True, True), (False, True),
    ]  # fmt: skip
