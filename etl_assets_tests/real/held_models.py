"""A hosted model that keeps some answers to itself: a run stays in the middle of a step for as long as wanted."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from etl_assets.hosted_settings import JinaPlace
from etl_assets_tests.servers.jina_standin import JinaStandIn

HELD = "held"
COLLECTIONS = (
    "defaults:\n  embedder: {kind: jina, dimension: 64}\n  publications: {vector: true, keyword: false, graph: false}\n"
)
"""The vectors are in the bucket, which all machines share."""


@dataclass
class HeldJina(JinaStandIn):
    """Texts with the word ``held`` in them are answered once ``let_go`` is set; ``asked`` are those that came."""

    asked: set[str] = field(default_factory=set)
    let_go: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """As the vendor's, but late."""
        texts = [text for text in body.get("input", []) if HELD in text]
        if texts:
            self.asked.update(texts)
            self.let_go.wait(300)
        return super().answer(method, path, headers, body)

    def is_asked(self, collection: str) -> bool:
        """Whether a text of this collection is held."""
        return any(collection in json.dumps(text) for text in self.asked)

    @property
    def place(self) -> JinaPlace:
        """Settings that lead here."""
        return JinaPlace("test-key", f"{self.url}/v1", requests_per_minute=10**6, tokens_per_minute=10**9)
