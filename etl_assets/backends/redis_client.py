"""What the uses of Redis share: opening a client, and its failures as one error. The only file that imports redis.

API: redis.readthedocs.io
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from etl_assets.backends.credentials import credential_of
from etl_assets.errors import ConfigError, TransientError
from etl_assets.protocols.secrets import Credential
from etl_assets.redaction import redacted, shown_cause

if TYPE_CHECKING:
    import redis

T = TypeVar("T")


class RedisServer:
    """One Redis, by its URL (``redis://``, ``rediss://`` or ``unix://``, password included). Connects when first used.

    After a failure it is left alone for ``pause_s``: what waits for a cache that is away would cost more than a miss.
    """

    def __init__(
        self,
        url: str | Credential,
        *,
        timeout_s: float = 1.0,
        pause_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = credential_of(url, source="REDIS_URL")
        self._sent = ""
        self._lock = threading.Lock()
        self._former: list[redis.Redis] = []
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._clock = clock
        self._client: redis.Redis | None = None
        self._away_until = float("-inf")

    def __repr__(self) -> str:
        return "RedisServer()"

    def run(self, command: "Callable[[redis.Redis], T]") -> T:
        """What ``command`` makes of the client.

        Raises:
            ConfigError: the URL is none.
            TransientError: Redis does not answer in time, or refuses; a URL of a store of secrets is then read anew.
        """
        import redis

        if self._clock() < self._away_until:
            raise TransientError("Redis failed a moment ago and is not asked for now")
        try:
            client = self._opened()
            try:
                return command(client)
            except redis.AuthenticationError:
                if not self._renew(client):
                    raise
            return command(self._opened())
        except redis.RedisError as e:
            self._away_until = self._clock() + self._pause_s
            said = redacted(str(e), *self._secrets())
            remedy = f"; check {self._url.source}" if isinstance(e, redis.AuthenticationError) else ""
            raise TransientError(f"Redis: {said}{remedy}") from shown_cause(e, *self._secrets())

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            clients = [*self._former, *([self._client] if self._client is not None else [])]
            self._client, self._former = None, []
        for client in clients:
            client.close()

    def _opened(self) -> "redis.Redis":
        with self._lock:
            if self._client is None:
                self._sent = self._url.value()
                self._client = self._made(self._sent)
            return self._client

    def _renew(self, refused: "redis.Redis") -> bool:
        """Whether there is a client with another URL than ``refused`` has; others may still be using that one."""
        with self._lock:
            if self._client is not refused:
                return True
            url = self._url.renewed(self._sent)
            if url is None:
                return False
            self._former.append(refused)
            self._sent, self._client = url, self._made(url)
            return True

    def _made(self, url: str) -> "redis.Redis":
        import redis

        options: dict[str, Any] = {"socket_timeout": self._timeout_s, "socket_connect_timeout": self._timeout_s}
        try:
            # A connection that the server closed while idle is opened again by the pool's health check.
            return redis.Redis.from_url(url, health_check_interval=30, **options)
        except ValueError as e:
            raise ConfigError("REDIS_URL: use redis://, rediss:// or unix://, a host and a database") from e

    def _secrets(self) -> tuple[str, ...]:
        from urllib.parse import unquote, urlsplit

        password = urlsplit(self._sent).password or ""
        return (self._sent, password, unquote(password))
