"""MinIO, built from its Go module: the main S3 server. AGPL: it is run, never linked."""

import base64
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import go, is_cached
from etl_assets_tests.servers.processes import ports
from etl_assets_tests.servers.s3_probe import ACCESS_KEY, SECRET_KEY, s3_probe, s3_variables

VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""Releases of MinIO are no Go versions; this commit is the last of its repository that the proxy lists."""


def _install() -> Path:
    return go("minio", VERSION, "github.com/minio/minio", "minio")


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "minio")["minio"]
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        "MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off", "HOME": str(folder),
        # A fixed key: a server that is started again over the same folder must read what it wrote.
        "MINIO_KMS_SECRET_KEY": "tests:" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    }  # fmt: skip
    command = [str(_install()), "server", str(folder / "data"), "--address", f"127.0.0.1:{port}", "--quiet"]
    process = kept(folder, command, s3_probe(endpoint), environment=environment, remove=remove)
    return process, s3_variables("ETL_TEST_S3", endpoint)


RECIPE = Recipe(
    "minio", VERSION, ("ETL_TEST_S3_ENDPOINT", "ETL_TEST_S3_ACCESS_KEY", "ETL_TEST_S3_SECRET_KEY"), _install,
    lambda: is_cached("minio", VERSION), _run,
)  # fmt: skip
