"""Secrets held for a while, and secrets of the environment."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from etl_assets.errors import ConfigError, TransientError
from etl_assets.protocols.secrets import Secrets, SecretValue


class EnvironmentSecrets:
    """Variables of the process. ``NAME_FILE`` may name a file instead, as container platforms mount secrets.

    A mounted file is read each time: the platform replaces it when the secret is rotated.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = variables

    def get(self, name: str) -> str:
        """The variable's text.

        Raises:
            ConfigError: neither ``name`` nor ``name_FILE`` is set, both are, or the file cannot be read.
        """
        return self.current(name).text

    def current(self, name: str) -> SecretValue:
        """The variable's text; there are no versions here. Raises as ``get``."""
        variables = os.environ if self._variables is None else self._variables
        text, path = variables.get(name), variables.get(f"{name}_FILE")
        if text and path:
            raise ConfigError(f"{name} and {name}_FILE: both are set; keep one of them")
        if path:
            return SecretValue(name, _file_text(f"{name}_FILE", path))
        if not text:
            raise ConfigError(f"{name}: not set; set it, or {name}_FILE to a file that holds it")
        return SecretValue(name, text)

    def reread(self, name: str) -> SecretValue:
        """As ``current``: nothing is kept."""
        return self.current(name)


def _file_text(variable: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().strip("\r\n")
    except (OSError, UnicodeDecodeError) as e:
        why = os.strerror(e.errno or 0) if isinstance(e, OSError) else "it is not UTF-8"
        raise ConfigError(f"{variable}: the file cannot be read ({why}); correct the path or its rights") from e
    if not text:
        raise ConfigError(f"{variable}: the file is empty; write the secret into it")
    return text


@dataclass(slots=True)
class _Held:
    value: SecretValue
    read_at: float
    fresh_until: float


class KeptSecrets:
    """Secrets of another store, each held for ``ttl_s`` or its lease, whichever is shorter.

    A rotation is so picked up within ``ttl_s``, or at once when a backend refuses the held value (``reread``). While
    the store does not answer, a held value serves on, until ``stale_s`` after it was read: a secret store that
    restarts must not stop work whose credentials still hold.
    """

    def __init__(
        self,
        store: Secrets,
        *,
        ttl_s: float = 300.0,
        stale_s: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= ttl_s <= stale_s:
            raise ConfigError(f"secrets: ttl_s {ttl_s} must be at least 0 and at most stale_s {stale_s}")
        self._store = store
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def get(self, name: str) -> str:
        """The secret's text, as it was at most ``ttl_s`` ago; raises as the store."""
        return self.current(name).text

    def current(self, name: str) -> SecretValue:
        """The secret, held or read now; raises as the store."""
        held = self._held.get(name)
        if held is not None and self._clock() < held.fresh_until:
            return held.value
        try:
            return self.reread(name)
        except TransientError:
            if held is None or self._clock() >= held.read_at + self._stale_s:
                raise
            return held.value

    def reread(self, name: str) -> SecretValue:
        """The secret read now, and held from now on; raises as the store."""
        value = self._store.reread(name)
        now = self._clock()
        fresh_s = self._ttl_s if value.lease_s is None else min(self._ttl_s, value.lease_s)
        with self._lock:
            self._held[name] = _Held(value, now, now + fresh_s)
        return value
