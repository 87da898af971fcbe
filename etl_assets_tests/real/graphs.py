"""An emptied Neo4j database for one test at a time: Community Edition has one database for everybody."""

import fcntl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from etl_assets.backends.neo4j_driver import Neo4jAccess


def access_to(variables: Mapping[str, str], **settings: float) -> Neo4jAccess:
    """How the server of these variables is reached."""
    names = ("ETL_TEST_NEO4J_URI", "ETL_TEST_NEO4J_USER", "ETL_TEST_NEO4J_PASSWORD")
    return Neo4jAccess(*(variables[name] for name in names), **settings)  # type: ignore[arg-type]


def empty(access: Neo4jAccess) -> None:
    """Remove every node of ours, and the mark that says whose they are.

    In parts, relationships first: what a benchmark left behind is more than one transaction may hold.
    """
    from neo4j import GraphDatabase

    ours = "n:Document OR n:Entity OR (n:EtlAssetsSchema AND n.name = 'installation')"
    with GraphDatabase.driver(access.uri, auth=(access.user, access.password)) as driver:
        for found in ("MATCH (:Document|Entity)-[n]->()", f"MATCH (n) WHERE {ours}"):
            while driver.execute_query(f"{found} WITH n LIMIT 20000 DELETE n RETURN count(*)").records[0][0]:
                pass


@contextmanager
def alone_with(access: Neo4jAccess) -> Iterator[None]:
    """Nobody else who asks in this way uses the database meanwhile, and it is empty."""
    name = "".join(letter if letter.isalnum() else "-" for letter in access.uri)
    with open(Path(tempfile.gettempdir()) / f"etl-assets-graph-{name}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        empty(access)
        yield
