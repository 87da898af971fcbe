"""Jina's API on localhost, by the vendor's guide as ``contracts/jina.json`` states it: every request is validated."""

import base64
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from etl_assets_tests.servers.standin import Kind, Refused, StandIn, Windows
from etl_assets_tests.servers.vectors import score_of, tokens_of, vector_of


@cache
def contract() -> Any:
    """The facts of the vendor's guide."""
    return json.loads((Path(__file__).parent / "contracts" / "jina.json").read_text())


@dataclass
class JinaStandIn(StandIn):
    """Embeddings, reranking and classifying. ``refuse_text`` is a text that no model here can encode."""

    windows: Windows = field(default_factory=Windows)
    refuse_text: str | None = None

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """The vendor's answer, or its refusal."""
        if headers.get("accept") != "application/json":
            raise Refused(406, {"detail": "send Accept: application/json"})
        key = self.check_key(headers)
        routes = {
            ("POST", "/v1/embeddings"): self._embed, ("POST", "/v1/rerank"): self._rerank,
            ("POST", "/v1/classify"): self._classify,
        }  # fmt: skip
        route = routes.get((method, path))
        if route is None:
            raise Refused(404, {"detail": "Not Found"})
        if not isinstance(body, dict):
            raise invalid("body")
        tokens, found = route(body)
        self.windows.charge(key, tokens)
        return {**found, "usage": {"total_tokens": tokens, "prompt_tokens": tokens}}

    def _embed(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        facts = contract()["embeddings"]
        known = {*facts["required"], *facts["fields"]}
        require(body, facts["required"], known)
        model = facts["models"].get(body["model"])
        if model is None:
            raise invalid("model")
        texts = strings(body["input"], "input")
        if any(not text for text in texts):
            raise invalid("input")
        most = contract()["input_items_max"].get(body["model"], 512)
        if len(texts) > most:
            raise Refused(
                400, {"detail": f"[RID: 1] Validation error: Each input list can contain at most {most} items."}
            )
        if self.refuse_text in texts:
            raise Refused(400, {"detail": "[RID: 06b5f7bdde6ea380106a87fe6ab8ec5a] Failed to encode text"})
        check_options(body, model)
        dimension = body.get("dimensions", model["dimensions"])
        salt = f"{body['model']}/{body.get('task')}" + (f"/{texts}" if body.get("late_chunking") else "")
        rows = [
            {"object": "embedding", "index": index, "embedding": self._encoded(text, dimension, salt, body)}
            for index, text in enumerate(texts)
        ]
        return sum(map(tokens_of, texts)), {"model": body["model"], "object": "list", "data": rows}

    def _encoded(self, text: str, dimension: int, salt: str, body: dict[str, Any]) -> object:
        vector = vector_of(text, dimension, salt=salt)
        if body.get("normalized"):
            length = sum(x * x for x in vector) ** 0.5
            vector = [x / length for x in vector]
        return as_base64(vector) if body.get("embedding_type") == "base64" else vector

    def _rerank(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        facts = contract()["rerank"]
        require(body, facts["required"], {*facts["required"], *facts["fields"]})
        texts = strings(body["documents"], "documents")
        if body["model"] not in facts["models"] or not isinstance(body["query"], str) or not body["query"]:
            raise invalid("model or query")
        top_n = body.get("top_n", len(texts))
        if type(top_n) is not int or not top_n >= 1 or type(body.get("return_documents", True)) is not bool:
            raise invalid("top_n")
        scored = sorted(((score_of(body["query"], text), i) for i, text in enumerate(texts)), reverse=True)
        results = [{"index": i, "relevance_score": score} for score, i in scored[:top_n]]
        return sum(map(tokens_of, texts)), {"model": body["model"], "results": results}

    def _classify(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        facts = contract()["classify"]
        require(body, [*facts["required"], "model"], {*facts["required"], "model"})
        texts, labels = strings(body["input"], "input"), strings(body["labels"], "labels")
        if body["model"] not in facts["model"]["text"]:
            raise invalid("model")
        if len(set(labels)) < 2 or any(not one for one in (*texts, *labels)):
            raise invalid("labels")
        rows = [classification(index, text, labels) for index, text in enumerate(texts)]
        return sum(map(tokens_of, (*texts, *labels))), {"data": rows}

    def spoil(self, kind: Kind, answer: Any) -> Any:
        """Faults in what is answered."""
        return spoiled(kind, answer)


def classification(index: int, text: str, labels: list[str]) -> dict[str, Any]:
    """Shares of the labels by the words they have in common with the text, as a softmax; best first."""
    weights = {label: math.exp(score_of(label, text)) for label in labels}
    shares = sorted(((weight / sum(weights.values()), label) for label, weight in weights.items()), reverse=True)
    predictions = [{"label": label, "score": share} for share, label in shares]
    best = predictions[0]
    return {
        "object": "classification", "index": index, "prediction": best["label"], "score": best["score"],
        "predictions": predictions,
    }  # fmt: skip


def require(body: dict[str, Any], required: list[str], known: set[str]) -> None:
    """Refuse a body that lacks a field, or has one that nobody documented."""
    for name in required:
        if name not in body:
            raise invalid(name)
    for name in sorted(body.keys() - known):
        raise invalid(name)


def check_options(body: dict[str, Any], model: dict[str, Any]) -> None:
    """Refuse an option that this model does not have, or of another type."""
    facts = contract()["embeddings"]["fields"]
    if "task" in body and body["task"] not in model["task"]:
        raise invalid("task")
    if body.get("embedding_type", "float") not in facts["embedding_type"]["enum"]:
        raise invalid("embedding_type")
    for name in ("late_chunking", "truncate", "normalized"):
        if name in body and type(body[name]) is not bool:
            raise invalid(name)
    if "normalized" in body and not model.get("normalized"):
        raise invalid("normalized")
    if "dimensions" in body:
        wanted = body["dimensions"]
        allowed = model.get("truncatable_to", range(1, model["dimensions"] + 1))
        if type(wanted) is not int or wanted not in allowed:
            raise invalid("dimensions")


def strings(value: Any, name: str) -> list[str]:
    """A list of at least one string."""
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise invalid(name)
    return value


def invalid(name: str) -> Refused:
    """The refusal of one field."""
    return Refused(422, {"detail": [{"message": "Validation error", "field": name}]})


def as_base64(vector: list[float]) -> str:
    """Little-endian float32."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def spoiled(kind: Kind, answer: Any) -> Any:
    """An answer of embeddings or scores with one thing wrong."""
    rows = answer.get("data") or answer.get("results") or []
    if kind == "wrong-model":
        return {**answer, "model": "another-model"}
    if kind == "doubled":
        return {**answer, **{name: [*rows, rows[0]] for name in ("data", "results") if name in answer}}
    if kind == "missing":
        return {**answer, **{name: rows[1:] for name in ("data", "results") if name in answer}}
    changed = {
        "wrong-dimension": lambda v: v[:-1],
        "not-finite": lambda v: [float("nan")] * len(v),
        "zero": lambda v: [0.0] * len(v),
    }
    if kind in changed and "data" in answer:
        return {**answer, "data": [{**row, "embedding": changed[kind](row["embedding"])} for row in rows]}
    return answer
