"""A stand-in for Pinecone on localhost, for there is no server of theirs to install: the control plane and one server
for each index. Every request is held against the vendor's OpenAPI documents and documented limits, and kept.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from etl_assets_tests.servers.openapi import Call, OpenApi, Violation
from etl_assets_tests.servers.pinecone_namespace import BadFilter, Namespace, Record, Test, compiled, matches
from etl_assets_tests.servers.standin import Kind, Refused, StandIn

VERSIONS = ("2025-10", "2026-04", "2026-07")
REQUEST_BYTES = 2_097_152
METADATA_BYTES = 40_960
RESULT_BYTES = 4_194_304
LONGEST_ID = 512
IDS_PER_LIST = 100
IDS_PER_CALL = 1_000
TARGET_BYTES = 8_190
"""Longest request line that common proxies let through."""


@cache
def contract(plane: str) -> OpenApi:
    """The vendor's document for the ``control`` or the ``data`` plane."""
    return OpenApi(Path(__file__).parent / "contracts" / f"pinecone_{plane}_2026-04.json")


class Answered(Refused):
    """An answer with headers or a status of its own, by the way that refusals go."""


def refused(status: int, problem: str) -> Refused:
    """Pinecone's form of an error."""
    codes = {
        401: "UNAUTHENTICATED",
        403: "FORBIDDEN",
        404: "NOT_FOUND",
        409: "ALREADY_EXISTS",
        429: "RESOURCE_EXHAUSTED",
    }
    code = codes.get(status, "INVALID_ARGUMENT")
    return Refused(status, {"error": {"code": code, "message": problem}, "status": status})


@dataclass
class _Plane(StandIn):
    """What both planes have in common: key, version, contract."""

    plane = "data"

    def __enter__(self) -> "_Plane":
        super().__enter__()
        # Headers and body are two writes: with Nagle's algorithm each answer would wait 40 ms for an acknowledgement.
        self._server.RequestHandlerClass.disable_nagle_algorithm = True  # type: ignore[attr-defined]
        return self

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """The vendor's answer, or its refusal."""
        if headers.get("api-key") not in self.keys:
            raise refused(401, "Invalid API Key")
        if headers.get("x-pinecone-api-version") not in VERSIONS:
            raise refused(400, "X-Pinecone-Api-Version is missing or unknown")
        if len(path) > TARGET_BYTES:
            raise refused(414, "the request line is too long")
        try:
            call = self.checked(method, path, headers, body)
            return self.perform(call, int(headers.get("content-length", 0)))
        except Violation as e:
            raise refused(e.status, e.problem) from e
        except BadFilter as e:
            raise refused(400, f"invalid filter: {e}") from e

    def checked(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Call:
        """The call that a request makes, if the contract allows it."""
        return contract(self.plane).check(method, path, headers, _light(body))

    def perform(self, call: Call, size: int) -> Any:
        """Do it."""
        raise NotImplementedError


@dataclass
class IndexStandIn(_Plane):
    """The data plane of one index.

    ``lag`` is the number of queries after which the next write is seen by queries (0: at once); ``ignored`` is the
    number of writes to come that are answered with success and have no effect.
    """

    dimension: int = 8
    lag: int = 0
    ignored: int = 0
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    plane = "data"

    def checked(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Call:
        """As every request; the numbers of vectors are checked by hand, since there are hundreds of thousands."""
        call = super().checked(method, path, headers, body)
        return Call(call.operation, call.place, call.query, body)

    def perform(self, call: Call, size: int) -> Any:
        """The answer of one operation; one at a time."""
        operations = {
            "upsertVectors": self._upsert, "queryVectors": self._query, "deleteVectors": self._delete,
            "fetchVectors": self._fetch, "listVectors": self._list, "describeIndexStats": self._stats,
            "listNamespacesOperation": self._list_namespaces, "describeNamespace": self._describe_namespace,
            "deleteNamespace": self._delete_namespace,
        }  # fmt: skip
        operation = operations.get(call.operation)
        if operation is None:
            raise refused(501, f"the stand-in does not do {call.operation}")
        if size > REQUEST_BYTES:
            raise refused(400, f"request size {size} exceeds the limit of {REQUEST_BYTES} bytes")
        with self._lock:
            return operation(call)

    def spoil(self, kind: Kind, answer: Any) -> Any:
        """A query's matches twice, or without the last; other answers as they are."""
        found = answer.get("matches") if isinstance(answer, dict) else None
        if found and kind == "doubled":
            return {**answer, "matches": found + found}
        if found and kind == "missing":
            return {**answer, "matches": found[:-1]}
        return answer

    def _of(self, call: Call) -> tuple[str, Namespace | None]:
        name = (call.body or {}).get("namespace") or next(iter(call.query.get("namespace", [])), "__default__")
        return name, self.namespaces.get(name)

    def _is_ignored(self) -> bool:
        self.ignored -= 1
        return self.ignored >= 0

    def _upsert(self, call: Call) -> Any:
        records = {one["id"]: self._record(one) for one in call.body["vectors"]}
        if not self._is_ignored():
            name, _ = self._of(call)
            namespace = self.namespaces.setdefault(name, Namespace(self.lag))
            sequence = namespace.write(lambda held: held.update(records))
        else:
            sequence = 0
        answer = {"upsertedCount": len(call.body["vectors"])}
        raise Answered(200, answer, {"x-pinecone-request-lsn": str(sequence)})

    def _record(self, one: Mapping[str, Any]) -> Record:
        check_id(one["id"])
        values = np.asarray(one["values"], np.float32)
        if values.shape != (self.dimension,):
            raise refused(
                400, f"Vector dimension {values.size} does not match the dimension of the index {self.dimension}"
            )
        if not np.isfinite(values).all() or not values.any():
            raise refused(400, f"Dense vectors must contain at least one non-zero value: {one['id']}")
        metadata = one.get("metadata") or {}
        if len(json.dumps(metadata, ensure_ascii=False).encode("utf-8", "surrogatepass")) > METADATA_BYTES:
            raise refused(400, f"metadata size exceeds the limit of {METADATA_BYTES} bytes per vector")
        for name, value in metadata.items():
            is_list = isinstance(value, list) and all(isinstance(part, str) for part in value)
            if not is_list and not isinstance(value, str | int | float | bool):
                raise refused(400, f"metadata value of {name} must be a string, number, boolean or list of strings")
        return Record(values, metadata)

    def _query(self, call: Call) -> Any:
        body = call.body
        if "vector" not in body:
            raise refused(400, "a query needs a vector")
        vector = np.asarray(body["vector"], np.float32)
        if vector.shape != (self.dimension,):
            raise refused(400, f"Query vector dimension {vector.size} does not match {self.dimension}")
        test: Test | None = compiled(body["filter"]) if "filter" in body else None
        name, namespace = self._of(call)
        if namespace is None:
            return {"matches": [], "namespace": name, "usage": {"readUnits": 1}}
        view = namespace.queried()
        found = [
            {"id": one, "score": score, "values": []}
            | ({"metadata": view.records[one].metadata} if body.get("includeMetadata") else {})
            | ({"values": view.records[one].values.tolist()} if body.get("includeValues") else {})
            for one, score in matches(view, vector, body["topK"], test)
        ]
        answer = {"matches": found, "namespace": name, "usage": {"readUnits": 1}}
        if len(json.dumps(answer)) > RESULT_BYTES:
            raise refused(400, f"the result exceeds {RESULT_BYTES} bytes")
        raise Answered(200, answer, {"x-pinecone-max-indexed-lsn": str(view.applied)})

    def _delete(self, call: Call) -> Any:
        body = call.body
        if sum(name in body for name in ("ids", "filter", "deleteAll")) != 1:
            raise refused(400, "exactly one of ids, filter and deleteAll must be given")
        name, namespace = self._of(call)
        if namespace is None:
            raise refused(404, f"Namespace not found: {name}")
        ids = set(body.get("ids", ()))
        test = compiled(body["filter"]) if "filter" in body else None

        def change(held: dict[str, Record]) -> None:
            gone = [
                i for i, record in held.items() if i in ids or "deleteAll" in body or (test and test(record.metadata))
            ]
            for identity in gone:
                del held[identity]

        sequence = 0 if self._is_ignored() else namespace.write(change)
        raise Answered(200, {}, {"x-pinecone-request-lsn": str(sequence)})

    def _fetch(self, call: Call) -> Any:
        ids = call.query.get("ids", [])
        if not 1 <= len(ids) <= IDS_PER_CALL:
            raise refused(400, f"fetch takes 1 to {IDS_PER_CALL} ids")
        name, namespace = self._of(call)
        held = namespace.stored.records if namespace is not None else {}
        vectors = {
            one: {
                "id": one,
                "values": [float(f"{v:.9g}") for v in held[one].values.tolist()],
                "metadata": held[one].metadata,
            }
            for one in ids
            if one in held
        }
        return {"vectors": vectors, "namespace": name, "usage": {"readUnits": 1}}

    def _list(self, call: Call) -> Any:
        limit = int(call.query.get("limit", [str(IDS_PER_LIST)])[0])
        if not 1 <= limit <= IDS_PER_LIST:
            raise refused(400, f"limit must be between 1 and {IDS_PER_LIST}")
        name, namespace = self._of(call)
        prefix = call.query.get("prefix", [""])[0]
        held = namespace.stored.records if namespace is not None else {}
        page, more = _page(sorted(one for one in held if one.startswith(prefix)), call, limit)
        return {"vectors": [{"id": one} for one in page], "namespace": name, "usage": {"readUnits": 1}, **more}

    def _stats(self, call: Call) -> Any:
        if call.body.get("filter"):
            raise refused(400, "Serverless indexes do not support describing index stats with metadata filtering")
        counts = {name: {"vectorCount": len(one.stored.records)} for name, one in self.namespaces.items()}
        total = sum(one["vectorCount"] for one in counts.values())
        return {"namespaces": counts, "dimension": self.dimension, "indexFullness": 0.0, "totalVectorCount": total}

    def _list_namespaces(self, call: Call) -> Any:
        limit = int(call.query.get("limit", ["100"])[0])
        if not 1 <= limit <= 100:
            raise refused(400, "limit must be between 1 and 100")
        prefix = call.query.get("prefix", [""])[0]
        page, more = _page(sorted(name for name in self.namespaces if name.startswith(prefix)), call, limit)
        listed = [{"name": name, "record_count": len(self.namespaces[name].stored.records)} for name in page]
        return {"namespaces": listed, "total_count": len(self.namespaces), **more}

    def _describe_namespace(self, call: Call) -> Any:
        name = call.place["namespace"]
        if name not in self.namespaces:
            raise refused(404, f"Namespace not found: {name}")
        return {"name": name, "record_count": len(self.namespaces[name].stored.records)}

    def _delete_namespace(self, call: Call) -> Any:
        if self.namespaces.pop(call.place["namespace"], None) is None:
            raise refused(404, f"Namespace not found: {call.place['namespace']}")
        return {}


@dataclass
class PineconeStandIn(_Plane):
    """The control plane. ``indexes`` are the servers of the data plane; ``lag`` is theirs when they are made.

    ``slow_start`` is how many looks at a new index it takes until it is ready.
    """

    lag: int = 0
    slow_start: int = 1
    indexes: dict[str, IndexStandIn] = field(default_factory=dict)
    plane = "control"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for index in self.indexes.values():
            index.__exit__(None, None, None)
        super().__exit__(kind, error, at)

    def clear(self) -> None:
        """Empty every index, and forget the requests so far."""
        for index in self.indexes.values():
            index.namespaces.clear()
            index.requests.clear()
        self.requests.clear()

    def checked(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Call:
        """As every request; a body of version 2026-07 is checked by what was observed."""
        is_newest = headers["x-pinecone-api-version"] == "2026-07"
        call = contract(self.plane).check(method, path, headers, body, use_schema=not is_newest)
        if is_newest and call.operation == "create_index":
            _check_newest(body)
        return call

    def perform(self, call: Call, size: int) -> Any:
        """The answer of one operation; one at a time."""
        with self._lock:
            if call.operation == "list_indexes":
                return {"indexes": [self._model(name) for name in self.indexes]}
            if call.operation == "create_index":
                raise Answered(201, self._create(call.body))
            name = call.place["index_name"]
            if name not in self.indexes:
                raise refused(404, f"Resource {name} not found")
            if call.operation == "describe_index":
                self._looks[name] = self._looks.get(name, 0) + 1
                return self._model(name)
            if call.operation == "delete_index":
                self.indexes.pop(name).__exit__(None, None, None)
                raise Answered(202, None)
        raise refused(501, f"the stand-in does not do {call.operation}")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._looks: dict[str, int] = {}

    def _create(self, body: Mapping[str, Any]) -> Any:
        name = body["name"]
        if name in self.indexes:
            raise refused(409, f"Resource {name} already exists")
        fields = body.get("schema", {}).get("fields", {}).values()
        dimension = body.get("dimension") or next(iter(fields))["dimension"]
        index = IndexStandIn(keys=self.keys, dimension=dimension, lag=self.lag)
        index.__enter__()
        self.indexes[name] = index
        return self._model(name)

    def _model(self, name: str) -> Any:
        """With the keys of 2026-07 and those of older versions, so that clients of either can read it."""
        index = self.indexes[name]
        is_ready = self._looks.get(name, 0) >= self.slow_start
        vector = {"type": "dense_vector", "dimension": index.dimension, "metric": "cosine"}
        place = {"cloud": "aws", "region": "us-east-1"}
        return {
            "name": name, "host": index.url, "deletion_protection": "disabled", "tags": None,
            "status": {"ready": is_ready, "state": "Ready" if is_ready else "Initializing"},
            "schema": {"fields": {"_values": vector}}, "deployment": {"deployment_type": "managed", **place},
            "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
            "dimension": index.dimension, "metric": "cosine", "vector_type": "dense", "spec": {"serverless": place},
        }  # fmt: skip


def check_id(identity: str) -> None:
    """Ids are ASCII, without NUL, 1 to LONGEST_ID characters."""
    if not 1 <= len(identity) <= LONGEST_ID or not identity.isascii() or "\0" in identity:
        raise refused(400, f"Vector ID must be ASCII, 1 to {LONGEST_ID} characters, got: {identity[:40]!r}")


def _check_newest(body: Any) -> None:
    import re

    if not isinstance(body, dict) or set(body) - {"name", "schema", "deployment", "tags", "deletion_protection"}:
        raise Violation(400, f"create_index: unknown fields in {sorted(body)}")
    name, fields, place = body.get("name", ""), body.get("schema", {}).get("fields", {}), body.get("deployment", {})
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?", name):
        raise Violation(400, f"create_index: {name!r} is no name of an index")
    vector = fields.get("_values", {})
    if set(fields) != {"_values"} or set(vector) != {"type", "dimension", "metric"} or vector["metric"] != "cosine":
        raise Violation(400, "create_index: schema.fields must hold _values, a dense_vector")
    if vector["type"] != "dense_vector" or not 1 <= vector["dimension"] <= 20_000:
        raise Violation(400, "create_index: dimension must be between 1 and 20000")
    if set(place) != {"deployment_type", "cloud", "region"} or place["deployment_type"] != "managed":
        raise Violation(400, "create_index: deployment must name deployment_type, cloud and region")


def _light(body: Any) -> Any:
    """The body with each vector cut to its first number, once all of them are known to be numbers."""
    if not isinstance(body, dict):
        return body
    light = dict(body)
    if isinstance(light.get("vector"), list):
        light["vector"] = _first(light["vector"])
    if isinstance(light.get("vectors"), list):
        light["vectors"] = [
            {**one, "values": _first(one["values"])} if isinstance(one, dict) and isinstance(one.get("values"), list)
            else one for one in light["vectors"]
        ]  # fmt: skip
        for one in light["vectors"]:
            if isinstance(one, dict) and (unknown := set(one) - {"id", "values", "sparseValues", "metadata"}):
                raise Violation(400, f"upsertVectors: a vector has no field {', '.join(sorted(unknown))}")
    return light


def _first(values: list[Any]) -> list[Any]:
    if any(type(value) not in (int, float) for value in values) or len(values) > 20_000:
        raise Violation(400, "values must be at most 20000 numbers")
    return values[:1]


def _page(names: Iterable[str], call: Call, limit: int) -> tuple[list[str], dict[str, Any]]:
    """A page, and where it goes on; the token names the last one given, so that pages survive changes between them."""
    token = next(iter(call.query.get("paginationToken", [])), "")
    after = urlsafe_b64decode(token).decode() if token else None
    left = [name for name in names if after is None or name > after]
    page = left[:limit]
    if len(left) <= limit:
        return page, {}
    return page, {"pagination": {"next": urlsafe_b64encode(page[-1].encode()).decode()}}
