"""ArcadeDB over Bolt: a second opinion on retries. Its concurrent MERGE may raise where Neo4j waits."""

from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import is_cached, wheels
from etl_assets_tests.servers.processes import ports

VERSION = "26.10.2"
PASSWORD = "test-password"


def _install() -> Path:
    return wheels("arcadedb", VERSION, f"arcadedb-embedded=={VERSION}") / "arcadedb_embedded"


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "bolt", "http")
    package = _install()
    java = package / "jre" / "bin" / "java"
    java.chmod(0o755)
    settings = {
        "server.rootPath": folder, "server.databaseDirectory": folder / "databases",
        "server.rootPassword": "playwithdata", "server.mode": "development",
        "server.httpIncomingHost": "127.0.0.1", "server.httpIncomingPort": port["http"],
        "server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin", "bolt.host": "127.0.0.1",
        "bolt.port": port["bolt"], "server.defaultDatabases": f"neo4j[neo4j:{PASSWORD}:admin]",
    }  # fmt: skip
    command = [str(java), "-Xms256m", "-Xmx1g", "--add-modules", "jdk.incubator.vector"]
    command += ["--enable-native-access=ALL-UNNAMED", "--add-opens", "java.base/java.nio=ALL-UNNAMED"]
    command += ["-cp", f"{package}/jars/*", *(f"-Darcadedb.{name}={value}" for name, value in settings.items())]
    uri = f"bolt://127.0.0.1:{port['bolt']}"
    process = kept(
        folder, [*command, "com.arcadedb.server.ArcadeDBServer"], lambda: _ready(uri), limit_s=120, remove=remove
    )
    return process, {
        "ETL_TEST_ARCADEDB_URI": uri, "ETL_TEST_ARCADEDB_USER": "neo4j", "ETL_TEST_ARCADEDB_PASSWORD": PASSWORD,
    }  # fmt: skip


def _ready(uri: str) -> None:
    from neo4j import GraphDatabase

    with GraphDatabase.driver(
        uri, auth=("neo4j", PASSWORD), connection_timeout=5, max_transaction_retry_time=0
    ) as driver:
        driver.execute_query("CREATE (n:Ready) DELETE n", database_="neo4j")


RECIPE = Recipe(
    "arcadedb", VERSION, ("ETL_TEST_ARCADEDB_URI", "ETL_TEST_ARCADEDB_USER", "ETL_TEST_ARCADEDB_PASSWORD"), _install,
    lambda: is_cached("arcadedb", VERSION), _run,
)  # fmt: skip
