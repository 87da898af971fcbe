"""No credential is shown or stored: canaries in every secret variable, looked for wherever a command leaves bytes."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4
from zlib import compress

import psycopg
import pytest

from etl_assets import failures
from etl_assets.asset_keys import INGEST_JOB
from etl_assets.cli import run
from etl_assets.cli.probing import probed
from etl_assets.hosted_bindings import Connections
from etl_assets.serving import STORAGE_VARIABLE, render_instance
from etl_assets.settings import Settings
from etl_assets_tests.real.canaries import (
    Canaries,
    bytes_of_bucket,
    bytes_of_database,
    bytes_of_home,
    canary_environment,
    key_file,
    stored,
    with_credentials,
)
from etl_assets_tests.real.echoes import Echo
from etl_assets_tests.real.s3_buckets import write

TENANT = f"tenant{uuid4().hex[:8]}"
COLLECTIONS = f"""
defaults: {{embedder: {{kind: jina, dimension: 32}}}}
collections:
  {TENANT}/opinions: {{embedder: {{kind: openai, model: nomic, dimension: 48}}}}
"""
SYNC, SEARCH = ("--debug", "sync"), ("--debug", "search", "which group used EMOTET", "--tenant", TENANT, "--json")
CHECK = ("--debug", "backends", "check", "--json")
Changes = dict[str, str]
Places = dict[str, list[tuple[str, bytes]]]


@dataclass
class Told:
    """Commands in this process, and what each printed, under its own words.

    Their variables are in a file: nothing can be told from the environment by filtering what it holds.
    """

    capfd: pytest.CaptureFixture[str]
    env_file: Path
    printed: dict[str, bytes] = field(default_factory=dict)

    def run(self, case: str, env: Mapping[str, str], *arguments: str) -> int:
        """The exit code; 1 too for an error that is not caught, whose stack is printed as by the interpreter."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [*os.environ]:
                if name.startswith(("ETL_", "AWS_")) and not name.startswith("ETL_TEST_"):
                    patch.delenv(name)
            self.env_file.write_text("".join(f"{name}='{value}'\n" for name, value in env.items()))
            patch.setenv("ETL_ENV_FILE", str(self.env_file))
            self.capfd.readouterr()
            try:
                code = run(arguments)
            except Exception:  # noqa: BLE001  # what the interpreter would do
                traceback.print_exc()
                code = 1
        self.printed[f"{case}: {' '.join(arguments)}"] = "\n".join(self.capfd.readouterr()).encode()
        return code


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    # Every random wait before another attempt is the shortest that it may be.
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    monkeypatch.setattr(failures, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(failures, "STEP_RETRIES", 1)
    monkeypatch.setenv(STORAGE_VARIABLE, "")
    # A busy machine needs longer than a person wants to wait.
    monkeypatch.setitem(probed.__kwdefaults__, "limit_s", 60.0)
    return Told(capfd, tmp_path / "variables")


def at(url: str) -> dict[str, Changes]:
    """What sends each backend's calls to another address, by its name."""
    return {
        "Jina": {"ETL_JINA_BASE_URL": f"{url}/v1"}, "OpenAI": {"OPENAI_BASE_URL": f"{url}/v1"},
        "Pinecone": {"ETL_PINECONE_HOST": url}, "Vault": {"VAULT_ADDR": url}, "S3": {"AWS_ENDPOINT_URL": url},
        "SQS": {"ETL_S3_EVENTS_QUEUE_URL": f"{url}/queue/events"},
    }  # fmt: skip


def refused(env: Mapping[str, str], canaries: Canaries) -> dict[str, Changes]:
    """Changes by which one credential after the other is refused, and is another canary."""

    def for_nobody(name: str) -> Changes:
        # A server that trusts this machine asks for no password: the role is the one that it does not know.
        return {name: with_credentials(env[name], "nobody", canaries.new())}

    return {
        "S3's key": {"AWS_SECRET_ACCESS_KEY": canaries.new()},
        "S3's session": {"AWS_SESSION_TOKEN": canaries.new()},
        "ledger": for_nobody("SUPABASE_DB_URL"),
        "Dagster": for_nobody("ETL_DAGSTER_POSTGRES_URL"),
        "Redis": for_nobody("REDIS_URL"),
        "queue": for_nobody("CELERY_BROKER_URL"),
        "Pinecone": {"PINECONE_API_KEY": canaries.new()},
        "Neo4j": {"NEO4J_PASSWORD": canaries.new()},
        "Jina": {"JINA_API_KEY": stored(canaries.new())},
        "OpenAI": {"OPENAI_API_KEY": canaries.new()},
        "AppRole": {"VAULT_TOKEN": "", "VAULT_ROLE_ID": "etl", "VAULT_SECRET_ID": canaries.new()},
    }


def malformed(canaries: Canaries) -> Changes:
    """Addresses that cannot be read, with a password in each."""
    return {
        "SUPABASE_DB_URL": f"postgresql://u:{canaries.new()}@127.0.0.1:port/ledger",
        "ETL_DAGSTER_POSTGRES_URL": f"postgresql://u:{canaries.new()}@[::1/dagster",
        "REDIS_URL": f"redis://:{canaries.new()}@127.0.0.1:port/0",
        "CELERY_BROKER_URL": f"amqp://u:{canaries.new()}@127.0.0.1:port//",
    }


def merged(*changes: Mapping[str, str]) -> Changes:
    return {name: value for one in changes for name, value in one.items()}


class Home:
    """A home on every hosted backend, into which documents arrive, and two servers that send back what they get.

    ``mark`` is no credential: what those servers say has it at its beginning.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], told: Told, stack: ExitStack) -> None:
        self.folder, self.env, self.told = folder, env, told
        self.bucket = Connections(Settings.from_environment(env)).arrivals_bucket()
        self.mark = f"planted-{uuid4().hex}"
        tells, cuts = (Echo(status=status, is_cut=status == 401, mark=self.mark) for status in (500, 401))
        self.tells, self.cuts = (at(stack.enter_context(echo).url) for echo in (tells, cuts))
        self._arrived = 0

    def arrive(self) -> None:
        """One document more in each collection."""
        self._arrived += 1
        for collection in ("reports", "opinions"):
            body = f"Note {self._arrived}: APT28 used EMOTET against a bank.".encode()
            write(self.bucket, f"objects/{TENANT}/{collection}/{self._arrived}.txt", body)

    def fails(self, case: str, changes: Mapping[str, str], *arguments: str) -> None:
        """A command that must not go well."""
        assert self.told.run(case, {**self.env, **changes}, *arguments), [*self.told.printed.items()][-1]


def _good_commands(home: Home) -> None:
    home.arrive()
    for arguments in ((*CHECK, "--paid"), SYNC, SEARCH):
        assert home.told.run("let in", home.env, *arguments) == 0, [*home.told.printed.items()][-1]


def _failed_runs(home: Home, canaries: Canaries) -> None:
    """Partitions of one command fail at different backends: both have their own embedder."""
    wrong = refused(home.env, canaries)
    for case, changes in {
        "OpenAI tells, Pinecone tells": merged(home.tells["OpenAI"], home.cuts["Pinecone"]),
        "Jina tells, Neo4j refuses": merged(home.cuts["Jina"], wrong["Neo4j"]),
    }.items():
        home.arrive()
        home.fails(case, changes, *SYNC)
    for case in ("S3's key", "S3's session", "ledger", "Dagster"):
        home.fails(f"{case} refused", wrong[case], *SYNC)
    home.fails("S3 tells", home.tells["S3"], *SYNC)
    other_key = key_file(home.folder.parent / "another-key", canaries)
    home.fails("another master key", {"ETL_ENCRYPTION_KEY": f"file:{other_key}"}, *SYNC)
    home.told.run("Vault tells", {**home.env, **wrong["AppRole"], **home.cuts["Vault"]}, *SEARCH)
    home.told.run("Jina and Pinecone tell", {**home.env, **home.cuts["Jina"], **home.tells["Pinecone"]}, *SEARCH)


def _failed_checks(home: Home, canaries: Canaries) -> None:
    """Every role at once."""
    home.fails("all refused", merged(*refused(home.env, canaries).values()), *CHECK)
    for places in (home.tells, home.cuts):
        home.fails("all tell", merged(*places.values()), *CHECK)
    home.fails("malformed", malformed(canaries), *CHECK)


def _run_of_dagster(home: Home) -> "subprocess.Popen[bytes]":
    """A failing run in a process of its own, as the UI starts it, what it prints being kept in the bucket."""
    home.arrive()
    changes = {**home.cuts["Pinecone"], "ETL_S3_COMPUTE_LOGS": "true"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORAGE_VARIABLE, "")
        folder = render_instance(Settings.from_environment({**home.env, **changes}))
        changes |= {"DAGSTER_HOME": str(folder), STORAGE_VARIABLE: os.environ[STORAGE_VARIABLE]}
    tags = json.dumps({"dagster/partition": f"{TENANT}.reports.00-of-01"})
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "dagster", "job", "execute", "-m", "etl_assets.definitions", "-j", INGEST_JOB,
         "--tags", tags],
        env={**kept, **home.env, **changes}, cwd=home.folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _an_embedded_home(folder: Path, home: Home) -> None:
    """The same with ledger, lake and Dagster's storage in the home, where a refusal is recorded too."""
    folder.mkdir()
    (folder / "collections.yaml").write_text(COLLECTIONS)
    objects = folder / "objects" / TENANT / "opinions"
    objects.mkdir(parents=True)
    (objects / "bear.txt").write_text("The bear group used EMOTET against a bank.")
    env = {name: value for name, value in home.env.items() if name.startswith(("OPENAI", "ETL_SEARCH", "ETL_PARSER"))}
    assert home.told.run("embedded", {**env, **home.cuts["OpenAI"], "ETL_HOME": str(folder)}, *SYNC)


def _plant(home: Home) -> None:
    """Put the mark where no message of a backend comes by itself."""
    with psycopg.connect(home.env["SUPABASE_DB_URL"], autocommit=True) as connection:
        connection.execute("CREATE TABLE planted AS SELECT %s::bytea AS said", [home.mark.encode()])
    (home.folder / "logs").mkdir(exist_ok=True)
    (home.folder / "logs" / "planted.log").write_text(home.mark)


def _all_told(home: Home, embedded: Path) -> Places:
    """All that was left anywhere, by kind; the keys of others, which this machine holds, are none of it."""
    return {
        "printed": [*home.told.printed.items()],
        "ledger": list(bytes_of_database(home.env["SUPABASE_DB_URL"])),
        "Dagster": list(bytes_of_database(home.env["ETL_DAGSTER_POSTGRES_URL"])),
        "home": list(bytes_of_home(home.folder)),
        "bucket": list(bytes_of_bucket(home.bucket)),
        "embedded home": list(bytes_of_home(embedded)),
    }


def test_no_credential_is_printed_or_stored_whether_it_is_let_in_or_refused(tmp_path: Path, told: Told) -> None:
    folder, canaries = tmp_path / "home", Canaries()
    folder.mkdir()
    (folder / "collections.yaml").write_text(COLLECTIONS)
    with canary_environment(folder, canaries) as env, ExitStack() as stack:
        home = Home(folder, env, told, stack)
        _good_commands(home)
        of_dagster = _run_of_dagster(home)
        told.printed["dagster job execute"] = of_dagster.communicate()[0]
        assert of_dagster.returncode == 1, told.printed
        _failed_runs(home, canaries)
        _failed_checks(home, canaries)
        _an_embedded_home(tmp_path / "embedded", home)
        _plant(home)
        found = _all_told(home, tmp_path / "embedded")
    _is_where_it_is_looked_for(found, home.mark)
    leaks = [one for place in found.values() for where, content in place for one in canaries.found(where, content)]
    assert not leaks, "\n".join(leaks)


def _is_where_it_is_looked_for(found: Places, mark: str) -> None:
    """Every kind of place holds what it must hold if it is the right one, and what those who refuse have said."""
    marked = {kind: " ".join(name for name, text in place if mark.encode() in text) for kind, place in found.items()}
    assert all(marked.values()), f"what was planted is not found: {marked}"
    assert "event_logs" in marked["Dagster"] and "event_logs" in marked["embedded home"]
    assert "planted" in marked["ledger"] and "planted.log" in marked["home"] and "logs/storage" in marked["bucket"]
    for case in ("sync", "search", "check", "dagster job execute"):
        assert case in marked["printed"], f"nothing of those who refuse in: {marked['printed']}"
    full = {kind: " ".join(name for name, text in place if text) for kind, place in found.items()}
    assert ": outbox" in full["ledger"] and ": leases" in full["ledger"] and ": runs" in full["Dagster"]
    assert "dagster.yaml" in full["home"] and "ledger.sqlite: runs" in full["embedded home"]
    for prefix in ("objects/", "originals/", "lake/", "indexes/"):
        assert prefix in full["bucket"], full["bucket"]


@pytest.mark.parametrize("spelled", [str, quote, json.dumps, lambda text: b64encode(f"user:{text}".encode()).decode()])
def test_a_canary_is_found_in_every_spelling(tmp_path: Path, spelled: Callable[[str], str]) -> None:
    canaries = Canaries()
    text = f"before {spelled(canaries.new())} after"
    (tmp_path / "log").write_text(text)
    with closing(sqlite3.connect(tmp_path / "some.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE told (id INTEGER, said TEXT, packed BLOB)")
        connection.execute("INSERT INTO told VALUES (1, ?, NULL), (2, NULL, ?)", [text, compress(text.encode())])
    found = {where.rpartition("/")[2] for where, content in bytes_of_home(tmp_path) if canaries.found(where, content)}
    assert found == {"log", "some.sqlite", "some.sqlite: told"}
