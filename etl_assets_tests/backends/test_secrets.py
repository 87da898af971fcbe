"""Secrets: read, held, rotated, and never shown."""

import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from etl_assets.backends.credentials import FixedCredential, StoredCredential
from etl_assets.backends.http_calls import HttpApi, Patience
from etl_assets.backends.kept_secrets import EnvironmentSecrets, KeptSecrets
from etl_assets.backends.vault_secrets import AppRoleCredential, VaultSecrets, vault_api
from etl_assets.errors import ConfigError, EtlAssetsError, PermanentError, TransientError
from etl_assets.protocols.secrets import SecretValue
from etl_assets_tests.servers.standin import Fault
from etl_assets_tests.servers.vault_standin import VaultStandIn

CANARY = "canary-77aa-do-not-show"
AT_ONCE = Patience(attempts=3, total_s=5.0, base_s=0.0, cap_s=0.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Refusing(Exception):
    """What a verification raises in these tests."""


def refuse(value: str) -> None:
    raise Refusing


def accept(value: str) -> None:
    pass


@pytest.fixture
def server() -> Iterator[VaultStandIn]:
    with VaultStandIn() as vault:
        assert isinstance(vault, VaultStandIn)
        yield vault


@pytest.fixture
def api(server: VaultStandIn) -> Iterator[Callable[..., HttpApi]]:
    with ExitStack() as stack:

        def make(token: str | None = "root-token") -> HttpApi:
            credential = FixedCredential(token, source="VAULT_TOKEN") if token else None
            opened = vault_api(server.url, credential, patience=AT_ONCE)
            stack.callback(opened.close)
            return opened

        yield make


def test_a_secret_is_in_no_repr_and_leaves_no_process() -> None:
    value = SecretValue("jina", CANARY, "3")
    assert CANARY not in f"{value} {value!r}" and "jina" in repr(value)
    with pytest.raises(TypeError, match="must not leave") as caught:
        pickle.dumps(value)
    assert CANARY not in str(caught.value)


def test_the_environment_gives_variables_and_mounted_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("from file\n")
    secrets = EnvironmentSecrets({"A": "text", "B_FILE": str(file), "EMPTY_FILE": str(tmp_path / "empty")})
    assert (secrets.get("A"), secrets.get("B")) == ("text", "from file")
    file.write_text("rotated")
    assert secrets.reread("B").text == "rotated"
    (tmp_path / "empty").write_text("\n")
    for name, words in (("C", "C: not set"), ("EMPTY", "empty")):
        with pytest.raises(ConfigError, match=words):
            secrets.get(name)
    monkeypatch.setenv("ETL_TEST_SECRET", "from the process")
    assert EnvironmentSecrets().get("ETL_TEST_SECRET") == "from the process"


def test_wrong_variables_are_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    wrong = {"A": CANARY, "A_FILE": "x", "B_FILE": str(tmp_path / "absent"), "C_FILE": str(tmp_path / "binary")}
    for name, words in (("A", "both are set"), ("B", "No such file"), ("C", "not UTF-8")):
        with pytest.raises(ConfigError, match=words) as caught:
            EnvironmentSecrets(wrong).get(name)
        assert CANARY not in str(caught.value)


def test_a_rotation_is_seen_after_the_time_or_when_asked_again() -> None:
    clock, variables = Clock(), {"A": "old"}
    secrets = KeptSecrets(EnvironmentSecrets(variables), ttl_s=300, clock=clock)
    assert secrets.get("A") == "old"
    variables["A"] = "new"
    assert secrets.get("A") == "old"
    clock.now = 300
    assert secrets.get("A") == "new"
    variables["A"] = "newer"
    credential = StoredCredential(secrets, "A")
    assert credential.renewed("new") == "newer"
    assert credential.renewed("newer") is None
    assert (credential.value(), credential.source) == ("newer", "A")
    assert "newer" not in repr(credential) + repr(secrets)


def test_held_secrets_serve_while_the_store_is_away_but_not_for_ever() -> None:
    class Store:
        away = False

        def reread(self, name: str) -> SecretValue:
            if self.away:
                raise TransientError("sealed")
            return SecretValue(name, "text", lease_s=100)

        def current(self, name: str) -> SecretValue:
            return self.reread(name)

        def get(self, name: str) -> str:
            return self.reread(name).text

    clock, store = Clock(), Store()
    secrets = KeptSecrets(store, ttl_s=300, stale_s=3600, clock=clock)
    secrets.get("A")
    store.away = True
    clock.now = 99
    assert secrets.get("A") == "text", "the lease is not over"
    clock.now = 3599
    assert secrets.get("A") == "text"
    clock.now = 3600
    with pytest.raises(TransientError, match="sealed"):
        secrets.get("A")
    with pytest.raises(TransientError):
        secrets.get("B")
    with pytest.raises(ConfigError):
        KeptSecrets(store, ttl_s=10, stale_s=5)


def test_vault_gives_fields_with_their_version(server: VaultStandIn, api: Callable[..., HttpApi]) -> None:
    server.stored["etl/jina"] = [None, {"value": "v", "api_key": "k", "number": 3}]
    secrets = VaultSecrets(api())
    assert secrets.get("etl/jina") == "v"
    assert secrets.current("etl/jina#api_key") == SecretValue("etl/jina#api_key", "k", "2")
    assert secrets.reread("/etl/jina/#api_key").text == "k"
    for name, words in (
        ("etl/absent", "no secret etl/absent"),
        ("etl/jina#number", "no text in its field 'number'"),
        ("#x", "path#field"),
    ):
        with pytest.raises(ConfigError, match=words):
            secrets.get(name)


def test_vault_that_refuses_or_is_sealed_is_told_apart(server: VaultStandIn, api: Callable[..., HttpApi]) -> None:
    with pytest.raises(PermanentError, match="Vault: HTTP 403: permission denied; check VAULT_TOKEN"):
        VaultSecrets(api(f"{CANARY}")).get("etl/jina")
    server.misbehave(*[Fault("error", status=503, body={"errors": ["Vault is sealed"]})] * 9)
    with pytest.raises(TransientError, match="Vault is sealed"):
        VaultSecrets(api()).get("etl/jina")
    server.misbehave()
    server.stored["etl/odd"] = [["no object"]]  # type: ignore[list-item]
    with pytest.raises(TransientError, match="holds no secret"):
        VaultSecrets(api()).get("etl/odd")


def test_a_verified_value_comes_into_use_and_the_former_stays_beside(
    server: VaultStandIn, api: Callable[..., HttpApi]
) -> None:
    server.stored["etl/jina"] = [{"api_key": "old", "other": "kept"}]
    secrets, seen = VaultSecrets(api()), []

    def verify(value: str) -> None:
        seen.append((value, secrets.get("etl/jina#api_key")))

    made = secrets.rotate("etl/jina#api_key", "new", verify)
    assert seen == [("new", "old")], "readers have the old one until the new one is verified"
    assert (made.version, secrets.get("etl/jina#api_key")) == ("3", "new")
    assert server.stored["etl/jina"][-1] == {"api_key": "new", "api_key_previous": "old", "other": "kept"}
    assert secrets.rotate("etl/new", "first", accept).version == "2"
    assert server.stored["etl/new"][-1] == {"value": "first"}


def test_a_refused_value_never_comes_into_use(server: VaultStandIn, api: Callable[..., HttpApi]) -> None:
    server.stored["etl/jina"] = [{"value": "old"}]
    secrets = VaultSecrets(api())
    with pytest.raises(Refusing):
        secrets.rotate("etl/jina", CANARY, refuse)
    assert server.stored["etl/jina"][-1] == {"value": "old"}

    def cut_off(value: str) -> None:
        server.keys.clear()
        raise Refusing

    with pytest.raises(Refusing) as caught:
        secrets.rotate("etl/jina", CANARY, cut_off)
    assert "still stands beside" in caught.value.__notes__[0]
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    server.keys = {"root-token"}
    assert secrets.get("etl/jina") == "old", "what was left over is in nobody's way"
    assert secrets.rotate("etl/jina", "newest", accept).text == secrets.get("etl/jina") == "newest"


def test_two_rotations_at_once_do_not_overwrite_each_other(server: VaultStandIn, api: Callable[..., HttpApi]) -> None:
    server.stored["etl/jina"] = [{"value": "old"}]
    secrets = VaultSecrets(api())

    def somebody_else(value: str) -> None:
        server.stored["etl/jina"].append({"value": "theirs"})

    with pytest.raises(TransientError, match="changed by somebody else"):
        secrets.rotate("etl/jina", "mine", somebody_else)
    assert secrets.get("etl/jina") == "theirs"


def test_a_write_whose_answer_was_lost_is_not_taken_for_another_ones(
    server: VaultStandIn, api: Callable[..., HttpApi]
) -> None:
    server.stored["etl/jina"] = [{"value": "old"}]
    server.misbehave(None, Fault("hang-up"), None, None, None, Fault("truncated"))
    assert VaultSecrets(api()).rotate("etl/jina", "new", accept).version == "3"
    assert server.stored["etl/jina"][-1] == {"value": "new", "value_previous": "old"}


def test_an_app_role_logs_in_anew_before_its_token_ends_and_when_it_is_refused(
    server: VaultStandIn, api: Callable[..., HttpApi]
) -> None:
    server.stored["a"], server.roles["role"] = [{"value": "v"}], CANARY
    clock = Clock()
    secret_id = FixedCredential(CANARY, source="VAULT_SECRET_ID")
    role = AppRoleCredential(api(None), "role", secret_id, namespace="team", clock=clock)
    opened = vault_api(server.url, role, patience=AT_ONCE)
    secrets = VaultSecrets(opened, namespace="team")
    assert secrets.get("a") == secrets.get("a") == "v" and server.logins == 1
    clock.now = 0.8 * 3600
    assert secrets.get("a") == "v" and server.logins == 2
    server.keys.clear()
    assert secrets.get("a") == "v" and server.logins == 3
    assert {one.headers.get("x-vault-namespace") for one in server.requests} == {"team"}
    assert role.renewed("an older token") == "login-token-3"
    opened.close()
    server.roles.clear()
    with pytest.raises(PermanentError, match="HTTP 400 at AppRole login; check the role id and VAULT_SECRET_ID") as e:
        AppRoleCredential(api(None), "role", secret_id).value()
    assert CANARY not in "".join(traceback.format_exception(e.value)) + repr(role)


def test_a_login_without_a_token_is_transient(server: VaultStandIn, api: Callable[..., HttpApi]) -> None:
    server.roles["role"] = "secret"
    server.answer = lambda *request: {"auth": None}  # type: ignore[method-assign]
    with pytest.raises(TransientError, match="without a token"):
        AppRoleCredential(api(None), "role", FixedCredential("secret", source="S")).value()
    with pytest.raises(EtlAssetsError, match="without a version"):
        server.answer = lambda method, *request: {"data": {"data": {}, "metadata": {"version": 1}}}  # type: ignore[method-assign]
        VaultSecrets(api()).rotate("a", "x", accept)
