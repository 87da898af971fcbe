"""A server that refuses every request and sends back what it was sent: how proxies and gateways tell credentials."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote
from xml.sax.saxutils import escape

from etl_assets_tests.servers.standin import Fault, StandIn

_CARRIERS = ("x-amz-security-token", "api-key", "x-vault-token", "authorization")
_OFTEN_SHOWN = 300


@dataclass
class Echo(StandIn):
    """``status`` of every answer, which begins with ``mark``. ``is_cut``: the credential stands where long messages
    are cut off.
    """

    status: int = 500
    is_cut: bool = False
    mark: str = ""

    def _reply(self, handler: BaseHTTPRequestHandler, fault: Fault | None, content: bytes) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        said = self._said(headers, content.decode(errors="replace"))
        code = f"Refused{self.status}"
        found = {
            "detail": said, "errors": [said], "message": said, "__type": code, "status": self.status,
            "error": {"code": code, "message": said},
        }  # fmt: skip
        body, kind = json.dumps(found).encode(), "application/json"
        if "x-amz-content-sha256" in headers:  # S3
            body, kind = f"<Error><Code>{code}</Code><Message>{escape(said)}</Message></Error>".encode(), "text/xml"
        handler.send_response(self.status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _said(self, headers: Mapping[str, str], content: str) -> str:
        """The credential of the request in several spellings, or cut in its middle, with all of the request."""
        sent = next((headers[name] for name in _CARRIERS if headers.get(name)), content)
        secret = sent.rpartition(" ")[2]
        if self.is_cut:
            return f"{self.mark:.<{_OFTEN_SHOWN - 24}} {secret} {headers} {content}"
        login = base64.b64encode(f"user:{secret}".encode()).decode()
        escaped = secret.replace("/", "\\/")
        return f"{self.mark} refused: {secret} {quote(secret, safe='')} {escaped} {login} {headers}"
