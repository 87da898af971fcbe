"""Neo4j Community, from its jars: the main graph server. There is no other edition of its features to fall back on."""

from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import is_cached, jars, java
from etl_assets_tests.servers.processes import ports

VERSION = "5.26.30"
PASSWORD = "test-password"
_OPENS = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
_FOLDERS = ("conf", "data", "logs", "run", "plugins", "import", "licenses")


def _install() -> Path:
    return jars("neo4j", VERSION, f"org.neo4j:neo4j:{VERSION}", f"org.neo4j.app:neo4j-server:{VERSION}")


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "bolt")["bolt"]
    for name in _FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    settings = {
        "server.default_listen_address": "127.0.0.1", "server.bolt.listen_address": f"127.0.0.1:{port}",
        "server.bolt.advertised_address": f"127.0.0.1:{port}", "server.http.enabled": "false",
        "server.https.enabled": "false", "server.memory.pagecache.size": "128m", "dbms.usage_report.enabled": "false",
        "client.allow_telemetry": "false",
    }  # fmt: skip
    (folder / "conf" / "neo4j.conf").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = [str(java()), "-Xms256m", "-Xmx768m"]
    command += [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENS]
    command += ["-Dio.netty.tryReflectionSetAccessible=true", "-cp", f"{_install()}/*"]
    command += ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={folder}", f"--config-dir={folder / 'conf'}"]
    uri = f"bolt://127.0.0.1:{port}"
    process = kept(folder, command, lambda: _ready(uri), limit_s=180, grace_s=20, remove=remove)
    return process, {"ETL_TEST_NEO4J_URI": uri, "ETL_TEST_NEO4J_USER": "neo4j", "ETL_TEST_NEO4J_PASSWORD": PASSWORD}


def _ready(uri: str) -> None:
    """The first password must be changed before anything else is allowed; then a node is written and removed."""
    from neo4j import GraphDatabase
    from neo4j.exceptions import AuthError

    def ask(password: str, database: str, query: str) -> None:
        with GraphDatabase.driver(
            uri, auth=("neo4j", password), connection_timeout=5, max_transaction_retry_time=0
        ) as driver:
            driver.execute_query(query, database_=database)

    write = "CREATE (n:Ready) DELETE n"
    try:
        ask(PASSWORD, "neo4j", write)
    except AuthError:
        ask("neo4j", "system", f"ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO '{PASSWORD}'")
        ask(PASSWORD, "neo4j", write)


RECIPE = Recipe(
    "neo4j", VERSION, ("ETL_TEST_NEO4J_URI", "ETL_TEST_NEO4J_USER", "ETL_TEST_NEO4J_PASSWORD"), _install,
    lambda: is_cached("neo4j", VERSION), _run,
)  # fmt: skip
