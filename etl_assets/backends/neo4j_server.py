"""A Neo4j server: its schema, whose data it holds, its retries, and its failures as our errors.

What a graph means in Cypher is in ``neo4j_graph.py``, how the server is reached in ``neo4j_driver.py``.
"""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from etl_assets.backends.circuit import CircuitBreaker, Unavailable
from etl_assets.backends.neo4j_driver import Neo4jAccess, Neo4jDrivers
from etl_assets.backends.neo4j_relations import FILL_IN as RELATIONS_FILL_IN
from etl_assets.backends.neo4j_relations import SCHEMA as RELATIONS_SCHEMA
from etl_assets.backends.ownership import Installation, foreign
from etl_assets.errors import ConfigError, PermanentError, TransientError

if TYPE_CHECKING:
    from neo4j import BookmarkManager, Driver, ManagedTransaction, Session

T = TypeVar("T")

SCHEMA_VERSION = 3
"""Version of the constraints and indexes below, kept in the node ``(:EtlAssetsSchema {name: 'graph'})``.

1 had no relations between entities: such a database gets their indexes, and the next run publishes what they serve. In
2 edges did not say which entities they have, by which the newest of an entity are found: that is filled in.
"""

SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")

OLDEST_SERVER = 5
"""The first Neo4j major version that is served."""

# Community Edition has no node keys and no existence constraints: uniqueness of one digest over all the parts of an
# identity says the same. Every name indexed is a digest too, since a range index refuses values beyond 8 kB.
SCHEMA = (
    "CREATE CONSTRAINT etl_entity_key IF NOT EXISTS FOR (e:Entity) REQUIRE e.key IS UNIQUE",
    "CREATE CONSTRAINT etl_document_key IF NOT EXISTS FOR (d:Document) REQUIRE d.key IS UNIQUE",
    "CREATE CONSTRAINT etl_schema_name IF NOT EXISTS FOR (s:EtlAssetsSchema) REQUIRE s.name IS UNIQUE",
    "CREATE INDEX etl_document_publication IF NOT EXISTS FOR (d:Document) ON (d.publication)",
    "CREATE INDEX etl_document_place IF NOT EXISTS FOR (d:Document) ON (d.place, d.key)",
    "CREATE INDEX etl_entity_tenant IF NOT EXISTS FOR (e:Entity) ON (e.tenant)",
    "CREATE INDEX etl_entity_folded IF NOT EXISTS FOR (e:Entity) ON (e.folded)",
    "CREATE INDEX etl_mention_entity IF NOT EXISTS FOR ()-[m:MENTIONS]-() ON (m.entity, m.publication)",
    "CREATE INDEX etl_mention_folded IF NOT EXISTS FOR ()-[m:MENTIONS]-() ON (m.folded)",
    *RELATIONS_SCHEMA,
)
_FILL_IN = (
    "MATCH (e:Entity)<-[m:MENTIONS]-() WHERE m.entity IS NULL "
    "CALL { WITH m, e SET m.entity = e.key } IN TRANSACTIONS OF 10000 ROWS",
    *RELATIONS_FILL_IN,
)
_SCHEMA_VERSION = "MATCH (s:EtlAssetsSchema {name: 'graph'}) RETURN s.version"
_SET_SCHEMA_VERSION = "MERGE (s:EtlAssetsSchema {name: 'graph'}) SET s.version = $version"
# Made by whoever comes first, which the constraint on names decides.
_CLAIM = "MERGE (s:EtlAssetsSchema {name: 'installation'}) ON CREATE SET s.installation = $id RETURN s.installation"
_INDEX_STATES = "SHOW INDEXES YIELD name, state WHERE name STARTS WITH 'etl_' RETURN name, state"

CONFLICT_ATTEMPTS = 8
"""How often a transaction that met another one is run; each time after a longer random pause."""

LONGEST_PAUSE_S = 2.0

_CONFLICTS = frozenset(
    {
        # MERGE beside MERGE of one key: Neo4j makes one wait, ArcadeDB refuses one.
        "Neo.ClientError.Schema.ConstraintValidationFailed",
        # An entity that a removal deleted between our match and our edge.
        "Neo.ClientError.Statement.EntityNotFound",
    }
)
_EXHAUSTED = frozenset(
    {
        "Neo.ClientError.Transaction.TransactionTimedOut",
        "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
        "Neo.ClientError.Transaction.LockClientStopped",
        "Neo.ClientError.Transaction.TransactionNotFound",
        # For seconds after three refused logins, whoever made them, the right password is refused too.
        "Neo.ClientError.Security.AuthenticationRateLimit",
    }
)


class OvertakenError(Exception):
    """Raised inside a transaction that another one has undermined: it is rolled back and run again."""


class Neo4jServer:
    """Managed transactions on one database. Opened by the first call; threads share it, a forked child opens its own.

    Reads see the writes that this process made through the same instance, in a cluster too (bookmarks). Before the
    first write the database is marked as that of ``installation``; without one its mark is not looked at.
    """

    def __init__(
        self, access: Neo4jAccess, breaker: CircuitBreaker | None = None, installation: Installation | None = None
    ) -> None:
        self._breaker = breaker or CircuitBreaker("Neo4j")
        parts = urlsplit(access.uri)
        has_credentials = parts.username is not None or parts.password is not None
        if parts.scheme not in SCHEMES or not parts.hostname or has_credentials:
            raise ConfigError(
                f"NEO4J_URI must have one of the schemes {', '.join(SCHEMES)}, name a host and no credentials, for "
                "example neo4j://graph.example:7687; user and password have settings of their own"
            )
        self._access = access
        self._drivers = Neo4jDrivers(access)
        self._installation = installation
        self._name = f"knowledge graph at {parts.scheme}://{parts.hostname}:{parts.port or 7687}"
        self._has_schema = False
        self._is_current = False

    def close(self) -> None:
        """Close the connections. The server may be used again afterwards."""
        self._drivers.close()

    def read(self, work: "Callable[[ManagedTransaction], T]") -> T:
        """What ``work`` returns, in one read transaction; it may be run several times.

        Raises:
            TransientError: the server could not be reached or did not answer in time.
            PermanentError: it refused: credentials, rights, a database that does not exist, a statement.
        """
        timed = self._timed(work)
        return self._attempted(lambda session: session.execute_read(timed))

    def write(self, work: "Callable[[ManagedTransaction], T]") -> T:
        """As ``read``, in a transaction that commits whole or not at all. ``work`` must give the same if repeated.

        Raises:
            ConfigError: the database belongs to another installation.
        """
        self._require_schema()
        timed = self._timed(work)
        return self._attempted(lambda session: session.execute_write(timed))

    def version(self) -> str:
        """Product and version that the server reports, such as ``Neo4j/5.26.30``.

        Raises:
            PermanentError: it is older than OLDEST_SERVER, or as for ``read``.
        """

        agent = self._attempted(
            lambda session: session.execute_read(lambda tx: str(tx.run("RETURN 1").consume().server.agent))
        )
        major = agent.partition("/")[2].split(".")[0]
        if major.isdigit() and int(major) < OLDEST_SERVER:
            raise PermanentError(f"{self._name} is {agent}: Neo4j {OLDEST_SERVER} or newer is needed")
        return agent

    def migrate(self) -> None:
        """Make the constraints and indexes that are missing, wait until they serve, and mark whose it is. Idempotent.

        Raises:
            ConfigError: it belongs to another installation.
            PermanentError: a newer release made the schema, the server is too old, or as for ``read``.
        """
        self.version()
        held = self._schema_version()
        if held is None or held < SCHEMA_VERSION:
            for statement in (*SCHEMA, *(() if held is None else _FILL_IN)):
                self._alter(statement)
            self._wait_for_indexes()
            self._attempted(
                lambda session: session.execute_write(
                    lambda tx: tx.run(_SET_SCHEMA_VERSION, version=SCHEMA_VERSION).consume()
                )
            )
        self._claim()
        self._has_schema = True

    def bring_up_to_date(self) -> None:
        """As ``migrate``, where an older release made the schema, before a walk by what that one did not have."""
        if not self._has_schema and not self._is_current:
            version = self._schema_version()
            if version is not None and version < SCHEMA_VERSION:
                self.migrate()
            self._is_current = True

    def _claim(self) -> None:
        if self._installation is None:
            return
        mine = self._installation()
        held = self._attempted(
            lambda session: session.execute_write(lambda tx: str(tx.run(_CLAIM, id=mine).single(strict=True)[0]))
        )
        if held != mine:
            raise foreign(self._name, "set NEO4J_URI or NEO4J_DATABASE to a database that no other installation uses")

    def _require_schema(self) -> None:
        # MERGE without its constraint would make one entity twice.
        if not self._has_schema:
            self.migrate()

    def _schema_version(self) -> int | None:
        def ask(tx: "ManagedTransaction") -> int | None:
            record = tx.run(_SCHEMA_VERSION).single()
            return None if record is None else int(record[0])

        version = self._attempted(lambda session: session.execute_read(ask))
        if version is not None and version > SCHEMA_VERSION:
            raise PermanentError(
                f"{self._name} has schema version {version}, and this release knows versions up to "
                f"{SCHEMA_VERSION}: install the newer etl-assets"
            )
        return version

    def _alter(self, statement: str) -> None:
        self._attempted(lambda session: session.run(statement).consume(), schema=True)

    def _wait_for_indexes(self) -> None:
        limit = time.monotonic() + self._access.query_limit_s
        while True:
            states = self._attempted(lambda session: {str(r[0]): str(r[1]) for r in session.run(_INDEX_STATES)})
            if failed := sorted(name for name, state in states.items() if state == "FAILED"):
                raise PermanentError(f"{self._name}: index {', '.join(failed)} could not be built; drop it and migrate")
            if all(state == "ONLINE" for state in states.values()):
                return
            if time.monotonic() > limit:
                raise TransientError(
                    f"{self._name}: its indexes were not built within {self._access.query_limit_s:g} s; migrate again"
                )
            time.sleep(0.2)

    def _timed(self, work: "Callable[[ManagedTransaction], T]") -> "Callable[[ManagedTransaction], T]":
        from neo4j import unit_of_work

        return unit_of_work(timeout=self._access.query_limit_s, metadata={"app": "etl-assets"})(work)

    def _attempted(self, call: "Callable[[Session], T]", *, schema: bool = False) -> T:
        """One operation, as the circuit counts them; see ``_settled``."""
        with self._breaker.operation():
            return self._settled(call, schema=schema)

    def _settled(self, call: "Callable[[Session], T]", *, schema: bool) -> T:
        """``call`` with an open session, again after conflicts. The driver retries deadlocks and lost connections.

        ``schema``: a statement outside managed transactions, where two processes that migrate at once may deadlock, or
        find that the other was first.
        """
        from neo4j.exceptions import DriverError, IncompleteCommit, Neo4jError
        from neo4j.exceptions import TransientError as ServerTransient

        for attempt in range(1, CONFLICT_ATTEMPTS + 1):
            try:
                return self._once(call)
            except (Neo4jError, DriverError, OvertakenError, UnicodeEncodeError) as e:
                code = getattr(e, "code", None) or ""
                again = (
                    code in _CONFLICTS
                    or isinstance(e, IncompleteCommit | OvertakenError)
                    or (schema and (isinstance(e, ServerTransient) or "AlreadyExists" in code))
                )
                if not again or attempt == CONFLICT_ATTEMPTS:
                    raise self._failure(e) from e
            time.sleep(random.uniform(0, min(0.02 * 2**attempt, LONGEST_PAUSE_S)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, call: "Callable[[Session], T]") -> T:
        """``call`` in a session of its own; once more with another password, if there is one, when it is refused."""
        from neo4j.exceptions import AuthError

        driver, bookmarks = self._drivers.opened()
        try:
            return self._in_session(call, driver, bookmarks)
        except AuthError:
            if not self._drivers.renew(driver):
                raise
        return self._in_session(call, *self._drivers.opened())

    def _in_session(self, call: "Callable[[Session], T]", driver: "Driver", bookmarks: "BookmarkManager") -> T:
        with driver.session(database=self._access.database, bookmark_manager=bookmarks) as session:
            return call(session)

    def _failure(self, error: Exception) -> PermanentError | TransientError:
        """Our error for the driver's. Its text comes from the server and never holds a credential."""
        from neo4j.exceptions import (
            AuthError,
            ConfigurationError,
            ConnectionPoolError,
            Forbidden,
            ServiceUnavailable,
            SessionExpired,
        )
        from neo4j.exceptions import TransientError as ServerTransient

        text = _first_line(error)
        if isinstance(error, AuthError):
            source = self._drivers.password.source
            return PermanentError(f"{self._name} refused the credentials ({text}); check NEO4J_USER and {source}")
        if isinstance(error, Forbidden):
            return PermanentError(f"{self._name}: user {self._access.user} has no right to do this ({text})")
        if isinstance(error, ConfigurationError):
            return PermanentError(f"{self._name} cannot be used as configured ({text}); check NEO4J_URI")
        code = getattr(error, "code", None) or ""
        passing = (ServiceUnavailable, SessionExpired, ConnectionPoolError, ServerTransient, OvertakenError)
        if isinstance(error, passing) or code in _CONFLICTS | _EXHAUSTED:
            return Unavailable(f"{self._name} did not serve the call ({text}); it may later")
        return PermanentError(f"{self._name} refused the call ({text})")


def _first_line(error: Exception) -> str:
    message = getattr(error, "message", None)
    text = str(message) if message else str(error)
    code = getattr(error, "code", None)
    line = text.strip().splitlines()[0][:300] if text.strip() else type(error).__name__
    return f"{code}: {line}" if code else line
