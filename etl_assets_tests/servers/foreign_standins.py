"""Stand-ins of servers that keep an index of another system: Chroma's API of version 2, and Qdrant's points.

Their answers have the form that Chroma 1.5.9 gave, and that Qdrant's description states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from etl_assets_tests.servers.standin import Refused, StandIn

Rows = Sequence[Mapping[str, Any]]


@dataclass
class ChromaStandIn(StandIn):
    """Collections by name. Rows have ``id``, ``text``, ``metadata``, ``vector``; ``grows_by`` are added meanwhile."""

    collections: Mapping[str, Rows] = field(default_factory=dict)
    grows_by: Rows = ()
    token: str = ""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """As the server does: everything but ``get``, ``count`` and the list is not found."""
        if self.token and headers.get("x-chroma-token") != self.token:
            raise Refused(401, {"error": "Unauthorized", "message": f"no {headers.get('x-chroma-token')}"})
        base = "/api/v2/tenants/default_tenant/databases/default_database/collections"
        route, _, query = path.partition("?")
        if (method, route) == ("GET", base) and query == "limit=1000":
            return [{"id": f"id-of-{name}", "name": name, "dimension": 256} for name in self.collections]
        name, _, action = route.removeprefix(f"{base}/id-of-").partition("/")
        rows = self.collections.get(name)
        if rows is None:
            raise Refused(404, {"error": "NotFoundError", "message": f"Collection [{name}] does not exist"})
        if (method, action) == ("GET", "count"):
            return len(rows)
        if (method, action) != ("POST", "get"):
            raise Refused(404, {"error": "NotFoundError"})
        assert set(body) == {"limit", "offset", "include"}
        if self.grows_by:
            self.collections = {**self.collections, name: [*rows, *self.grows_by]}
            self.grows_by = ()
        part = rows[body["offset"] : body["offset"] + body["limit"]]
        return {
            "ids": [row["id"] for row in part], "embeddings": [[float(x) for x in row["vector"]] for row in part],
            "documents": [row["text"] for row in part], "uris": None, "metadatas": [row["metadata"] for row in part],
            "include": body["include"],
        }  # fmt: skip


@dataclass
class QdrantStandIn(StandIn):
    """Collections by name. The vector of a point is a list, or a mapping for one with named vectors."""

    collections: Mapping[str, Rows] = field(default_factory=dict)
    api_key: str = ""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """As the server does; points are sorted by id, and the offset of a page is the id that it begins with."""
        if self.api_key and headers.get("api-key") != self.api_key:
            raise Refused(401, {"status": {"error": "Must provide an API key"}})
        if (method, path) == ("GET", "/collections"):
            return {"result": {"collections": [{"name": name} for name in self.collections]}, "status": "ok"}
        name = path.removeprefix("/collections/").removesuffix("/points/scroll")
        if method != "POST" or name not in self.collections:
            raise Refused(404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}})
        points = sorted(self.collections[name], key=lambda point: str(point["id"]))
        ids = [point["id"] for point in points]
        begin = ids.index(body["offset"]) if body.get("offset") is not None else 0
        end = begin + body["limit"]
        following = ids[end] if end < len(ids) else None
        return {"result": {"points": points[begin:end], "next_page_offset": following}, "status": "ok", "time": 0.01}
