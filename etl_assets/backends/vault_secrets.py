"""Secrets in HashiCorp Vault or OpenBao: the KV engine, version 2, with a token or an AppRole.

API: developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2 and /auth/approle
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.secrets import Credential, SecretValue

SECRET_PATIENCE = Patience(attempts=4, total_s=15.0, base_s=0.2, cap_s=3.0)
DEFAULT_FIELD = "value"
PENDING, PREVIOUS = "_pending", "_previous"
"""Endings of the fields that stand beside the one in use during and after a rotation."""


def vault_api(
    url: str, credential: Credential | None, *, timeout_s: float = 10.0, patience: Patience = SECRET_PATIENCE
) -> HttpApi:
    """Calls of one Vault under ``credential``; None for logging in."""
    return HttpApi(
        "Vault", url, credential=credential, header="X-Vault-Token", scheme="", timeout_s=timeout_s, patience=patience,
        connections=4,
    )  # fmt: skip


class AppRoleCredential:
    """A token by AppRole, drawn anew when four fifths of its life have passed or a call is refused with it."""

    def __init__(
        self,
        api: HttpApi,
        role_id: str,
        secret_id: Credential,
        *,
        namespace: str = "",
        mount: str = "approle",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._role_id = role_id
        self._secret_id = secret_id
        self._headers = _namespaced(namespace)
        self._path = f"/v1/auth/{quote(mount.strip('/'))}/login"
        self._clock = clock
        self._lock = threading.Lock()
        self._token, self._ends = "", float("-inf")
        self.source = secret_id.source

    def __repr__(self) -> str:
        return f"AppRoleCredential(source={self.source!r})"

    def value(self) -> str:
        """A token that holds now.

        Raises:
            PermanentError: role id and secret id are not accepted.
            TransientError: Vault does not answer.
        """
        with self._lock:
            if self._clock() >= self._ends:
                self._log_in()
            return self._token

    def renewed(self, refused: str) -> str | None:
        """A token drawn after ``refused``; raises as ``value``."""
        with self._lock:
            if self._token == refused:
                self._log_in()
            return self._token

    def _log_in(self) -> None:
        secret_id = self._secret_id.value()
        body = {"role_id": self._role_id, "secret_id": secret_id}

        def refusal(status: int, words: str) -> EtlAssetsError | None:
            # The words may repeat what was sent, and what was sent is no header that is taken out of them.
            return PermanentError(f"Vault: HTTP {status} at AppRole login; check the role id and {self.source}")

        request = Request("POST", self._path, body, headers=self._headers, refusal=refusal, secrets=(secret_id,))
        self._token, lease_s = self._api.call(request, _login)
        self._ends = self._clock() + (0.8 * lease_s if lease_s > 0 else float("inf"))


def _login(answer: Answer) -> tuple[str, float]:
    auth = answer.body.get("auth") if isinstance(answer.body, dict) else None
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(token, str) or not token:
        raise UnusableAnswer(TransientError("Vault: a login without a token"))
    return token, float(auth.get("lease_duration") or 0)


@dataclass(frozen=True, slots=True)
class _Stored:
    version: int
    data: Mapping[str, Any]


class VaultSecrets:
    """Secrets named ``path#field`` below ``mount``; without ``#field`` the field is ``value``.

    A rotation writes the new value as ``field_pending`` beside the one in use, and moves it into ``field`` when it is
    verified; the former value stays as ``field_previous``. Each step is a KV version, written by check-and-set, and
    readers of ``field`` see only the first and the last: a kill in the middle leaves them what they had.
    """

    def __init__(self, api: HttpApi, *, mount: str = "secret", namespace: str = "") -> None:
        self.api = api
        self._mount = mount.strip("/")
        self._headers = _namespaced(namespace)

    def get(self, name: str) -> str:
        """The field's text now; raises as ``Secrets.get``."""
        return self.current(name).text

    def current(self, name: str) -> SecretValue:
        """The field's text with the KV version; raises as ``Secrets.get``."""
        path, field = _taken_apart(name)
        stored = self._read(path)
        return SecretValue(name, _text(name, field, stored), str(stored.version))

    def reread(self, name: str) -> SecretValue:
        """As ``current``: nothing is kept."""
        return self.current(name)

    def rotate(self, name: str, new_value: str, verify: Callable[[str], None]) -> SecretValue:
        """See ``RotatingSecrets.rotate``. A secret that does not exist yet is made the same way."""
        path, field = _taken_apart(name)
        before = self._read(path, absent=True)
        kept = {key: value for key, value in before.data.items() if key != field + PENDING}
        staged = self._write(path, before.version, {**kept, field + PENDING: new_value})
        try:
            verify(_text(name, field + PENDING, self._read(path)))
        except BaseException as e:
            self._take_back(path, staged, kept, e)
            raise
        previous = {field + PREVIOUS: kept[field]} if field in kept else {}
        version = self._write(path, staged, {**kept, **previous, field: new_value})
        return SecretValue(name, new_value, str(version))

    def _take_back(self, path: str, staged: int, kept: Mapping[str, Any], error: BaseException) -> None:
        """Remove the new value; if that fails too, say so on the error that counts, which is the first one."""
        try:
            self._write(path, staged, kept)
        except EtlAssetsError as e:
            error.add_note(f"the refused value still stands beside the one in use in {path}, unused: {e}")

    def _read(self, path: str, *, absent: bool = False) -> _Stored:
        def read(answer: Answer) -> _Stored:
            outer = answer.body.get("data") if isinstance(answer.body, dict) else None
            data, about = (outer.get("data"), outer.get("metadata")) if isinstance(outer, dict) else (None, None)
            version = about.get("version") if isinstance(about, dict) else None
            if isinstance(data, dict) and isinstance(version, int):
                return _Stored(version, data)
            if answer.status == 404 and absent:
                # A deleted secret keeps its versions: the next one must follow them.
                return _Stored(version if isinstance(version, int) else 0, {})
            if answer.status == 404:
                raise ConfigError(f"Vault: there is no secret {path} in {self._mount}; write it, or correct its name")
            raise UnusableAnswer(TransientError(f"Vault: an answer for {path} that holds no secret"))

        return self.api.call(Request("GET", self._address(path), headers=self._headers, accepts=(404,)), read)

    def _write(self, path: str, version: int, data: Mapping[str, Any]) -> int:
        """The version written. Writing again after a lost answer is not refused: the data there is the same."""

        def written(answer: Answer) -> int | None:
            if answer.status == 400:
                return None
            found = answer.body.get("data") if isinstance(answer.body, dict) else None
            if not isinstance(found, dict) or not isinstance(found.get("version"), int):
                raise UnusableAnswer(TransientError(f"Vault: an answer without a version after writing {path}"))
            return int(found["version"])

        body = {"options": {"cas": version}, "data": data}
        hidden = tuple(value for value in data.values() if isinstance(value, str))
        request = Request("POST", self._address(path), body, headers=self._headers, accepts=(400,), secrets=hidden)
        made = self.api.call(request, written)
        if made is not None:
            return made
        there = self._read(path, absent=True)
        if there.data == data and there.version == version + 1:
            return there.version
        raise TransientError(f"Vault: {path} was changed by somebody else meanwhile; run it again")

    def _address(self, path: str) -> str:
        return f"/v1/{quote(self._mount)}/data/{quote(path)}"


def _namespaced(namespace: str) -> dict[str, str]:
    return {"X-Vault-Namespace": namespace} if namespace else {}


def _taken_apart(name: str) -> tuple[str, str]:
    path, _, field = name.partition("#")
    if not path.strip("/"):
        raise ConfigError(f"secret {name!r}: use path#field, or path for the field {DEFAULT_FIELD}")
    return path.strip("/"), field or DEFAULT_FIELD


def _text(name: str, field: str, stored: _Stored) -> str:
    text = stored.data.get(field)
    if not isinstance(text, str) or not text:
        raise ConfigError(f"Vault: secret {name}: version {stored.version} has no text in its field {field!r}")
    return text
