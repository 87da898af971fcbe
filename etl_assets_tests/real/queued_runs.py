"""Machines for tests: homes of their own that share PostgreSQL, S3 and RabbitMQ, a daemon, and workers."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from sqlalchemy.engine import make_url

from etl_assets.bindings import open_platform
from etl_assets.documents.platform import Platform
from etl_assets.hosted_settings import CeleryPlace, PostgresPlace, S3Place
from etl_assets.serving import STORAGE_VARIABLE, render_instance
from etl_assets.settings import Settings
from etl_assets_tests.real.databases import new_database
from etl_assets_tests.real.s3_buckets import new_bucket

LIMIT_S = 300.0


def awaited(what: str, found: Callable[[], Any], *, limit_s: float = LIMIT_S) -> Any:
    """What ``found`` gives once it is true."""
    until = time.monotonic() + limit_s
    while not (value := found()):
        assert time.monotonic() < until, f"{what}: not within {limit_s} s"
        time.sleep(0.1)
    return value


@dataclass
class Machines:
    """Settings of one installation on several machines."""

    folder: Path
    shared: Settings
    collections: str
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def machine(self, name: str) -> Settings:
        settings = replace(self.shared, home_folder=str(self.folder / name))
        settings.home.create().collections_file.write_text(self.collections)
        return settings

    def start(self, settings: Settings, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        """A Python module as a process of this machine."""
        env = {**os.environ, **settings.as_environment(), **variables, "DAGSTER_HOME": str(settings.home.dagster)}
        with open(settings.home.logs / f"{arguments[0]}.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env=env, stdout=log, stderr=log, start_new_session=True,
                cwd=settings.home.root,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def daemon(self, settings: Settings) -> "subprocess.Popen[bytes]":
        return self.start(settings, "dagster._daemon", "run", "-w", str(settings.home.dagster / "workspace.yaml"))

    def workers(self, settings: Settings, *arguments: str) -> "subprocess.Popen[bytes]":
        return self.start(settings, "etl_assets.cli", "workers", *arguments)

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for name in children_in(self.folder):
            os.kill(name, signal.SIGKILL)


def children_in(folder: Path) -> list[int]:
    """Processes whose current folder lies in ``folder``: those of machines that outlived who started them."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and Path(os.readlink(process / "cwd")).is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return found


@contextmanager
def machines(
    folder: Path, servers: Mapping[str, str], prefix: str, *, collections: str, **changes: Any
) -> Iterator[Machines]:
    """``prefix`` begins the names of the two databases that are made; ``collections`` is every machine's file."""
    admin = servers["ETL_TEST_POSTGRES_URL"]
    urls = [new_database(admin, f"{prefix}{name}") for name in ("ledger", "dagster")]
    minio = {name: value for name, value in servers.items() if name.startswith("ETL_TEST_S3_")}
    bucket = new_bucket(minio).settings
    shared = Settings(
        search_time_limit_s=0.1, parser_processes=1, arrivals_interval_s=5,
        postgres=PostgresPlace(urls[0], dagster_url=urls[1]),
        celery=CeleryPlace(virtual_host(servers, prefix)),
        s3=S3Place(
            bucket.bucket, endpoint_url=bucket.endpoint_url, access_key_id=bucket.access_key_id,
            secret_access_key=bucket.secret_access_key, region="us-east-1",
        ),
    )  # fmt: skip
    made = Machines(folder, replace(shared, **changes), collections)
    before = os.environ.get(STORAGE_VARIABLE)
    try:
        yield made
    finally:
        made.end()
        os.environ.pop(STORAGE_VARIABLE, None)
        if before is not None:
            os.environ[STORAGE_VARIABLE] = before


def virtual_host(servers: Mapping[str, str], name: str) -> str:
    """The broker's address with a virtual host that nobody else uses."""
    url = make_url(servers["ETL_TEST_AMQP_URL"])
    credentials = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    everything = json.dumps({"configure": ".*", "write": ".*", "read": ".*"}).encode()
    for path, body in ((f"vhosts/{name}", b"{}"), (f"permissions/{name}/{url.username}", everything)):
        request = urllib.request.Request(
            f"{servers['ETL_TEST_RABBITMQ_MANAGEMENT_URL']}/api/{path}", body, method="PUT",
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )  # fmt: skip
        urllib.request.urlopen(request, timeout=30).close()
    return f"amqp://{url.username}:{url.password}@{url.host}:{url.port}/{name}"


def hearts(place: Machines) -> list[str]:
    """Ids of the runs whose hearts are in the storage."""
    assert place.shared.postgres is not None and place.shared.postgres.dagster_url is not None
    with psycopg.connect(place.shared.postgres.dagster_url) as connection:
        rows = connection.execute("SELECT key FROM kvs WHERE starts_with(key, 'etl_assets/heart/') ORDER BY key")
        return [key.rpartition("/")[2] for (key,) in rows.fetchall()]


@contextmanager
def instance_of(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage as this machine sees it."""
    folder = render_instance(settings)
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


@contextmanager
def platform_of(settings: Settings) -> Iterator[Platform]:
    platform = open_platform(settings)
    try:
        yield platform
    finally:
        platform.ledger.close()
