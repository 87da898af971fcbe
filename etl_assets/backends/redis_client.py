"""What the uses of Redis share: opening a client, and its failures as one error. The only file that imports redis.

API: redis.readthedocs.io
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from etl_assets.backends.credentials import redacted
from etl_assets.errors import ConfigError, TransientError

if TYPE_CHECKING:
    import redis

T = TypeVar("T")


class RedisServer:
    """One Redis, by its URL (``redis://``, ``rediss://`` or ``unix://``, password included). Connects when first used.

    After a failure it is left alone for ``pause_s``: what waits for a cache that is away would cost more than a miss.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 1.0,
        pause_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
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
            TransientError: Redis does not answer in time, or refuses.
        """
        import redis

        if self._clock() < self._away_until:
            raise TransientError("Redis failed a moment ago and is not asked for now")
        try:
            return command(self._opened())
        except redis.RedisError as e:
            self._away_until = self._clock() + self._pause_s
            raise TransientError(f"Redis: {redacted(str(e), *self._secrets())}") from e

    def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _opened(self) -> "redis.Redis":
        if self._client is None:
            import redis

            options: dict[str, Any] = {"socket_timeout": self._timeout_s, "socket_connect_timeout": self._timeout_s}
            try:
                # A connection that the server closed while idle is opened again by the pool's health check.
                self._client = redis.Redis.from_url(self._url, health_check_interval=30, **options)
            except ValueError as e:
                raise ConfigError("REDIS_URL: use redis://, rediss:// or unix://, a host and a database") from e
        return self._client

    def _secrets(self) -> tuple[str, ...]:
        from urllib.parse import unquote, urlsplit

        password = urlsplit(self._url).password or ""
        return (self._url, password, unquote(password))
