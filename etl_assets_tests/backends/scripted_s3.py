"""A small S3 in this process that can misbehave: for what no real server can be made to do.

What is right of S3 is tested on real servers (``etl_assets_tests/real``); this one only has to be right enough for a
fault in the middle of something that works.
"""

import hashlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"
ACCESS_KEY = "AKCANARYKEYID0001"
SECRET_KEY = "canary-secret-access-key"
SESSION_TOKEN = "canary-session-token"
CANARIES = (ACCESS_KEY, SECRET_KEY, SESSION_TOKEN)


@dataclass
class Request:
    """One request as it came. ``key`` is "" for the bucket itself."""

    method: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Answer:
    """One answer. With ``sent`` only so many bytes of the body are sent before the connection is reset."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    sent: int | None = None


@dataclass
class Kept:
    body: bytes
    headers: dict[str, str]
    modified: datetime

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


Fault = Callable[[Request, "ScriptedS3"], "Answer | None"]


def refusal(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """An error as S3 answers it."""
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode()
    return Answer(status, body, {"Content-Type": "application/xml", **headers})


class ScriptedS3:
    """Objects by key, every request that came, and faults: each looks at a request first and may answer it itself."""

    def __init__(self) -> None:
        self.objects: dict[str, Kept] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.page_size = 1000
        self.now = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
        self.endpoint = ""
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._upload_ids = itertools.count(1)

    def write(self, key: str, body: bytes, *, age_s: int = 60, **headers: str) -> None:
        """Put an object there, as another program would have done ``age_s`` ago."""
        modified = datetime.fromtimestamp(self.now.timestamp() - age_s, UTC)
        self.objects[key] = Kept(body, {"Content-Type": "binary/octet-stream", **headers}, modified)

    def once(self, method: str, answer: Answer, *, times: int = 1) -> None:
        """Answer the next ``times`` requests of a method in this way."""
        left = itertools.repeat(None, times)

        def fault(request: Request, server: "ScriptedS3") -> Answer | None:
            return answer if request.method == method and next(left, self) is None else None

        self.faults.append(fault)

    def answer(self, request: Request) -> Answer:
        """What a request gets."""
        self.requests.append(request)
        for fault in self.faults:
            answer = fault(request, self)
            if answer is not None:
                return answer
        if not request.key:
            return Answer() if request.method == "HEAD" else self._listing(request.query)
        handler: Callable[[Request], Answer] = getattr(self, f"_{request.method.lower()}")
        return handler(request)

    def _listing(self, query: Mapping[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        rows: dict[str, str] = {}
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                folder = key[: cut + 1]
                rows[folder] = f"<CommonPrefixes><Prefix>{quote(folder)}</Prefix></CommonPrefixes>"
            else:
                one = self.objects[key]
                rows[key] = (
                    f"<Contents><Key>{quote(key)}</Key><LastModified>{one.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
                    f"<ETag>{escape(one.etag)}</ETag><Size>{len(one.body)}</Size></Contents>"
                )
        after = query.get("continuation-token", "")
        page = [key for key in rows if key > after][: self.page_size]
        more = bool(page) and page[-1] != [*rows][-1]
        token = f"<NextContinuationToken>{quote(page[-1])}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><Name>{BUCKET}</Name><EncodingType>url</EncodingType>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            f"{''.join(rows[key] for key in page)}</ListBucketResult>"
        )
        return Answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _get(self, request: Request) -> Answer:
        kept = self.objects.get(request.key)
        if kept is None:
            return refusal(404, "NoSuchKey")
        if "tagging" in request.query:
            tag = "<Tagging><TagSet><Tag><Key>class</Key><Value>a</Value></Tag></TagSet></Tagging>"
            return Answer(200, tag.encode(), {"Content-Type": "application/xml"})
        if request.headers.get("If-Match", kept.etag) != kept.etag:
            return refusal(412, "PreconditionFailed")
        headers = {**kept.headers, "ETag": kept.etag, "Last-Modified": format_datetime(kept.modified, usegmt=True)}
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(kept.body) - 1}/{len(kept.body)}"
        return Answer(206 if start else 200, kept.body[start:], headers)

    def _head(self, request: Request) -> Answer:
        answer = self._get(request)
        return Answer(answer.status, b"", answer.headers)

    def _put(self, request: Request) -> Answer:
        if "uploadId" in request.query:
            self._uploads[request.query["uploadId"]][int(request.query["partNumber"])] = request.body
            return Answer(headers={"ETag": '"part"'})
        if request.headers.get("If-None-Match") == "*" and request.key in self.objects:
            return refusal(412, "PreconditionFailed")
        self._keep(request.key, request.body, request.headers)
        return Answer(headers={"ETag": self.objects[request.key].etag})

    def _post(self, request: Request) -> Answer:
        if "uploads" in request.query:
            upload_id = str(next(self._upload_ids))
            self._uploads[upload_id] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            return Answer(200, body.encode(), {"Content-Type": "application/xml"})
        parts = self._uploads.pop(request.query["uploadId"], None)
        if parts is None:
            return refusal(404, "NoSuchUpload")
        self._keep(request.key, b"".join(parts[number] for number in sorted(parts)), request.headers)
        return Answer(200, b"<CompleteMultipartUploadResult><ETag>a</ETag></CompleteMultipartUploadResult>")

    def _delete(self, request: Request) -> Answer:
        if "uploadId" in request.query:
            self._uploads.pop(request.query["uploadId"], None)
        else:
            self.objects.pop(request.key, None)
        return Answer(204)

    def _keep(self, key: str, body: bytes, headers: Mapping[str, str]) -> None:
        kept = {name: value for name, value in headers.items() if name.startswith(("x-amz-meta-", "Content-Type"))}
        self.objects[key] = Kept(body, kept, self.now)

    @property
    def unfinished_uploads(self) -> int:
        """Uploads in parts that were neither completed nor given up."""
        return len(self._uploads)


@contextmanager
def serving(store: ScriptedS3) -> Iterator[ScriptedS3]:
    """``store`` behind a port of this machine, at ``store.endpoint``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            key = unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/")
            answer = store.answer(Request(self.command, key, query, dict(self.headers.items()), body))
            self.send_response_only(answer.status)
            sent = {"Date": format_datetime(store.now, usegmt=True), "Content-Length": str(len(answer.body))}
            for name, value in {**sent, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.sent])
            if answer.sent is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that went away is part of the tests

    with Server(("127.0.0.1", 0), Handler) as server:
        store.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
