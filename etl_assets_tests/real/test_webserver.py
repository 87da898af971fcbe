"""The whole of it: a real webserver and daemon on a home, driven over GraphQL and by dropping a file."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from etl_assets.asset_keys import INGEST_JOB
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets_tests.small_homes import SmallHome

DEADLINE_S = 240.0
COLLECTIONS = """
defaults:
  embedder: {kind: static}
collections:
  acme/reports: {shards: 4}
"""

SERVE = """
import sys
from etl_assets.settings import Settings
from etl_assets.launching import serve
settings = Settings(home_folder=sys.argv[1], search_time_limit_s=0.1, parser_processes=1, arrivals_interval_s=5)
serve(settings, port=0, announce=lambda address: print(address, flush=True))
print("stopped", flush=True)
"""

LOCATION = """query { workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
REPOSITORY = {"repositoryLocationName": "etl_assets", "repositoryName": "__repository__"}
ADD_PARTITION = """mutation($key: String!, $repo: RepositorySelector!) {
    addDynamicPartition(partitionsDefName: "document_shards", partitionKey: $key, repositorySelector: $repo) {
        __typename ... on PythonError { message } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATE = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    __typename ... on PartitionBackfill { status } } }"""
RUNS = """query { runsOrError { ... on Runs { results { runId status tags { key value } } } } }"""
ASSET = """query($key: AssetKeyInput!, $partitions: [String!]) { assetOrError(assetKey: $key) { ... on Asset {
    assetMaterializations(partitions: $partitions, limit: 5) {
        partition tags { key value } metadataEntries { label ... on IntMetadataEntry { intValue }
            ... on TableSchemaMetadataEntry { schema { columns { name } } } } } } } }"""
STATS = """query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) { assetKey { path } owners {
    ... on TeamAssetOwner { team } } kinds
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
        status evaluation { success partition } } } } }
    partitionStats { numMaterialized numFailed numPartitions } } }"""
SENSOR = """query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { status } } } }"""
DAEMONS = """query { instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"""


@dataclass
class Ui:
    """The running UI of a home."""

    home: SmallHome
    address: str
    process: "subprocess.Popen[str]"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as e:
            raise AssertionError(e.read().decode()) from e
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def runs(self) -> dict[str, str]:
        """State of every run of ours by partition, the newest each."""
        found: dict[str, str] = {}
        for run in self.ask(RUNS)["runsOrError"]["results"]:
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            found.setdefault(tags.get("dagster/partition", ""), run["status"])
        return found

    def await_success(self, *partitions: str) -> None:
        def ended() -> bool:
            states = self.runs()
            assert "FAILURE" not in states.values(), (states, self.logs())
            return all(states.get(key) == "SUCCESS" for key in partitions)

        self.eventually(ended, f"success of {partitions}")

    def backfill_is_over(self, backfill: str) -> bool:
        state = self.ask(BACKFILL_STATE, id=backfill)["partitionBackfillOrError"]["status"]
        return str(state).startswith("COMPLETED")

    def eventually(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.process.poll() is None, f"the UI ended: {self.logs()}"
            assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S:.0f} s: {self.logs()}"
            time.sleep(0.25)

    def logs(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in self.home.settings.home.logs.glob("*.log"))

    def materialization(self, asset: str, partition: str) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """(metadata, tags) of the newest one."""
        answer = self.ask(ASSET, key={"path": [asset]}, partitions=[partition])
        newest = answer["assetOrError"]["assetMaterializations"][0]
        entries = {one["label"]: one.get("intValue", one.get("schema")) for one in newest["metadataEntries"]}
        return entries, {tag["key"]: tag["value"] for tag in newest["tags"]}


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[Ui]:
    home = SmallHome.at(tmp_path / "home", {}, collections=COLLECTIONS)
    (home.settings.home.objects / "acme" / "reports").mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(home.settings.home.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, "the UI did not start"
        yield Ui(home, address, process)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "stopped\n"
        assert process.wait() == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def test_people_and_files_start_runs_and_the_ui_shows_what_they_did(ui: Ui) -> None:
    located = ui.ask(LOCATION)["workspaceOrError"]["locationEntries"]
    assert [one["locationOrLoadError"]["__typename"] for one in located] == ["RepositoryLocation"], located
    sensor = ui.ask(SENSOR, selector={**REPOSITORY, "sensorName": "document_arrivals"})
    assert sensor["sensorOrError"]["sensorState"]["status"] == "RUNNING", "nobody has to turn it on"

    keys = [one.key for one in ensure_collection(ui.home.platform.ledger, "acme", "reports", shards=4)]
    for key in keys:
        added = ui.ask(ADD_PARTITION, key=key, repo=REPOSITORY)["addDynamicPartition"]["__typename"]
        assert added in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError")

    # One partition by hand, as the button "Materialize" does, and three as a backfill. All four are empty.
    launched = ui.ask(
        LAUNCH,
        params={
            "selector": {**REPOSITORY, "pipelineName": INGEST_JOB},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": keys[0]}]},
            "runConfigData": {},
        },
    )["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    backfill = ui.ask(
        BACKFILL,
        params={
            "assetSelection": [{"path": [name]} for name in ("raw_documents", "pages", "chunks")],
            "partitionNames": keys[1:],
            "title": "three shards",
        },
    )["launchPartitionBackfill"]
    assert backfill["__typename"] == "LaunchBackfillSuccess", backfill
    # A file is dropped into a collection that nobody has heard of: the sensor does the rest.
    ui.home.write("advisory.txt", "APT28 used CVE-2021-34527 against example.org in 2021.", collection="zeta/mail")
    ui.await_success(*keys, "zeta.mail.00-of-01")
    ui.eventually(lambda: ui.backfill_is_over(backfill["backfillId"]), "the end of the backfill")
    stats = ui.ask(STATS, keys=[{"path": ["chunks"]}])["assetNodes"][0]["partitionStats"]
    assert (stats["numMaterialized"], stats["numFailed"], stats["numPartitions"]) == (5, 0, 5)

    assert set(ui.home.published()) == {"advisory.txt"}
    metadata, tags = ui.materialization("chunks", "zeta.mail.00-of-01")
    assert metadata["documents"] == 1 and metadata["dagster/row_count"] == 1 and metadata["quarantined"] == 0
    assert "text" in [column["name"] for column in metadata["dagster/column_schema"]["columns"]]
    assert tags["dagster/data_version"] and tags["dagster/code_version"]
    assert ui.materialization("published_documents", "zeta.mail.00-of-01")[0]["published"] == 1
    (node,) = ui.ask(STATS, keys=[{"path": ["published_documents"]}])["assetNodes"]
    assert node["owners"] and node["kinds"]
    checks = {one["name"]: one["executionForLatestMaterialization"] for one in node["assetChecksOrError"]["checks"]}
    assert checks.pop("lake_equals_the_ledger") is None, "it reads everything, so a run leaves it to verifications"
    assert set(checks) == {
        "quarantine_share_is_low", "a_built_index_may_answer", "citations_of_sampled_searches_verify",
    }  # fmt: skip
    assert {one["status"] for one in checks.values()} == {"SUCCEEDED"}
    health = ui.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert {one["daemonType"] for one in health if one["required"] and one["healthy"]} >= {"SENSOR", "BACKFILL"}
