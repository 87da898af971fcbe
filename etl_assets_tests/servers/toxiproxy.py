"""Toxiproxy: a TCP proxy to put before another server, that delays, throttles, cuts and resets by its HTTP API."""

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from etl_assets_tests.servers.model import Kept, Recipe, kept
from etl_assets_tests.servers.packages import go, is_cached
from etl_assets_tests.servers.processes import ports

VERSION = "v2.12.0"


def _install() -> Path:
    return go("toxiproxy", VERSION, "github.com/Shopify/toxiproxy/v2/cmd/server", "server")


def _run(folder: Path, given: Mapping[str, str], remove: bool) -> tuple[Kept, Mapping[str, str]]:
    port = ports(folder, "toxiproxy")["toxiproxy"]
    url = f"http://127.0.0.1:{port}"
    command = [str(_install()), "-host", "127.0.0.1", "-port", str(port)]
    return kept(folder, command, lambda: _ready(url), remove=remove), {"ETL_TEST_TOXIPROXY_URL": url}


def _ready(url: str) -> None:
    """A proxy is made and removed."""
    _call(url, "POST", "/proxies", {"name": "ready", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"})
    _call(url, "DELETE", "/proxies/ready")


def proxied(url: str, name: str, upstream: str) -> str:
    """A new proxy before ``upstream`` (``host:port``); the address (``127.0.0.1:port``) at which it listens."""
    body = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": True}
    return str(_call(url, "POST", "/proxies", body)["listen"])


def add_toxic(url: str, proxy: str, kind: str, *, stream: str = "downstream", **attributes: int) -> str:
    """Misbehave: ``latency`` (latency, jitter in ms), ``bandwidth`` (rate in kB/s), ``timeout``, ``reset_peer``
    (timeout in ms), ``slow_close`` (delay in ms), ``limit_data`` (bytes); the name by which it is removed."""
    body = {"type": kind, "stream": stream, "attributes": attributes}
    return str(_call(url, "POST", f"/proxies/{proxy}/toxics", body)["name"])


def remove_toxic(url: str, proxy: str, toxic: str) -> None:
    """Behave again."""
    _call(url, "DELETE", f"/proxies/{proxy}/toxics/{toxic}")


def set_enabled(url: str, proxy: str, enabled: bool) -> None:
    """Cut every connection and refuse new ones, or let them through again."""
    _call(url, "POST", f"/proxies/{proxy}", {"enabled": enabled})


def _call(url: str, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url + path, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as reply:
        text = reply.read()
    return dict(json.loads(text)) if text else {}


RECIPE = Recipe(
    "toxiproxy", VERSION, ("ETL_TEST_TOXIPROXY_URL",), _install, lambda: is_cached("toxiproxy", VERSION), _run
)
