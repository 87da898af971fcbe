"""Requests held against an OpenAPI 3.0 document: the path, the headers and query it requires, and the body's schema."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema import Draft4Validator
from jsonschema.validators import validator_for


class Violation(Exception):
    """A request that the document does not allow; ``status`` is what a server answers."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status, self.problem = status, problem


@dataclass(frozen=True)
class Call:
    """A request that the document allows: which operation, its path parameters, its query, its body."""

    operation: str
    place: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: Any


@dataclass(frozen=True)
class _Operation:
    name: str
    path: re.Pattern[str]
    parameters: tuple[Mapping[str, Any], ...]
    body: Mapping[str, Any] | None


class OpenApi:
    """One document. Fields of a body that its schema does not name are refused, so that a misspelt one is seen."""

    def __init__(self, file: Path) -> None:
        self._document = json.loads(file.read_text())
        self._operations = [
            (method.upper(), _operation(path, operation))
            for path, methods in self._document["paths"].items()
            for method, operation in methods.items()
            if method in ("get", "post", "put", "patch", "delete")
        ]

    def check(
        self, method: str, target: str, headers: Mapping[str, str], body: Any, *, use_schema: bool = True
    ) -> Call:
        """The call a request makes. ``use_schema`` False leaves its body unchecked.

        Raises:
            Violation: the document does not allow it.
        """
        parts = urlsplit(target)
        operation, place = self._found(method, parts.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        for parameter in operation.parameters:
            _check_parameter(parameter, headers, query)
        known = {p["name"] for p in operation.parameters if p["in"] == "query"}
        if unknown := sorted(set(query) - known):
            raise Violation(400, f"{operation.name} has no query parameter {', '.join(unknown)}")
        if operation.body is not None and use_schema:
            self._check_body(operation, headers, body)
        elif operation.body is None and body is not None:
            raise Violation(400, f"{operation.name} takes no body")
        return Call(operation.name, place, query, body)

    def _found(self, method: str, path: str) -> tuple[_Operation, Mapping[str, str]]:
        others = False
        for allowed, operation in self._operations:
            if match := operation.path.fullmatch(path):
                if allowed == method:
                    return operation, {name: unquote(value) for name, value in match.groupdict().items()}
                others = True
        raise Violation(405 if others else 404, f"{method} {path} is not in the API")

    def _check_body(self, operation: _Operation, headers: Mapping[str, str], body: Any) -> None:
        if not headers.get("content-type", "").startswith("application/json"):
            raise Violation(415, "Content-Type must be application/json")
        if not isinstance(body, dict):
            raise Violation(400, "the body must be a JSON object")
        reference = (operation.body or {})["$ref"]
        schema = {"$ref": reference, "components": self._document["components"]}
        for error in _validator()(schema).iter_errors(body):
            where = "/".join(map(str, error.absolute_path)) or "body"
            raise Violation(400, f"{operation.name}: {where}: {error.message[:200]}")
        fields = self._document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
        if unknown := sorted(set(body) - set(fields)):
            raise Violation(400, f"{operation.name} has no field {', '.join(unknown)}")


@cache
def _validator() -> type[Any]:
    # OpenAPI 3.0 schemas are JSON Schema of draft 4 times.
    found: type[Any] = validator_for({"$schema": "http://json-schema.org/draft-04/schema#"}, default=Draft4Validator)
    return found


def _operation(path: str, operation: Mapping[str, Any]) -> _Operation:
    pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return _Operation(operation["operationId"], pattern, tuple(operation.get("parameters", ())), content.get("schema"))


def _check_parameter(parameter: Mapping[str, Any], headers: Mapping[str, str], query: Mapping[str, list[str]]) -> None:
    name, schema = parameter["name"], parameter.get("schema", {})
    if parameter["in"] == "header":
        values = [headers[name.lower()]] if name.lower() in headers else []
    elif parameter["in"] == "query":
        values = query.get(name, [])
    else:
        return
    if parameter.get("required") and not values:
        raise Violation(400, f"{parameter['in']} parameter {name} is required")
    if schema.get("type") == "integer" and any(not re.fullmatch(r"-?\d+", value) for value in values):
        raise Violation(400, f"{parameter['in']} parameter {name} must be an integer")
    if schema.get("type") != "array" and len(values) > 1:
        raise Violation(400, f"{parameter['in']} parameter {name} is given {len(values)} times")
