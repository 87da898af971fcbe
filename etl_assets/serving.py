"""The Dagster UI of one home: its configuration, and the webserver and the daemon as child processes.

Nothing here imports Dagster: the children are commands of their own.
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Any

from etl_assets.errors import ConfigError, PermanentError
from etl_assets.hosted_bindings import Connections, needs
from etl_assets.settings import Settings

CODE_LOCATION = "etl_assets.definitions"
"""The module that Dagster loads."""

WORKSPACE = f"""\
load_from:
  - python_module:
      module_name: {CODE_LOCATION}
      location_name: etl_assets
"""
# What steps log is in the events. To catch what they print as well, Dagster starts four more processes for each run
# and takes the standard streams of the process: a progress bar would be torn.
NO_COMPUTE_LOGS = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
STORAGE_VARIABLE = "DAGSTER_STORAGE_URL"
"""Holds the address of Dagster's database, which is so in no file: it has a password in it."""

# Runs are put into a queue at RabbitMQ, from which the workers of every machine take them.
QUEUED_RUNS = {"module": "etl_assets.resources.run_launcher", "class": "QueuedRuns"}
START_WITHIN_S = 7 * 24 * 3600
"""A run may wait for a worker for a week: it is in the queue, and lost there it would be noticed by nobody sooner."""

READY_WITHIN_S = 180.0
STOPPED_WITHIN_S = 20.0
_POLL_S = 0.2
OURS = "# Written by etl-assets at every start. Remove this line to keep your own changes.\n"
WHY = "# The reasons for these values are in the dagster.yaml that came with the package etl_assets.\n"
_PR_SET_PDEATHSIG = 1
_STORAGE_LOCK = "storage.lock"
_MAKE_STORAGE = "import sys; from dagster import DagsterInstance as I; I.from_config(sys.argv[1]).dispose()"


def render_instance(settings: Settings) -> Path:
    """The Dagster home of this installation, with ``dagster.yaml`` and ``workspace.yaml`` in it.

    A file from which a person removed the first line is left as it is.

    Raises:
        ConfigError: the home cannot be used.
    """
    import yaml

    folder = settings.home.create().dagster
    instance = WHY + yaml.safe_dump(_instance(settings, folder), sort_keys=False)
    for name, text in (("dagster.yaml", instance), ("workspace.yaml", WORKSPACE)):
        _write_ours(folder / name, OURS + text)
    return folder


def _instance(settings: Settings, folder: Path) -> dict[str, Any]:
    """The package's ``dagster.yaml`` with the limits, which hold for all who share the storage, and the places."""
    import yaml

    instance: dict[str, Any] = yaml.safe_load(files("etl_assets").joinpath("dagster.yaml").read_text())
    concurrency, monitoring = instance["concurrency"], instance["run_monitoring"]
    concurrency["runs"]["max_concurrent_runs"] = settings.max_runs
    by_tenant, _held = concurrency["runs"]["tag_concurrency_limits"]
    by_tenant["limit"] = settings.tenant_runs
    if settings.pool_limit is not None:
        concurrency["pools"]["default_limit"] = settings.pool_limit
    if settings.celery is not None:
        monitoring.update(start_timeout_seconds=START_WITHIN_S, poll_interval_seconds=5)
        instance["run_launcher"] = _launcher(settings)
    return {**instance, **_storage(settings, folder), "compute_logs": _compute_logs(settings)}


def _launcher(settings: Settings) -> dict[str, str]:
    needs("celery", "dagster_celery")
    if settings.postgres is None or settings.postgres.dagster_url is None:
        raise ConfigError(
            "ETL_CELERY_BROKER_URL: workers of several machines need Dagster's storage in common; "
            "set ETL_DAGSTER_POSTGRES_URL too"
        )
    return QUEUED_RUNS


def _storage(settings: Settings, folder: Path) -> dict[str, Any]:
    if settings.postgres is None or settings.postgres.dagster_url is None:
        events = {"module": "etl_assets.resources.event_log", "class": "PooledSqliteEventLogStorage"}
        return {"event_log_storage": {**events, "config": {"base_dir": str(folder / "history" / "runs")}}}
    needs("postgres", "dagster_postgres")
    url = Connections(settings).text(settings.postgres.dagster_url)
    # SQLAlchemy takes a plain postgresql:// for psycopg 3, which dagster-postgres does not bring.
    os.environ[STORAGE_VARIABLE] = f"postgresql+psycopg2://{url.partition('://')[2]}"
    storage = {"module": "etl_assets.resources.postgres_storage", "class": "PostgresStorage"}
    return {"storage": {"custom": {**storage, "config": {"postgres_url": {"env": STORAGE_VARIABLE}}}}}


def _compute_logs(settings: Settings) -> dict[str, Any]:
    place = settings.s3
    if place is None or not place.compute_logs:
        return NO_COMPUTE_LOGS
    needs("s3", "dagster_aws")
    prefix = "/".join(part for part in (place.prefix, "logs") if part)
    config: dict[str, object] = {"bucket": place.bucket, "prefix": prefix, "skip_empty_files": True}
    if place.endpoint_url is not None:
        config["endpoint_url"] = place.endpoint_url
    if place.region is not None:
        config["region"] = place.region
    if place.sse is not None:
        kms = {"SSEKMSKeyId": place.kms_key_id} if place.kms_key_id else {}
        config["upload_extra_args"] = {"ServerSideEncryption": place.sse, **kms}
    return {"module": "dagster_aws.s3.compute_log_manager", "class": "S3ComputeLogManager", "config": config}


@contextmanager
def opening_storage(folder: Path) -> Iterator[bool]:
    """Hold off every other process that opens Dagster's storage in ``folder``; whether it was opened before.

    Dagster makes its tables and notes their revision with no thought of a second process: of four that opened a
    fresh home at once, two failed, and left two revisions in it, under which nobody could open it again.
    """
    with open(folder / _STORAGE_LOCK, "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        is_made = lock.read() != ""
        yield is_made
        if not is_made:
            lock.write("made\n")


def serve(
    settings: Settings, *, host: str = "127.0.0.1", port: int = 3000, announce: Callable[[str], None] | None = None
) -> None:
    """Run the webserver and the daemon until SIGINT or SIGTERM; ``announce`` is told the address once it answers.

    ``port`` 0 takes a free one. The UI asks nobody for a password: only programs of this machine reach the default
    ``host``. Both children end with this process, however it ends; their output goes to the home's ``logs``.

    Raises:
        ConfigError: the home cannot be used, or the port is taken.
        PermanentError: a child ended by itself; the end of its log is in the message.
    """
    folder = render_instance(settings)
    chosen = _usable_port(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{chosen}"
    with opening_storage(folder) as is_made:
        if not is_made:
            # Both children would make it at once. Whatever fails here fails again in a child, which tells why.
            subprocess.run([sys.executable, "-c", _MAKE_STORAGE, str(folder)], capture_output=True, check=False)
    children: list[_Child] = []
    with _stoppable() as stop:
        try:
            for name, module in commands(folder, host, chosen).items():
                children.append(_Child(name, module, settings, folder))
            _wait_until_ready(address, children, stop)
            if not stop and announce is not None:
                announce(address)
            while not stop:
                for child in children:
                    child.check()
                time.sleep(_POLL_S)
        finally:
            _stop(children)


def commands(folder: Path, host: str, port: int) -> dict[str, list[str]]:
    """What is run: a Python module and its arguments, by the name of its log."""
    workspace = str(folder / "workspace.yaml")
    return {
        "webserver": ["dagster_webserver", "--host", host, "--port", str(port), "--workspace", workspace],
        "daemon": ["dagster._daemon", "run", "--workspace", workspace],
    }


class _Child:
    """One child process. It is told to stop when this process dies, and it gets no signals of our terminal."""

    def __init__(self, name: str, module: Sequence[str], settings: Settings, folder: Path) -> None:
        self.name = name
        self.log = settings.home.logs / f"{name}.log"
        env = {**os.environ, **settings.as_environment(), "DAGSTER_HOME": str(folder)}
        libc = ctypes.CDLL(None)  # loaded here: after the fork only what is loaded already may be called
        parent = os.getpid()

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip

    def check(self) -> None:
        """Raise PermanentError if it has ended."""
        if self.process.poll() is not None:
            end = self.log.read_bytes()[-2000:].decode(errors="replace").strip()
            raise PermanentError(f"the {self.name} ended with code {self.process.returncode}; see {self.log}:\n{end}")


def _wait_until_ready(address: str, children: Sequence[_Child], stop: list[int]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not stop:
        for child in children:
            child.check()
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=2.0):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as e:
            if time.monotonic() > deadline:
                raise PermanentError(f"the webserver did not answer within {READY_WITHIN_S:.0f} s: {e}") from e
        time.sleep(_POLL_S)


def _stop(children: Sequence[_Child]) -> None:
    """End the children and what they started: each leads a group of its own."""
    for child in children:
        _signal(child, signal.SIGTERM)
    deadline = time.monotonic() + STOPPED_WITHIN_S
    for child in children:
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(child, signal.SIGKILL)
            child.process.wait()


def _signal(child: _Child, number: int) -> None:
    if child.process.poll() is not None:
        return
    try:
        if number == signal.SIGKILL:
            os.killpg(child.process.pid, number)
        else:
            child.process.send_signal(number)
    except ProcessLookupError:
        return  # it ended in this moment


def _usable_port(host: str, port: int) -> int:
    """``port`` itself, or a free one for 0.

    Raises:
        ConfigError: something listens there already, or the host is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            raise ConfigError(f"{host}:{port} cannot be used ({e.strerror}); choose another port or host") from e
        return int(probe.getsockname()[1])


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """The signals that asked us to stop; filled by SIGINT and SIGTERM for the time of the context."""
    stop: list[int] = []

    def asked(number: int, _frame: FrameType | None) -> None:
        stop.append(number)

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_ours(path: Path, text: str) -> None:
    try:
        found = path.read_text()
    except FileNotFoundError:
        found = OURS
    if found.startswith(OURS) and found != text:
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text(text)
        scratch.replace(path)
