"""RabbitMQ, from Debian, with its management API. Its wrapper changes the user, so the program behind it is called."""

import base64
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import debian, find_program
from etl_assets_tests.servers.processes import ports

VERSION = "3.10"
_FOLDER = "/usr/lib/rabbitmq/bin"


def _install() -> Path:
    return debian("rabbitmq-server", ["rabbitmq-server"], _FOLDER)


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    _install()
    port = ports(folder, "amqp", "management", "distribution", "epmd")
    for name in ("mnesia", "logs", "home"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port['amqp']}\nmanagement.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {port['management']}\n"
    )
    (folder / "enabled_plugins").write_text("[rabbitmq_management].")
    environment = {
        "HOME": str(folder / "home"), "RABBITMQ_NODENAME": f"tests{port['amqp']}@localhost",
        "RABBITMQ_BASE": str(folder), "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"), "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "rabbit.pid"),
        "RABBITMQ_DIST_PORT": str(port["distribution"]), "ERL_EPMD_PORT": str(port["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }  # fmt: skip
    management = f"http://127.0.0.1:{port['management']}"
    process = kept(
        folder, [f"{_FOLDER}/rabbitmq-server"], lambda: _ready(management), environment=environment, limit_s=120,
        remove=remove,
    )  # fmt: skip
    return process, {
        "ETL_TEST_AMQP_URL": f"amqp://guest:guest@127.0.0.1:{port['amqp']}/",
        "ETL_TEST_RABBITMQ_MANAGEMENT_URL": management,
    }


def _ready(management: str) -> None:
    """Its own test sends a message through a queue and takes it out again."""
    request = urllib.request.Request(f"{management}/api/aliveness-test/%2F")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    with urllib.request.urlopen(request, timeout=10) as reply:
        if json.load(reply) != {"status": "ok"}:
            raise ConnectionError("the message did not come back")


RECIPE = Recipe(
    "rabbitmq", VERSION, ("ETL_TEST_AMQP_URL", "ETL_TEST_RABBITMQ_MANAGEMENT_URL"), _install,
    lambda: find_program("rabbitmq-server", _FOLDER) is not None, _run,
)  # fmt: skip
