"""``etl-assets secrets rotate`` over a real OpenBao: the new value is used for real before it is put into use."""

from pathlib import Path
from uuid import uuid4

import pytest

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.vault_secrets import VaultSecrets, vault_api
from etl_assets.cli import run
from etl_assets_tests.servers.fixtures import Variables
from etl_assets_tests.servers.pinecone_standin import PineconeStandIn


def test_a_value_that_the_backend_refuses_is_not_put_into_use(
    openbao: Variables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = f"etl-test/{uuid4().hex}#key"
    token = FixedCredential(openbao["ETL_TEST_VAULT_TOKEN"], source="VAULT_TOKEN")
    api = vault_api(openbao["ETL_TEST_VAULT_ADDR"], token)
    store = VaultSecrets(api)
    store.rotate(name, "canary-first", lambda value: None)
    with PineconeStandIn(keys={"canary-first", "canary-second"}) as pinecone:
        settings = {
            "ETL_HOME": str(tmp_path / "home"), "VAULT_ADDR": openbao["ETL_TEST_VAULT_ADDR"],
            "VAULT_TOKEN": openbao["ETL_TEST_VAULT_TOKEN"], "PINECONE_API_KEY": f"secret:{name}",
            "ETL_PINECONE_HOST": pinecone.url,
        }  # fmt: skip
        for variable, value in settings.items():
            monkeypatch.setenv(variable, value)
        new = tmp_path / "new"
        new.write_text("canary-wrong\n")
        assert run(["secrets", "rotate", "PINECONE_API_KEY", "--from-file", str(new)]) == 1
        assert store.get(name) == "canary-first"
        new.write_text("canary-second\n")
        assert run(["secrets", "rotate", name, "--from-file", str(new)]) == 0
        assert store.get(name) == "canary-second" and store.get(f"{name}_previous") == "canary-first"
        assert run(["secrets", "rotate", "etl-test/unknown", "--from-file", str(new)]) == 2
    told = capfd.readouterr()
    assert "canary" not in told.out + told.err
    assert "the one in use stays" in told.err and "no setting names this secret" in told.err
    api.close()
