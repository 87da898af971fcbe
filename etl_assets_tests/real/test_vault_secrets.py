"""Secrets in a real OpenBao, and the same file for a Vault that ETL_TEST_VAULT_ADDR and ETL_TEST_VAULT_TOKEN name."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest

from etl_assets.backends.credentials import FixedCredential, StoredCredential
from etl_assets.backends.http_calls import Answer, HttpApi, Request
from etl_assets.backends.kept_secrets import KeptSecrets
from etl_assets.backends.vault_secrets import AppRoleCredential, VaultSecrets, vault_api
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets_tests.servers.fixtures import Variables, server

Opened = Callable[..., HttpApi]
CANARY = "canary-91bd-do-not-show"


class Refusing(Exception):
    """What a verification raises in these tests."""


@pytest.fixture(scope="module")
def vault() -> Variables:
    return server("openbao")


@pytest.fixture
def opened(vault: Variables) -> Iterator[Opened]:
    with ExitStack() as stack:

        def make(credential: Any = "root") -> HttpApi:
            if credential == "root":
                credential = FixedCredential(vault["ETL_TEST_VAULT_TOKEN"], source="VAULT_TOKEN")
            api = vault_api(vault["ETL_TEST_VAULT_ADDR"], credential)
            stack.callback(api.close)
            return api

        yield make


@pytest.fixture
def path() -> str:
    """A secret of the test alone."""
    return f"etl-test/{uuid4().hex}"


def send(api: HttpApi, method: str, at: str, body: object = None) -> Any:
    def read(answer: Answer) -> Any:
        return answer.body

    return api.call(Request(method, at, body), read)


def put(api: HttpApi, path: str, **data: str) -> None:
    send(api, "POST", f"/v1/secret/data/{path}", {"data": data})


def test_fields_versions_and_absence(opened: Opened, path: str) -> None:
    api = opened()
    secrets = VaultSecrets(api)
    with pytest.raises(ConfigError, match=f"no secret {path}"):
        secrets.get(path)
    put(api, path, value="one")
    put(api, path, value="two", key="k")
    assert secrets.current(path).version == "2" and secrets.get(f"{path}#key") == "k"
    send(api, "DELETE", f"/v1/secret/data/{path}")
    with pytest.raises(ConfigError, match="no secret"):
        secrets.get(path)
    assert secrets.rotate(path, "again", lambda value: None).version == "4", "versions go on after a deletion"


def test_a_rotation_is_verified_before_it_is_used_and_taken_back(opened: Opened, path: str) -> None:
    api = opened()
    secrets = VaultSecrets(api)
    put(api, path, value="old", other="kept")

    def verify(value: str) -> None:
        assert (value, secrets.get(path)) == ("new", "old")

    secrets.rotate(path, "new", verify)
    assert (secrets.get(path), secrets.get(f"{path}#value_previous"), secrets.get(f"{path}#other")) == (
        "new", "old", "kept",
    )  # fmt: skip

    def refuse(value: str) -> None:
        raise Refusing

    with pytest.raises(Refusing) as caught:
        secrets.rotate(path, CANARY, refuse)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert secrets.get(path) == "new"
    with pytest.raises(ConfigError):
        secrets.get(f"{path}#value_pending")


def test_of_two_rotations_one_is_told(opened: Opened, path: str) -> None:
    api = opened()
    secrets = VaultSecrets(api)
    put(api, path, value="old")
    with pytest.raises(TransientError, match="somebody else"):
        secrets.rotate(path, "mine", lambda value: put(api, path, value="theirs"))
    assert secrets.get(path) == "theirs"


def test_a_rotation_reaches_a_process_that_holds_the_old_value(opened: Opened, path: str) -> None:
    api = opened()
    put(api, path, value="old")
    held = KeptSecrets(VaultSecrets(api), ttl_s=3600)
    assert held.get(path) == "old"
    VaultSecrets(opened()).rotate(path, "new", lambda value: None)
    assert held.get(path) == "old"
    assert StoredCredential(held, path).renewed("old") == held.get(path) == "new"


def test_an_app_role_with_its_policy(vault: Variables, opened: Opened, path: str) -> None:
    root = opened()
    put(root, path, value="readable")
    methods = send(root, "GET", "/v1/sys/auth")
    if "approle/" not in methods.get("data", methods):
        send(root, "POST", "/v1/sys/auth/approle", {"type": "approle"})
    name = path.replace("/", "-")
    policy = f'path "secret/data/{path}" {{ capabilities = ["read"] }}'
    send(root, "PUT", f"/v1/sys/policies/acl/{name}", {"policy": policy})
    send(root, "POST", f"/v1/auth/approle/role/{name}", {"token_policies": [name], "token_ttl": "60s"})
    role_id = send(root, "GET", f"/v1/auth/approle/role/{name}/role-id")["data"]["role_id"]
    secret_id = send(root, "POST", f"/v1/auth/approle/role/{name}/secret-id", {})["data"]["secret_id"]
    role = AppRoleCredential(opened(None), role_id, FixedCredential(secret_id, source="VAULT_SECRET_ID"))
    secrets = VaultSecrets(opened(role))
    assert secrets.get(path) == "readable"
    send(root, "POST", "/v1/auth/token/revoke", {"token": role.value()})
    assert secrets.get(path) == "readable", "a revoked token is drawn anew"
    with pytest.raises(PermanentError, match="403"):
        secrets.rotate(path, "no right to write", lambda value: None)
    wrong = AppRoleCredential(opened(None), role_id, FixedCredential(CANARY, source="VAULT_SECRET_ID"))
    with pytest.raises(PermanentError, match="VAULT_SECRET_ID") as caught:
        VaultSecrets(opened(wrong)).get(path)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_wrong_token_is_named_by_its_source(opened: Opened, path: str) -> None:
    with pytest.raises(PermanentError, match="check VAULT_TOKEN") as caught:
        VaultSecrets(opened(FixedCredential(CANARY, source="VAULT_TOKEN"))).get(path)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
