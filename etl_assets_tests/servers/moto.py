"""moto's server: a second opinion on S3, and Amazon's secrets, keys and queues. It checks no signatures."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import is_cached, wheels
from etl_assets_tests.servers.processes import ports
from etl_assets_tests.servers.s3_probe import s3_probe, s3_variables

VERSION = "5.2.5"


def _install() -> Path:
    return wheels("moto", VERSION, f"moto[server]=={VERSION}")


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "moto")["moto"]
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-S", "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    environment = {"PYTHONPATH": str(_install()), "PYTHONWARNINGS": "ignore"}
    process = kept(folder, command, s3_probe(endpoint), environment=environment, stop=signal.SIGKILL, remove=remove)
    return process, s3_variables("ETL_TEST_MOTO", endpoint)


RECIPE = Recipe(
    "moto", VERSION, ("ETL_TEST_MOTO_ENDPOINT", "ETL_TEST_MOTO_ACCESS_KEY", "ETL_TEST_MOTO_SECRET_KEY"), _install,
    lambda: is_cached("moto", VERSION), _run,
)  # fmt: skip
