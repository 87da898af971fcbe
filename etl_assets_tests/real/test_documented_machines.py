"""``docs/how-to/several-machines.md`` as two readers would follow it, each on a host of their own."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import psycopg

from etl_assets_tests.real.databases import new_database
from etl_assets_tests.real.queued_runs import awaited, virtual_host
from etl_assets_tests.real.s3_buckets import new_bucket
from etl_assets_tests.servers.fixtures import Variables

_BLOCK = re.compile(r"^ *```(text|ini)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LOCAL = "ETL_PARSER_PROCESSES=1\nETL_ARRIVALS_INTERVAL_S=5\nETL_SEARCH_TIME_LIMIT_S=5\nAWS_REGION=us-east-1\n"
"""Nothing of the page: small processes, soon awake, and patient on a busy machine."""


class Host:
    """A folder to work in with its ``.env``, and a home of its own."""

    def __init__(self, folder: Path, env_file: str) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(parents=True)
        (folder / ".env").write_text(f"{env_file}{LOCAL}ETL_HOME={self.home}\n")
        (self.home / "collections.yaml").write_text("defaults:\n  embedder: {kind: static}\n")

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self._words(arguments), **self._place(), capture_output=True, text=True, check=False)

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[Path]:
        """What a command prints while it serves; it ends well when it is told to stop."""
        log = self.folder / f"{arguments[0]}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(self._words(arguments), **self._place(), stdout=file, stderr=file)
        try:
            yield log
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=120) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    def _words(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "etl_assets.cli", *arguments]

    def _place(self) -> dict[str, object]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ}
        return {"cwd": self.folder, "env": kept}


def filled_in(written: str, mine: Mapping[str, str]) -> str:
    """The page's variables with values of servers that are here."""
    names = [line.split("=")[0] for line in written.splitlines()]
    assert set(names) - {"ETL_HOME"} == set(mine), "the page and this test name the same variables"
    return "".join(f"{name}={value}\n" for name, value in mine.items())


def test_two_hosts_that_are_set_up_as_the_page_says_share_the_work(
    tmp_path: Path, repository: Path, postgres: Variables, rabbitmq: Variables, minio: Variables, redis: Variables,
    lone_neo4j: Variables, databases: str,
) -> None:  # fmt: skip
    page = (repository / "docs" / "how-to" / "several-machines.md").read_text()
    blocks = [(kind, dedent(text)) for kind, text in _BLOCK.findall(page)]
    install, *commands = [shlex.split(line) for kind, text in blocks if kind == "text" for line in text.splitlines()]
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"\w+", install[-1].partition("[")[2])) <= set(extras)
    admin, bucket = postgres["ETL_TEST_POSTGRES_URL"], new_bucket(minio).settings
    mine = {
        "ETL_POSTGRES_URL": new_database(admin, f"{databases}ledger"),
        "ETL_DAGSTER_POSTGRES_URL": new_database(admin, f"{databases}dagster"),
        "ETL_CELERY_BROKER_URL": virtual_host(rabbitmq, databases), "ETL_S3_BUCKET": bucket.bucket,
        "AWS_ACCESS_KEY_ID": str(bucket.access_key_id), "AWS_SECRET_ACCESS_KEY": str(bucket.secret_access_key),
        "NEO4J_URI": lone_neo4j["ETL_TEST_NEO4J_URI"], "NEO4J_PASSWORD": lone_neo4j["ETL_TEST_NEO4J_PASSWORD"],
        "REDIS_URL": redis["ETL_TEST_REDIS_URL"],
    }  # fmt: skip
    ((_, written),) = [block for block in blocks if block[0] == "ini"]
    env_file = filled_in(written, mine) + f"AWS_ENDPOINT_URL={bucket.endpoint_url}\n"
    one, two = (Host(tmp_path / name, env_file) for name in ("one", "two"))

    (check, migrate), (ui,), (workers,) = commands[:2], commands[2:3], commands[3:]
    for _, *arguments in (check, migrate):
        done = one.command(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    with one.serving(*ui[1:], "--port", "0") as said, two.serving(*workers[1:]):
        (two.folder / "note.txt").write_text("APT28 used EMOTET.")
        added = two.command("document", "add", "note.txt", "--tenant", "acme", "--collection", "reports")
        assert added.returncode == 0, added.stderr
        awaited("the document is published", lambda: published(mine["ETL_POSTGRES_URL"]))
        (hit,) = json.loads(one.command("search", "EMOTET", "--json").stdout)["hits"]
        assert hit["path"] == "note.txt" and "the UI answers at" in said.read_text()


def published(url: str) -> int:
    with psycopg.connect(url) as connection:
        (count,) = connection.execute("SELECT count(*) FROM publications WHERE end_seq IS NULL").fetchone() or (0,)
    return int(count)
