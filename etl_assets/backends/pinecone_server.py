"""The connection to Pinecone: its client, one index for each dimension, its retries, and its failures as our errors.

Client: package ``pinecone`` 10 (API 2026-07). Pinecone is eventually consistent: docs.pinecone.io, "Check data
freshness". What a row looks like there is in ``pinecone_records.py``.
"""

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from etl_assets.backends.circuit import Backoff, Calls, CircuitBreaker, Unavailable
from etl_assets.backends.credentials import credential_of
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.secrets import Credential
from etl_assets.redaction import redacted, shown_cause

if TYPE_CHECKING:
    from pinecone import Index, Pinecone

T = TypeVar("T")
Item = TypeVar("Item")

LONGEST_INDEX_NAME = 45
LARGEST_DIMENSION = 20_000
POLL_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses between looks at something that takes time; the last is repeated."""

# The client itself tries each request four times, so three attempts of ours are twelve requests at most.
BACKOFF = Backoff(attempts=3, base_s=0.5, cap_s=30.0)


class MissingError(PermanentError):
    """An index, or a namespace of it, is not there (any more)."""


@dataclass(frozen=True, slots=True)
class PineconeAccess:
    """Which project, and how long anything may take. ``api_key`` never appears in a ``repr``.

    Indexes are called ``{index_prefix}-{dimension}`` and made in ``cloud`` and ``region``. ``host`` is another address
    of the control plane. ``timeout_s`` is per request, ``freshness_s`` how long a write waits until queries reflect
    it, ``creation_s`` how long a new index may take; ``concurrency`` is the number of requests in flight for one call.
    """

    api_key: str | Credential = field(repr=False)
    index_prefix: str = "etl-assets"
    cloud: str = "aws"
    region: str = "us-east-1"
    host: str | None = None
    timeout_s: float = 30.0
    freshness_s: float = 60.0
    creation_s: float = 300.0
    concurrency: int = 8

    def __post_init__(self) -> None:
        longest = LONGEST_INDEX_NAME - len(f"-{LARGEST_DIMENSION}")
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", self.index_prefix) or len(self.index_prefix) > longest:
            raise ConfigError(
                f"the Pinecone index prefix {self.index_prefix!r} must be 1 to {longest} lower-case letters, digits "
                "and hyphens, with no hyphen at either end"
            )
        if self.timeout_s <= 0 or self.freshness_s <= 0 or self.concurrency < 1:
            raise ConfigError("Pinecone: timeout_s and freshness_s must be above 0, concurrency at least 1")


class PineconeServer:
    """The indexes of one project that this package made. Opened by the first call; threads share an instance.

    An index is named by its address. Ask for its client (``at``) inside each request: it is another one once the key
    has been refused and read anew.
    """

    def __init__(self, access: PineconeAccess, calls: Calls | None = None) -> None:
        if isinstance(access.api_key, str) and not access.api_key.strip():
            raise ConfigError("PINECONE_API_KEY is empty")
        self.access = access
        self._key = credential_of(access.api_key, source="PINECONE_API_KEY")
        self._sent = ""
        self._calls = calls or Calls(CircuitBreaker("Pinecone"), BACKOFF)
        # Its own circuit: listing indexes goes well while an index is down, and must not say that all is well.
        self._control = Calls(CircuitBreaker("Pinecone's control plane"), self._calls.backoff, self._calls.sleep)
        self._lock = threading.Lock()
        self._client: Pinecone | None = None
        self._indexes: dict[int, str] = {}
        self._clients: dict[str, Index] = {}
        self._former: list[Pinecone | Index] = []
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def close(self) -> None:
        """Close the connections. The server may be used again afterwards."""
        with self._lock:
            self._retire()
            former, pool = self._former, self._pool
            self._former, self._indexes, self._pool = [], {}, None
        if self._owner != os.getpid():
            return
        if pool is not None:
            pool.shutdown()
        for client in former:
            client.close()

    def call(self, what: str, request: Callable[[], T], *, control: bool = False) -> T:
        """What ``request`` returns, again where that may help; ``what`` names it in messages.

        ``control``: it is about indexes, not about what is in one.

        Raises:
            MissingError: the index or the namespace is not there.
            TransientError: Pinecone could not be reached, or asked to come back later, to the last.
            PermanentError: it refused.
        """
        from pinecone.errors import ForbiddenError, PineconeError, UnauthorizedError

        def attempt() -> T:
            self._opened()
            used = self._sent
            try:
                try:
                    return request()
                except (UnauthorizedError, ForbiddenError):
                    if not self._renewed(used):
                        raise
                return request()
            except PineconeError as e:
                raise self._failure(what, e) from shown_cause(e, used, self._sent)

        try:
            return (self._control if control else self._calls).run(attempt)
        except Unavailable:
            # An index that was made anew has another address: the next call asks for it.
            self.forget()
            raise

    def index(self, dimension: int) -> str | None:
        """The address of the index for vectors of this dimension, or None when there is none yet."""
        self._renew_after_fork()
        found = self._indexes.get(dimension)
        return found or self.indexes().get(dimension)

    def indexes(self) -> dict[int, str]:
        """The address of every index of ours, by dimension, as Pinecone lists them now."""
        listed = self.call(
            "listing indexes", lambda: [(one.name, one.host) for one in self._opened().indexes.list()], control=True
        )
        found: dict[int, str] = {}
        for name, host in listed:
            suffix = name.removeprefix(f"{self.access.index_prefix}-")
            if suffix != name and suffix.isdigit() and host:
                found[int(suffix)] = host
        with self._lock:
            self._indexes = dict(found)
        return found

    def made_index(self, dimension: int) -> str:
        """The address of the index for this dimension, made when it is missing, and ready.

        Processes that meet here share one.

        Raises:
            TransientError: it was not ready in ``creation_s``.
            PermanentError: the project may not have it, or the dimension is beyond Pinecone's.
        """
        found = self.index(dimension)
        if found is None:
            if not 1 <= dimension <= LARGEST_DIMENSION:
                raise PermanentError(f"Pinecone holds vectors of 1 to {LARGEST_DIMENSION} components, not {dimension}")
            self._create(dimension)
            found = self.indexes().get(dimension)
        if found is None:
            raise TransientError(f"Pinecone index {self.index_name(dimension)} was made and is not listed yet")
        return found

    def at(self, address: str) -> "Index":
        """The client of the index at this address, with the key in use now."""
        from pinecone import Index

        client = self._opened()
        with self._lock:
            if address not in self._clients:
                opened = client.index(host=address)
                if not isinstance(opened, Index):
                    raise PermanentError(f"Pinecone at {address}: the client speaks gRPC where HTTP was asked for")
                self._clients[address] = opened
            return self._clients[address]

    def index_name(self, dimension: int) -> str:
        """What the index for this dimension is called."""
        return f"{self.access.index_prefix}-{dimension}"

    def forget(self) -> None:
        """Ask again which indexes there are."""
        with self._lock:
            self._indexes = {}

    def mapped(self, work: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
        """``work`` of each item, in order, ``concurrency`` at a time; few are ahead of the reader."""
        pool = self._threads()
        ahead: deque[Future[T]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(work, item))
                if len(ahead) >= 2 * self.access.concurrency:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for left in ahead:
                left.cancel()

    def _create(self, dimension: int) -> None:
        from pinecone.errors import ConflictError

        name = self.index_name(dimension)
        fields = {"_values": {"type": "dense_vector", "dimension": dimension, "metric": "cosine"}}
        place = {"deployment_type": "managed", "cloud": self.access.cloud, "region": self.access.region}

        def create() -> None:
            try:
                self._opened().indexes.create(name=name, schema={"fields": fields}, deployment=place, timeout=-1)
            except ConflictError:
                return  # another process, or an attempt whose answer was lost, made it

        self.call(f"creating index {name}", create, control=True)

        def is_ready() -> bool:
            try:
                return self.call(
                    f"describing index {name}", lambda: self._opened().indexes.describe(name).status.ready, control=True
                )
            except MissingError:
                return False  # made, and not listed yet

        self.poll(is_ready, self.access.creation_s, f"index {name}")

    def poll(self, is_done: Callable[[], bool], limit_s: float, what: str) -> None:
        """Back when ``is_done`` says so.

        Raises:
            TransientError: it did not within ``limit_s``.
        """
        deadline = time.monotonic() + limit_s
        pauses = iter(POLL_S)
        while not is_done():
            if time.monotonic() > deadline:
                raise TransientError(f"Pinecone, {what} was not visible within {limit_s:g} s; it may be later")
            time.sleep(next(pauses, POLL_S[-1]))

    def _opened(self) -> "Pinecone":
        from pinecone import Pinecone, RetryConfig

        self._renew_after_fork()
        with self._lock:
            if self._client is None:
                self._sent = self._key.value()
                self._client = Pinecone(
                    api_key=self._sent,
                    host=self.access.host,
                    timeout=self.access.timeout_s,
                    source_tag="etl_assets",
                    connection_pool_maxsize=2 * self.access.concurrency,
                    retry_config=RetryConfig(max_retries=0),
                )
            return self._client

    def _renewed(self, refused: str) -> bool:
        """Whether another key than ``refused`` is in use now; it is read once, however many requests were refused."""
        with self._lock:
            if self._sent != refused:
                return True
            if self._key.renewed(refused) is None:
                return False
            self._retire()
            return True

    def _retire(self) -> None:
        """Keep the clients until ``close``: requests of other threads may be on their way."""
        self._former += [*self._clients.values(), *([self._client] if self._client is not None else [])]
        self._client, self._clients = None, {}

    def _threads(self) -> ThreadPoolExecutor:
        self._renew_after_fork()
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.access.concurrency, thread_name_prefix="pinecone")
            return self._pool

    def _renew_after_fork(self) -> None:
        with self._lock:
            if self._owner != os.getpid():
                # Sockets and threads of the parent are not ours to use or to close.
                self._retire()
                _INHERITED.append((self._former, self._pool))
                self._former, self._indexes, self._pool = [], {}, None
                self._owner = os.getpid()

    def _failure(self, what: str, error: Exception) -> Exception:
        """Our error for the client's."""
        from pinecone.errors import (
            ApiError,
            ForbiddenError,
            NotFoundError,
            PineconeConnectionError,
            PineconeTimeoutError,
            RateLimitError,
            ResponseParsingError,
            UnauthorizedError,
        )

        text = f"Pinecone, {what}: {self._said(error)}"
        if isinstance(error, RateLimitError):
            return Unavailable(text, retry_after_s=error.retry_after)
        if isinstance(error, PineconeConnectionError | PineconeTimeoutError | ResponseParsingError):
            return Unavailable(text)
        if isinstance(error, NotFoundError):
            return MissingError(text)
        if isinstance(error, UnauthorizedError | ForbiddenError):
            return PermanentError(f"{text}; check {self._key.source} and its rights")
        if isinstance(error, ApiError) and (error.status_code >= 500 or error.status_code == 408):
            return Unavailable(text)
        return PermanentError(text)

    def _said(self, error: Exception) -> str:
        status = getattr(error, "status_code", None)
        text = redacted(str(getattr(error, "message", "") or error), self._sent)
        line = next(iter(text.strip().splitlines()), type(error).__name__)[:300]
        return f"HTTP {status}: {line}" if status else line


_INHERITED: list[object] = []
"""What a forked child must neither use nor close."""
