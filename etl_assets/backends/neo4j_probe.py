"""Looking at a Neo4j without changing its schema: what it is, what it holds, whether it may be written."""

from typing import TYPE_CHECKING
from uuid import uuid4

from etl_assets.backends.neo4j_server import OLDEST_SERVER, SCHEMA_VERSION, Neo4jServer
from etl_assets.backends.ownership import judge_mark
from etl_assets.errors import ConfigError
from etl_assets.protocols.probes import Finding

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

_STATED = "MATCH (s:EtlAssetsSchema {name: 'graph'}) RETURN s.version"
_MARK = "MATCH (s:EtlAssetsSchema {name: 'installation'}) RETURN s.installation"
_MADE = "CREATE (p:EtlAssetsProbe {name: $name}) RETURN p.name"
_REMOVED = "MATCH (p:EtlAssetsProbe {name: $name}) DELETE p"


class ProbedNeo4j(Neo4jServer):
    """A server to look at; ``write`` and ``migrate`` of it are as ever."""

    def probe(self, found: Finding, installation: str | None) -> None:
        """Version, latency, schema, whose it is, and the right to write: a node made and removed in one transaction.

        ``installation`` is the id of this one, as for ``judge_mark``.
        """
        found.version = self.version()
        found.limits["oldest version"] = str(OLDEST_SERVER)
        found.time(lambda: self.read(lambda tx: tx.run("RETURN 1").consume()))
        stated = self.stated_schema()
        if stated is None:
            found.notes.append("no constraints yet: `etl-assets migrate` makes them, and so does the first sync")
        elif stated > SCHEMA_VERSION:
            found.problems.append(str(newer_graph(stated)))
        else:
            found.notes.append(f"schema {stated}")
        judge_mark(found, "the database", self._mark(), installation)
        found.attempt("write and delete", self._write_and_remove)

    def stated_schema(self) -> int | None:
        """The version of the schema there, whichever it is; ``None`` where there is none. Raises as ``read``."""

        def ask(tx: "ManagedTransaction") -> int | None:
            # The label may not be there yet, which the server has advice about and no error.
            record = tx.run(_STATED).single()
            return None if record is None else int(record[0])

        return self.read(ask)

    def _mark(self) -> str | None:
        def ask(tx: "ManagedTransaction") -> str | None:
            record = tx.run(_MARK).single()
            return None if record is None else str(record[0])

        return self.read(ask)

    def _write_and_remove(self) -> None:
        name = uuid4().hex

        def work(tx: "ManagedTransaction") -> None:
            tx.run(_MADE, name=name).consume()
            tx.run(_REMOVED, name=name).consume()

        self._attempted(lambda session: session.execute_write(work))


def newer_graph(version: int) -> ConfigError:
    """What to say of a graph that a newer program has written."""
    return ConfigError(
        f"the graph has schema {version}, this program knows {SCHEMA_VERSION}: use the newer etl-assets that wrote it"
    )
