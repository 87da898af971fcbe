"""Rows of a Qdrant collection of another system, over the server's HTTP API.

API: qdrant.github.io/qdrant/redoc, ``POST /collections/{name}/points/scroll``: points sorted by id, page by page.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from etl_assets.backends.credentials import FixedCredential
from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request, UnusableAnswer
from etl_assets.errors import ConfigError, PermanentError
from etl_assets.protocols.foreign_index import ForeignRow

POINTS_PER_PAGE = 256
PATIENCE = Patience(attempts=4, total_s=60.0)


class QdrantServer:
    """ForeignIndex over one collection. ``collection`` may be left out where there is only one; ``key`` is optional."""

    def __init__(self, address: str, collection: str | None = None, *, key: str = "") -> None:
        self._address = address
        self._collection = collection
        credential = FixedCredential(key, source="the variable of --api-key-variable") if key else None
        self._api = HttpApi("Qdrant", address, credential=credential, header="api-key", scheme="", patience=PATIENCE)

    @property
    def name(self) -> str:
        """The server's address and the collection."""
        parts = urlsplit(self._address)
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/collections/{self._chosen()}"

    def rows(self) -> Iterator[ForeignRow]:
        """Every point with its payload and vector, sorted by id.

        Raises:
            ConfigError: there is no such collection.
            PermanentError, TransientError: as the server says.
        """
        offset: object = None
        path = f"/collections/{quote(self._chosen(), safe='')}/points/scroll"
        seen: set[str] = set()
        while True:
            body: dict[str, object] = {"limit": POINTS_PER_PAGE, "with_payload": True, "with_vector": True}
            body |= {"offset": offset} if offset is not None else {}
            page = self._call(Request("POST", path, body, refusal=self._refused))
            for point in page["points"]:
                yield ForeignRow(f"point {point['id']}", _record(point))
            offset = page.get("next_page_offset")
            if offset is None:
                return
            if repr(offset) in seen:
                raise PermanentError(f"{self.name}: the server gave the page {offset!r} twice; nothing was imported")
            seen.add(repr(offset))

    def _chosen(self) -> str:
        if self._collection is None:
            found = sorted(str(one["name"]) for one in self._call(Request("GET", "/collections"))["collections"])
            if len(found) != 1:
                known = ", ".join(found) or "none"
                raise ConfigError(f"{self._address}: there are the collections {known}: choose one with --name")
            self._collection = found[0]
        return self._collection

    def _refused(self, status: int, _words: str) -> ConfigError | None:
        if status != 404:
            return None
        return ConfigError(f"{self._address}: there is no collection {self._collection}; choose another with --name")

    def _call(self, request: Request) -> Mapping[str, Any]:
        return self._api.call(request, _result)


def _record(point: Mapping[str, Any]) -> Mapping[str, Any]:
    """A point as a record; of named vectors, the only one is the vector."""
    vector = point.get("vector")
    if isinstance(vector, Mapping) and len(vector) == 1:
        vector = next(iter(vector.values()))
    return {"id": point["id"], "vector": vector, "payload": point.get("payload") or {}}


def _result(answer: Answer) -> Mapping[str, Any]:
    result = answer.body.get("result") if isinstance(answer.body, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(result.get("points", result.get("collections")), list):
        raise UnusableAnswer(PermanentError("Qdrant: the answer is none of Qdrant's; check the address"))
    return result
