"""Rows of a Chroma collection of another system: over its server's HTTP API, or from the folder where it is kept.

API: docs.trychroma.com/reference (version 2). A folder is read by Chroma's own client from a copy: to open it may bring
its files to a newer form, which the system that goes on beside this one could not read any more.
"""

from __future__ import annotations

import importlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.errors import ConfigError, PermanentError, TransientError
from etl_assets.protocols.foreign_index import ForeignRow

ROWS_PER_PAGE = 256
PATIENCE = Patience(attempts=4, total_s=60.0)
_INCLUDED = ["documents", "metadatas", "embeddings"]
_CATALOGUE = "chroma.sqlite3"


class ChromaServer:
    """ForeignIndex over one collection of a server.

    ``collection`` is its name, in the default database, or TENANT/DATABASE/NAME; it may be left out where there is
    only one. ``key`` is the server's token, "" for none.
    """

    def __init__(self, address: str, collection: str | None = None, *, key: str = "") -> None:
        parts = (collection or "").split("/")
        tenant, database = (parts[0], parts[1]) if len(parts) == 3 else ("default_tenant", "default_database")
        self._collection = parts[2] if len(parts) == 3 else collection
        self._address = address
        self._database = f"/api/v2/tenants/{quote(tenant, safe='')}/databases/{quote(database, safe='')}/collections"
        credential = FixedCredential(key, source="the variable of --api-key-variable") if key else None
        self._api = HttpApi(
            "Chroma", address, credential=credential, header="x-chroma-token", scheme="", patience=PATIENCE
        )  # fmt: skip
        self._id = ""

    @property
    def name(self) -> str:
        """The server's address, the database and the collection."""
        self._choose()
        parts = urlsplit(self._address)
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}{self._database}/{self._collection}"

    def rows(self) -> Iterator[ForeignRow]:
        """Every row, page by page.

        Raises:
            ConfigError: there is no such collection.
            TransientError: rows came or went while they were read, or the server does not answer now.
            PermanentError: as the server says.
        """
        self._choose()
        path = f"{self._database}/{quote(self._id, safe='')}"

        def page(limit: int, offset: int) -> Mapping[str, Any]:
            body = {"limit": limit, "offset": offset, "include": _INCLUDED}
            return _record_of(self._api.call(Request("POST", f"{path}/get", body), _body))

        yield from _paged(page, lambda: int(self._api.call(Request("GET", f"{path}/count"), _body)), self.name)

    def _choose(self) -> None:
        if self._id:
            return
        listed = self._api.call(Request("GET", f"{self._database}?limit=1000"), _body)
        if not isinstance(listed, list):
            raise PermanentError("Chroma: the answer is none of Chroma's; check the address")
        found = {str(one["name"]): str(one["id"]) for one in listed}
        self._collection = _chosen(self._collection, sorted(found), self._address)
        self._id = found[self._collection]


class ChromaFolder:
    """ForeignIndex over one collection of a folder that a Chroma client or server writes."""

    def __init__(self, folder: Path, collection: str | None = None) -> None:
        self._folder = folder.resolve()
        self._collection = collection
        if not (self._folder / _CATALOGUE).is_file():
            raise ConfigError(f"{self._folder}: holds no {_CATALOGUE}; name the folder of a Chroma database")

    @property
    def name(self) -> str:
        """The folder's whole path and the collection."""
        if self._collection is None:
            query = "SELECT name FROM collections ORDER BY name"
            with closing(_catalogue(self._folder)) as catalogue:
                self._collection = _chosen(None, [row[0] for row in catalogue.execute(query)], str(self._folder))
        return f"{self._folder}/{self._collection}"

    def rows(self) -> Iterator[ForeignRow]:
        """Every row, read from a copy.

        Raises:
            ConfigError: there is no such collection, or Chroma's client is not installed.
            PermanentError: the files cannot be copied or read.
        """
        chromadb = _client(self._folder)
        name = self.name
        with tempfile.TemporaryDirectory(prefix="chroma-") as copy:
            _copy(self._folder, Path(copy))
            settings = chromadb.Settings(anonymized_telemetry=False)
            try:
                client = chromadb.PersistentClient(path=copy, settings=settings)
                known = sorted(one.name for one in client.list_collections())
                collection = client.get_collection(_chosen(self._collection, known, str(self._folder)))
            except chromadb.errors.ChromaError as e:
                raise PermanentError(f"{name}: cannot be read by Chroma {chromadb.__version__} ({e})") from e

            def page(limit: int, offset: int) -> Mapping[str, Any]:
                found: Mapping[str, Any] = collection.get(limit=limit, offset=offset, include=_INCLUDED)
                return found

            yield from _paged(page, collection.count, name)


def _client(folder: Path) -> Any:
    """Chroma's own library. It is in no extra: it brings some thirty packages, for what a server does as well."""
    try:
        return importlib.import_module("chromadb")
    except ImportError as e:
        raise ConfigError(
            f"{folder}: reading a folder needs Chroma's client: pip install chromadb; or run `chroma run --path "
            "FOLDER` and name the address of that server, which needs nothing"
        ) from e


def _paged(page: Callable[[int, int], Mapping[str, Any]], count: Callable[[], int], name: str) -> Iterator[ForeignRow]:
    """Every row of a collection; the pages are by number, so one that changes meanwhile has no whole."""
    before, seen = count(), 0
    while seen < before:
        found = page(ROWS_PER_PAGE, seen)
        ids: Sequence[str] = found["ids"]
        if not ids:
            break
        texts, records, vectors = (found.get(key) for key in _INCLUDED)
        for at, identity in enumerate(ids):
            record = {
                "id": identity, "document": texts[at] if texts is not None else None,
                "metadata": (records[at] if records is not None else None) or {},
                "embedding": vectors[at] if vectors is not None else None,
            }  # fmt: skip
            yield ForeignRow(f"row {identity}", record)
        seen += len(ids)
    if (seen, count()) != (before, before):
        raise TransientError(f"{name}: it changed while it was read ({before:,} rows before); nothing was imported")


def _chosen(wanted: str | None, known: Sequence[str], place: str) -> str:
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted is None or wanted not in known:
        asked = f"there is no collection {wanted}" if wanted is not None else "there is not exactly one collection"
        raise ConfigError(f"{place}: {asked}; there are {', '.join(known) or 'none'}: choose with --name")
    return wanted


def _catalogue(folder: Path) -> sqlite3.Connection:
    """Chroma's catalogue, opened for reading only."""
    return sqlite3.connect(f"file:{quote(str(folder / _CATALOGUE))}?mode=ro", uri=True)


def _copy(folder: Path, target: Path) -> None:
    """The files of a database; the catalogue as of one moment, whoever writes it."""
    try:
        for one in folder.iterdir():
            if one.is_dir():
                shutil.copytree(one, target / one.name)
        with closing(_catalogue(folder)) as source, closing(sqlite3.connect(target / _CATALOGUE)) as copy:
            source.backup(copy)
    except (OSError, shutil.Error, sqlite3.Error) as e:
        raise PermanentError(f"{folder}: cannot be copied to be read ({e})") from e


def _body(answer: Answer) -> Any:
    if answer.body is None:
        raise UnusableAnswer(PermanentError("Chroma: the answer is empty; check the address"))
    return answer.body


def _record_of(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping) or not isinstance(body.get("ids"), list):
        raise PermanentError("Chroma: the answer is none of Chroma's; check the address")
    return body
