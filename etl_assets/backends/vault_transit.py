"""A master key in the transit engine of HashiCorp Vault or OpenBao, which never shows its key.

API: developer.hashicorp.com/vault/api-docs/secret/transit (read key, encrypt, decrypt)
"""

import re
from base64 import b64decode, b64encode
from urllib.parse import quote

from etl_assets.backends.http_calls import Answer, HttpApi, Request, UnusableAnswer
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.keys import KEY_BYTES, Wrapping

_KIND = "vault-transit:"
_WRAPPED = re.compile(r"vault:(v[1-9][0-9]*):[A-Za-z0-9+/=]+")


class TransitKey:
    """The key ``name`` of the transit engine at ``mount``: of a type that takes associated data (aes256-gcm96).

    A version is that of the key in Vault: `vault write -f MOUNT/keys/NAME/rotate` makes the next one.
    """

    def __init__(self, api: HttpApi, mount: str, name: str, *, namespace: str = "") -> None:
        self._api = api
        self._mount, self._name = mount.strip("/"), name
        self._master = f"{_KIND}{self._mount}/{name}"
        self._headers = {"X-Vault-Namespace": namespace} if namespace else {}
        self.label = f"Vault transit key {self._mount}/{name}"
        self._was_looked_for = False

    def __repr__(self) -> str:
        return f"TransitKey({self._mount!r}, {self._name!r})"

    def opens(self, master: str) -> bool:
        """Whether it is this key, in any version."""
        return master == self._master

    def current(self) -> tuple[str, str]:
        """The newest version; from wrapping zeros where the policy lets one encrypt and not read the key."""
        version = self._newest()
        return (self._master, version) if version else (self._master, self.wrap(bytes(KEY_BYTES), "a look").version)

    def wrap(self, secret: bytes, context: str) -> Wrapping:
        """Encrypt by the newest version, with ``context`` as associated data."""
        if not self._was_looked_for:
            # Asked to encrypt under a name without a key, Vault makes one if the policy lets it: a lost key, or a
            # wrong name, would not be noticed.
            self._newest()
            self._was_looked_for = True
        text = self._ask("encrypt", {"plaintext": b64encode(secret).decode()}, context, "ciphertext")
        matched = _WRAPPED.fullmatch(text)
        if matched is None:
            raise PermanentError(f"{self.label}: an answer that is no ciphertext")
        return Wrapping(self._master, matched[1], text.encode())

    def unwrap(self, wrapping: Wrapping, context: str) -> bytes:
        """Decrypt by the version that the wrapping names."""
        text = self._ask("decrypt", {"ciphertext": wrapping.wrapped.decode("ascii", "replace")}, context, "plaintext")
        try:
            return b64decode(text, validate=True)
        except ValueError:
            # No cause: it would hold the text, which is a key.
            raise PermanentError(f"{self.label}: an answer that is no base64") from None

    def _newest(self) -> str | None:
        """The newest version; ``None`` when the policy does not let one read the key."""

        def read(answer: Answer) -> str | None:
            if answer.status == 403:
                return None
            data = answer.body.get("data") if isinstance(answer.body, dict) else None
            number = data.get("latest_version") if isinstance(data, dict) else None
            if not isinstance(number, int):
                raise UnusableAnswer(TransientError(f"{self.label}: an answer without latest_version"))
            return f"v{number}"

        def refusal(status: int, words: str) -> EtlAssetsError | None:
            return self._absent() if status == 404 else None

        path = self._path("keys")
        return self._api.call(Request("GET", path, headers=self._headers, accepts=(403,), refusal=refusal), read)

    def _absent(self) -> ConfigError:
        return ConfigError(f"{self.label}: there is no such key or engine; make it, or correct its name")

    def _path(self, action: str) -> str:
        return f"/v1/{quote(self._mount)}/{action}/{quote(self._name, safe='')}"

    def _ask(self, action: str, body: dict[str, str], context: str, field: str) -> str:
        def read(answer: Answer) -> str:
            data = answer.body.get("data") if isinstance(answer.body, dict) else None
            text = data.get(field) if isinstance(data, dict) else None
            if not isinstance(text, str) or not text:
                raise UnusableAnswer(TransientError(f"{self.label}: an answer without {field}"))
            return text

        def refusal(status: int, words: str) -> EtlAssetsError | None:
            # Vault's words are left out: they may repeat what was sent.
            if status == 404 or "encryption key not found" in words or "no handler for route" in words:
                return self._absent()
            if status == 403:
                return PermanentError(f"{self.label}: HTTP 403: its policy refuses to {action}; check policy and token")
            if "message authentication failed" in words or "invalid ciphertext" in words:
                return PermanentError(
                    f"{self.label}: cannot open {context}: the wrapped key in the ledger was altered, or the key in "
                    "Vault is another one of the same name; restore what was lost"
                )
            if "disallowed by policy" in words:
                return PermanentError(f"{self.label}: the version it needs is below min_decryption_version; lower that")
            return PermanentError(f"{self.label}: HTTP {status} refused to {action}") if status == 400 else None

        sent = {**body, "associated_data": b64encode(context.encode()).decode()}
        return self._api.call(Request("POST", self._path(action), sent, headers=self._headers, refusal=refusal), read)
