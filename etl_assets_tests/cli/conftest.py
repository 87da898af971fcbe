"""A small real home, made once by the command itself, and copies of it for tests that change something."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from etl_assets.bindings import open_platform
from etl_assets.cli import run
from etl_assets.documents.arrivals.intake import survey
from etl_assets.ledger.catalogue import partitions
from etl_assets.ledger.objects import renew_fingerprints
from etl_assets.settings import Settings
from etl_assets_tests.cli.steps_alone import StepsAlone

RUNS = {"sync", "quarantine", "generation", "delete", "republish", "repair", "restore", "index", "import"}
"""Commands that run partitions, or that remove from stores what no search can be reading any more."""

SETTINGS = "defaults:\n  embedder: {kind: static}\n"

TEXTS = {
    "acme/reports/apt/bear.txt": "The bear group used EMOTET against a bank.\nIt moved to the mail server of APT28.",
    "acme/reports/apt/panda.md": "# Panda\n\nThe panda group used TRICKBOT and EMOTET. A factory stopped for a week.",
    "acme/reports/notes/garden.txt": "Roses want sun and water. CVE-2021-44228 is no rose.",
    "acme/reports/empty.txt": "",
    "acme/reports/line\nbreak.txt": "A name may hold a line break; EMOTET does not care.",
    "zeta/mail/one.txt": "APT28 wrote a mail about CVE-2021-44228.",
    "stray.txt": "This belongs to no collection.",
}


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Outcome]


def put(home: Path, texts: dict[str, str]) -> None:
    for key, text in texts.items():
        path = home / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def etl(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """``etl("status", "--json", home=...)``: the command in this process, with its exit code and both outputs."""

    def call(*arguments: str, home: Path) -> Outcome:
        monkeypatch.setenv("ETL_HOME", str(home))
        monkeypatch.setenv("ETL_PARSER_PROCESSES", "1")  # starting one costs more than what it parses here
        # A run waits for so long before it removes what was superseded, and its checks search once or twice; a search
        # of a person on a busy machine needs long.
        monkeypatch.setenv("ETL_SEARCH_TIME_LIMIT_S", "1" if RUNS & set(arguments) else "20")
        capfd.readouterr()
        code = run(arguments)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synced home that no test may change."""
    home = tmp_path_factory.mktemp("cli") / "home"
    put(home, TEXTS)
    (home / "collections.yaml").write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ETL_HOME", str(home))
        patch.setenv("ETL_PARSER_PROCESSES", "1")
        patch.setenv("ETL_SEARCH_TIME_LIMIT_S", "20")  # for the searches of its checks; it supersedes nothing
        assert run(["sync"]) == 0
    return home


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    """A copy of the synced home, in which nothing has changed since."""
    return copied(made_home, tmp_path / "home")


def copied(home: Path, place: Path) -> Path:
    """A copy of a synced home whose ledger knows the copied objects, which are other files, for those it has seen."""
    shutil.copytree(home, place)
    platform = open_platform(Settings(home_folder=str(place)))
    for tenant, collection in {(one.tenant, one.collection) for one in partitions(platform.ledger)}:
        shards = platform.collections.of(tenant, collection).shards
        found = survey(platform.ledger, platform.arrivals, tenant, collection, shards=shards)
        copies = {one.document_id: one.info.fingerprint for part in found.changes.values() for one in part.changed}
        with platform.ledger.writing() as connection:
            renew_fingerprints(connection, copies)
    platform.close()
    return place


@pytest.fixture
def without_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that sync on their way to something else: Dagster's own work is three quarters of a small run.

    What its runs are, what they report and how they fail is in ``test_sync``, ``test_runs``, ``test_control``.
    """
    monkeypatch.setattr("etl_assets.launching._Runner", StepsAlone)
