"""Trying what holds data: folders, buckets, indexes. What a probe writes it removes again."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from etl_assets.backends.circuit import Backoff, Calls, CircuitBreaker
from etl_assets.errors import PermanentError
from etl_assets.protocols.probes import PROBE, Finding

if TYPE_CHECKING:
    from etl_assets.backends.pinecone_server import PineconeAccess
    from etl_assets.backends.s3_client import S3Bucket
    from etl_assets.backends.s3_settings import S3Settings

ONCE = Backoff(attempts=1, base_s=0.0, cap_s=0.0)
_QUICK_S = 4.0
_LOW_DISK_BYTES = 1 << 30


def probe_folder(found: Finding, folder: Path) -> None:
    """A folder of the home: write, list and remove a file, and how much room there is.

    Raises:
        PermanentError: the folder cannot be used.
    """

    def cycle() -> None:
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=PROBE) as file:
                file.write(b"probe")
                file.flush()
                if not any(one.name == Path(file.name).name for one in folder.iterdir()):
                    raise PermanentError(f"{folder}: a file that was written is not listed; check the file system")
        except OSError as e:
            raise PermanentError(f"{folder} cannot be written ({e.strerror}); check its rights and its disk") from e

    found.time(cycle)
    found.rights.update({"list": True, "write": True, "delete": True})
    free = shutil.disk_usage(folder).free
    found.limits["free disk"] = f"{free / 1e9:,.1f} GB"
    if free < _LOW_DISK_BYTES:
        found.problems.append(f"{folder}: {free / 1e6:,.0f} MB are left on its disk; free some space")


def probe_mark(found: Finding, bucket: "S3Bucket", installation: str | None) -> None:
    """Whose a folder in a bucket is; ``installation`` as for ``judge_mark``."""
    from etl_assets.backends.ownership import judge_mark
    from etl_assets.backends.s3_client import S3Bucket
    from etl_assets.backends.s3_mark import marked

    quick = S3Bucket(_quick(bucket.settings))
    judge_mark(found, quick.settings.shown, marked(quick), installation)


def probe_bucket(found: Finding, bucket: "S3Bucket") -> None:
    """A folder in a bucket: list, write, read and delete an object below a name that no document has."""
    from etl_assets.backends.s3_client import S3Bucket

    quick = _quick(bucket.settings)
    store = S3Bucket(quick)
    key = f"{quick.key_prefix}{PROBE}/{uuid4().hex}"

    def listed() -> dict[str, object]:
        answer = store.request("list_objects_v2", "listing", Prefix=quick.key_prefix, MaxKeys=1)
        found.version = str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("server", ""))
        return answer

    if found.attempt("list", listed):
        found.time(listed)
    wrote = found.attempt(
        "write",
        lambda: store.request("put_object", "writing a probe", Key=key, Body=b"probe", **quick.encryption()),
    )
    if wrote:
        found.attempt("read", lambda: _same(store, key))
        found.attempt("delete", lambda: store.request("delete_object", f"deleting {key}", Key=key))
    found.limits["encryption"] = quick.sse or "the bucket's own"
    found.limits["requests at once"] = str(quick.concurrency)


def _quick(settings: "S3Settings") -> "S3Settings":
    return replace(settings, backoff=ONCE, connect_timeout_s=_QUICK_S, read_timeout_s=_QUICK_S)


def _same(store: "S3Bucket", key: str) -> None:
    def read() -> bytes:
        answer = store.once("get_object", "reading a probe", ("Body",), Key=key)
        with closing(answer["Body"]) as body:
            return bytes(body.read())

    if store.attempted("reading a probe", read) != b"probe":
        raise PermanentError(f"{store.settings.shown}: what was written reads back differently; check the service")


def probe_pinecone(found: Finding, access: "PineconeAccess", installation: str | None, *, paid: bool) -> None:
    """A Pinecone project: its indexes and whose they are (``installation``: as for ``judge_mark``).

    With ``paid`` a vector is written to, and removed with, a namespace of its own.
    """
    from etl_assets.backends.ownership import judge_mark
    from etl_assets.backends.pinecone_mark import marks
    from etl_assets.backends.pinecone_server import PineconeServer

    server = PineconeServer(replace(access, timeout_s=_QUICK_S), Calls(CircuitBreaker("Pinecone"), ONCE))
    try:
        indexes = server.indexes()
        found.rights["list"] = True
        found.version = f"client {installed('pinecone')}"
        found.time(server.indexes)
        found.notes.append(f"indexes of ours: {', '.join(map(server.index_name, sorted(indexes))) or 'none yet'}")
        for dimension, address in sorted(indexes.items()):
            there = marks(server, address, dimension)
            stated = min(there - {installation}, default=installation if there else None)
            judge_mark(found, f"index {server.index_name(dimension)}", stated, installation)
        if not paid or not indexes:
            found.notes.append("writing was not tried: " + ("there is no index" if paid else "it costs; use --paid"))
            return
        dimension, address = min(indexes.items())
        values = [1.0, *([0.0] * (dimension - 1))]

        def write() -> None:
            vectors = [{"id": "probe", "values": values}]
            server.call("writing a probe", lambda: server.at(address).upsert(vectors=vectors, namespace=PROBE))

        if found.attempt("write", write):
            removal: Callable[[], object] = lambda: server.at(address).delete(delete_all=True, namespace=PROBE)  # noqa: E731
            found.attempt("delete", lambda: server.call("removing a probe", removal))
    finally:
        server.close()


def probe_graph_file(found: Finding, path: Path) -> None:
    """The graph in the home."""
    probe_folder(found, path.parent)
    found.version = f"SQLite {sqlite3.sqlite_version}"


def probe_lance(found: Finding, folder: Path) -> None:
    """A LanceDB index in the home."""
    folder.mkdir(mode=0o700, exist_ok=True)
    probe_folder(found, folder)
    found.version = f"LanceDB {installed('lancedb')}"
