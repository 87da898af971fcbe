"""A master key in the transit engine of HashiCorp Vault or OpenBao, which never shows its key.

API: developer.hashicorp.com/vault/api-docs/secret/transit (encrypt, decrypt)
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

    def __repr__(self) -> str:
        return f"TransitKey({self._mount!r}, {self._name!r})"

    def opens(self, master: str) -> bool:
        """Whether it is this key, in any version."""
        return master == self._master

    def current(self) -> tuple[str, str]:
        """The newest version, from wrapping zeros: a policy that lets one encrypt need not let one read the key."""
        probe = self.wrap(bytes(KEY_BYTES), "probe of the version")
        return probe.master, probe.version

    def wrap(self, secret: bytes, context: str) -> Wrapping:
        """Encrypt by the newest version, with ``context`` as associated data."""
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
                return ConfigError(f"{self.label}: there is no such key or engine; make it, or correct its name")
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

        path = f"/v1/{quote(self._mount)}/{action}/{quote(self._name, safe='')}"
        sent = {**body, "associated_data": b64encode(context.encode()).decode()}
        return self._api.call(Request("POST", path, sent, headers=self._headers, refusal=refusal), read)
