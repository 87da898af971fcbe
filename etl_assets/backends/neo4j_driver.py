"""How a Neo4j server is reached: its driver, one for each process, made anew with another password when it is refused.

Driver 6: neo4j.com/docs/python-manual/current.
"""

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.backends.credentials import credential_of
from etl_assets.protocols.secrets import Credential

if TYPE_CHECKING:
    from neo4j import BookmarkManager, Driver


@dataclass(frozen=True, slots=True)
class Neo4jAccess:
    """Where the server is and how long anything may take, in seconds. ``password`` never appears in a ``repr``.

    ``uri`` has one of the schemes of Bolt; ``database`` None is the server's default. ``retry_time_s`` bounds how long
    one call goes on after lost connections, deadlocks and changes of leader; ``query_limit_s`` is the server's limit
    for one transaction.
    """

    uri: str
    user: str
    password: str | Credential = field(repr=False)
    database: str | None = None
    connect_timeout_s: float = 10.0
    acquire_timeout_s: float = 30.0
    retry_time_s: float = 30.0
    query_limit_s: float = 60.0
    pool_size: int = 32


class Neo4jDrivers:
    """The driver in use, opened when it is first asked for. Threads share it, a forked child opens its own."""

    def __init__(self, access: Neo4jAccess) -> None:
        self.password = credential_of(access.password, source="NEO4J_PASSWORD")
        self._access = access
        self._lock = threading.Lock()
        self._driver: Driver | None = None
        self._sent = ""
        self._former: list[Driver] = []
        self._bookmarks: BookmarkManager | None = None
        self._owner = 0

    def close(self) -> None:
        """Close the connections. The next call opens them again."""
        with self._lock:
            drivers = [*self._former, *([self._driver] if self._driver is not None else [])]
            self._driver, self._former = None, []
        if self._owner == os.getpid():
            for driver in drivers:
                driver.close()

    def opened(self) -> "tuple[Driver, BookmarkManager]":
        """The driver, and what lets reads see this process's writes; raises as ``Secrets.get``."""
        from neo4j import GraphDatabase

        with self._lock:
            if self._driver is None or self._bookmarks is None or self._owner != os.getpid():
                # Sockets carried across a fork are the parent's: neither used nor closed here.
                _INHERITED.extend([*self._former, *([self._driver] if self._driver is not None else [])])
                self._former = []
                self._sent = self.password.value()
                self._driver = self._made(self._sent)
                self._bookmarks = GraphDatabase.bookmark_manager()
                self._owner = os.getpid()
            return self._driver, self._bookmarks

    def renew(self, refused: "Driver") -> bool:
        """Whether there is a driver with another password than ``refused`` had; raises as ``Secrets.get``.

        Of many threads whose connections are refused the first one asks for the password. The former driver stays
        open until ``close``: what others are doing with it goes on.
        """
        with self._lock:
            if self._driver is not refused:
                return True
            password = self.password.renewed(self._sent)
            if password is None:
                return False
            self._former.append(refused)
            self._sent, self._driver = password, self._made(password)
            return True

    def _made(self, password: str) -> "Driver":
        from neo4j import GraphDatabase

        access = self._access
        _quieten()
        return GraphDatabase.driver(
            access.uri,
            auth=(access.user, password),
            connection_timeout=access.connect_timeout_s,
            connection_acquisition_timeout=access.acquire_timeout_s,
            max_transaction_retry_time=access.retry_time_s,
            # A deadlock passes in milliseconds: the driver's own first pause of a second would be most of the time
            # that six writers spend.
            initial_retry_delay=0.05,
            retry_delay_jitter_factor=0.5,
            max_connection_pool_size=access.pool_size,
            # A pooled connection that slept is tried before it is used: a restarted server has dropped it.
            liveness_check_timeout=1.0,
            # The server's advice about statements is for us, not for the user's log.
            notifications_min_severity="OFF",
            user_agent="etl-assets",
        )


_INHERITED: "list[Driver]" = []


def _quieten() -> None:
    """Keep the driver's word on each retry off the terminal: what fails in the end is raised, and told once.

    A level that somebody has set stays.
    """
    log = logging.getLogger("neo4j")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
