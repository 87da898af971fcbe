"""ElasticMQ, the queues of SQS, from its jars."""

import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import is_cached, jars, java
from etl_assets_tests.servers.processes import ports

VERSION = "1.6.12"


def _install() -> Path:
    return jars("elasticmq", VERSION, f"org.elasticmq:elasticmq-server_2.13:{VERSION}")


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "sqs")["sqs"]
    settings = {
        # Both ports: the first is what its queue URLs say.
        "node-address.host": "127.0.0.1", "node-address.port": port, "rest-sqs.bind-hostname": "127.0.0.1",
        "rest-sqs.bind-port": port, "rest-stats.enabled": "false",
    }  # fmt: skip
    command = [str(java()), "-Xmx256m", *(f"-D{name}={value}" for name, value in settings.items())]
    command += ["-cp", f"{_install()}/*", "org.elasticmq.server.Main"]
    endpoint = f"http://127.0.0.1:{port}"
    process = kept(folder, command, lambda: _ready(endpoint), remove=remove)
    return process, {"ETL_TEST_SQS_ENDPOINT": endpoint}


def _ready(endpoint: str) -> None:
    query = urllib.parse.urlencode({"Action": "CreateQueue", "QueueName": "ready"})
    with urllib.request.urlopen(f"{endpoint}/?{query}", timeout=5) as reply:
        if b"<QueueUrl>" not in reply.read():
            raise ConnectionError("no queue was made")
    query = urllib.parse.urlencode({"Action": "SendMessage", "MessageBody": "ready"})
    urllib.request.urlopen(f"{endpoint}/000000000000/ready?{query}", timeout=5).close()


RECIPE = Recipe(
    "elasticmq", VERSION, ("ETL_TEST_SQS_ENDPOINT",), _install, lambda: is_cached("elasticmq", VERSION), _run
)
