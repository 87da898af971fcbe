"""A master key in the transit engine of a real OpenBao, or of the Vault that ETL_TEST_VAULT_ADDR names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.encrypted_blobs import EncryptedBlobs
from etl_assets.backends.envelope import Envelope, original_scope
from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request
from etl_assets.backends.local_blobs import LocalBlobs
from etl_assets.backends.probe_services import probe_master_keys
from etl_assets.backends.vault_secrets import vault_api
from etl_assets.backends.vault_transit import TransitKey
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.ledger.data_keys import LedgerKeys
from etl_assets.ledger.database import Ledger
from etl_assets.protocols.probes import Finding
from etl_assets_tests.backends.sealing import get, put
from etl_assets_tests.servers.fixtures import Variables, server

SECRET = b"canary-91bd-do-not-show-12345678"


@pytest.fixture(scope="module")
def vault() -> Variables:
    return server("openbao")


@pytest.fixture
def api(vault: Variables) -> Iterator[HttpApi]:
    opened = vault_api(vault["ETL_TEST_VAULT_ADDR"], FixedCredential(vault["ETL_TEST_VAULT_TOKEN"], source="TOKEN"))
    yield opened
    opened.close()


def send(api: HttpApi, method: str, path: str, body: object = None) -> Any:
    def read(answer: Answer) -> Any:
        return answer.body

    return api.call(Request(method, path, body, accepts=(204,)), read)


@pytest.fixture
def mount(api: HttpApi) -> Iterator[str]:
    """A transit engine of the test alone."""
    name = f"transit-{uuid4().hex[:12]}"
    send(api, "POST", f"/v1/sys/mounts/{name}", {"type": "transit"})
    yield name
    send(api, "DELETE", f"/v1/sys/mounts/{name}")


@pytest.fixture
def master(api: HttpApi, mount: str) -> TransitKey:
    send(api, "POST", f"/v1/{mount}/keys/main", {"type": "aes256-gcm96"})
    return TransitKey(api, mount, "main")


def test_a_key_is_unwrapped_in_its_own_context_only(master: TransitKey, mount: str) -> None:
    wrapping = master.wrap(SECRET, "context")
    assert (wrapping.master, wrapping.version) == master.current() == (f"vault-transit:{mount}/main", "v1")
    assert master.opens(wrapping.master)
    assert not master.opens(f"vault-transit:{mount}/other")
    assert master.unwrap(wrapping, "context") == SECRET
    with pytest.raises(PermanentError, match="altered") as caught:
        master.unwrap(wrapping, "another context")
    assert SECRET.decode() not in str(caught.value)


def test_a_new_version_in_vault_is_rotated_to_without_touching_a_blob(
    api: HttpApi, master: TransitKey, mount: str, tmp_path: Path
) -> None:
    keys = Envelope(LedgerKeys(Ledger.sqlite(tmp_path / "keys.sqlite")), [master])
    blobs = EncryptedBlobs(LocalBlobs(tmp_path / "blobs"), keys, original_scope, plain=tmp_path / "plain")
    for number in range(12):
        put(blobs, f"acme/doc{number}/v", SECRET)
    send(api, "POST", f"/v1/{mount}/keys/main/rotate", {})
    assert {(one.version, one.count) for one in keys.status()} == {("v2", 0), ("v1", 12)}
    assert len([*keys.rotate()]) == 12
    send(api, "POST", f"/v1/{mount}/keys/main/config", {"min_decryption_version": 2})
    fresh = Envelope(LedgerKeys(Ledger.sqlite(tmp_path / "keys.sqlite")), [master])
    reader = EncryptedBlobs(LocalBlobs(tmp_path / "blobs"), fresh, original_scope, plain=tmp_path / "plain")
    assert get(reader, "acme/doc7/v") == SECRET


def test_an_absent_key_or_engine_is_a_wrong_setting_that_names_it(api: HttpApi, master: TransitKey, mount: str) -> None:
    wrapping = master.wrap(SECRET, "context")
    with pytest.raises(ConfigError, match=f"{mount}/absent"):
        TransitKey(api, mount, "absent").unwrap(wrapping, "context")
    with pytest.raises(ConfigError, match="nowhere/main"):
        TransitKey(api, "nowhere", "main").wrap(SECRET, "context")


def test_a_version_that_policy_forbids_is_said_to_be_forbidden(api: HttpApi, master: TransitKey, mount: str) -> None:
    wrapping = master.wrap(SECRET, "context")
    send(api, "POST", f"/v1/{mount}/keys/main/rotate", {})
    send(api, "POST", f"/v1/{mount}/keys/main/config", {"min_decryption_version": 2})
    with pytest.raises(PermanentError, match="min_decryption_version"):
        master.unwrap(wrapping, "context")


def test_a_refused_token_and_an_absent_server_are_told_apart(vault: Variables, mount: str) -> None:
    refused = vault_api(vault["ETL_TEST_VAULT_ADDR"], FixedCredential("wrong-token", source="TOKEN"))
    with pytest.raises(PermanentError):
        TransitKey(refused, mount, "main").wrap(SECRET, "context")
    refused.close()
    patience = Patience(attempts=1, total_s=1.0, base_s=0.01, cap_s=0.01)
    silent = vault_api("http://127.0.0.1:9", FixedCredential("t", source="TOKEN"), timeout_s=1.0, patience=patience)
    with pytest.raises(TransientError):
        TransitKey(silent, mount, "main").wrap(SECRET, "context")
    silent.close()


def test_a_key_that_is_missing_is_not_made_by_asking_for_it(api: HttpApi, mount: str) -> None:
    for ask in (
        TransitKey.current, lambda key: key.wrap(SECRET, "context"), lambda key: probe_master_keys(Finding(), [key]),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"{mount}/absent: there is no such key"):
            ask(TransitKey(api, mount, "absent"))
    made = Request("GET", f"/v1/{mount}/keys/absent", accepts=(404,))
    assert api.call(made, lambda answer: answer.status) == 404


def test_a_policy_that_lets_one_encrypt_and_not_read_the_key_is_enough(
    vault: Variables, api: HttpApi, master: TransitKey, mount: str
) -> None:
    rules = f'path "{mount}/encrypt/main" {{capabilities = ["update"]}}'
    send(api, "PUT", f"/v1/sys/policies/acl/{mount}", {"policy": rules})
    token = send(api, "POST", "/v1/auth/token/create", {"policies": [mount], "ttl": "10m"})["auth"]["client_token"]
    send(api, "POST", f"/v1/{mount}/keys/main/rotate", {})
    narrow = vault_api(vault["ETL_TEST_VAULT_ADDR"], FixedCredential(token, source="TOKEN"))
    assert TransitKey(narrow, mount, "main").current() == (f"vault-transit:{mount}/main", "v2")
    narrow.close()
    send(api, "DELETE", f"/v1/sys/policies/acl/{mount}")
