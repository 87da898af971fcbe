"""Vault's KV engine, version 2, and AppRole login on localhost, by ``developer.hashicorp.com/vault/api-docs``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from etl_assets_tests.servers.standin import Refused, StandIn


@dataclass
class VaultStandIn(StandIn):
    """``stored`` holds every version of each path, oldest first; ``roles`` are secret ids by role id."""

    keys: set[str] = field(default_factory=lambda: {"root-token"})
    roles: dict[str, str] = field(default_factory=dict)
    lease_s: int = 3600
    stored: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    logins: int = 0

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """Vault's answer, or its refusal."""
        if (method, path) == ("POST", "/v1/auth/approle/login"):
            return self._log_in(body)
        if headers.get("x-vault-token") not in self.keys:
            raise Refused(403, {"errors": ["permission denied"]})
        if not path.startswith("/v1/secret/data/"):
            raise Refused(404, {"errors": []})
        name = path.removeprefix("/v1/secret/data/")
        return self._write(name, body) if method == "POST" else self._read(name)

    def _log_in(self, body: Any) -> Any:
        if self.roles.get(body["role_id"]) != body["secret_id"]:
            raise Refused(400, {"errors": [f"invalid role or secret ID {body['secret_id']}"]})
        self.logins += 1
        token = f"login-token-{self.logins}"
        self.keys.add(token)
        return {"auth": {"client_token": token, "lease_duration": self.lease_s, "renewable": True, "policies": ["x"]}}

    def _read(self, name: str) -> Any:
        versions = self.stored.get(name)
        if versions is None:
            raise Refused(404, {"errors": []})
        found = {"data": {"data": versions[-1], "metadata": {"version": len(versions), "destroyed": False}}}
        if versions[-1] is None:
            raise Refused(404, found)
        return found

    def _write(self, name: str, body: Any) -> Any:
        versions = self.stored.setdefault(name, [])
        cas = body.get("options", {}).get("cas")
        if cas is not None and cas != len(versions):
            raise Refused(400, {"errors": ["check-and-set parameter did not match the current version"]})
        versions.append(body["data"])
        return {"data": {"version": len(versions), "destroyed": False}}
