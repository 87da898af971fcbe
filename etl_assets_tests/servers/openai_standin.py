"""An OpenAI-compatible ``POST /v1/embeddings`` on localhost, by platform.openai.com/docs/api-reference/embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from etl_assets_tests.servers.jina_standin import as_base64, spoiled
from etl_assets_tests.servers.standin import Kind, Refused, StandIn, Windows
from etl_assets_tests.servers.vectors import tokens_of, vector_of

ITEMS_MAX, TOKENS_MAX = 2048, 8192
FIELDS = {"model", "input", "encoding_format", "dimensions", "user"}


@dataclass
class OpenAIStandIn(StandIn):
    """``models`` by name with their dimension; ``answers_as`` is what the model is called in answers."""

    models: Mapping[str, int] = field(default_factory=lambda: {"text-embedding-3-small": 1536})
    answers_as: str | None = None
    windows: Windows = field(default_factory=Windows)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Any:
        """The API's answer, or its refusal."""
        key = self.check_key(headers) if self.keys else ""
        if (method, path) != ("POST", "/v1/embeddings"):
            raise refused(404, f"Invalid URL ({method} {path})")
        if not isinstance(body, dict) or not {"model", "input"} <= body.keys() <= FIELDS:
            raise refused(400, "Unrecognized or missing request argument")
        dimension = self.models.get(body["model"])
        if dimension is None:
            raise refused(404, f"The model {body['model']} does not exist")
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        if not 1 <= len(texts) <= ITEMS_MAX or not all(isinstance(text, str) and text for text in texts):
            raise refused(400, "'$.input' is invalid")
        for text in texts:
            if tokens_of(text) > TOKENS_MAX:
                raise refused(400, f"This model's maximum context length is {TOKENS_MAX} tokens")
        if body.get("encoding_format", "float") not in ("float", "base64"):
            raise refused(400, "'$.encoding_format' is invalid")
        wanted = body.get("dimensions", dimension)
        if type(wanted) is not int or not 1 <= wanted <= dimension:
            raise refused(400, "'$.dimensions' is invalid")
        tokens = sum(map(tokens_of, texts))
        self.windows.charge(key, tokens)
        rows = [self._row(index, text, wanted, body) for index, text in enumerate(texts)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": self.answers_as or body["model"], "data": rows, "usage": usage}

    def _row(self, index: int, text: str, dimension: int, body: dict[str, Any]) -> dict[str, Any]:
        vector = vector_of(text, dimension, salt=body["model"])
        embedding = as_base64(vector) if body.get("encoding_format") == "base64" else vector
        return {"object": "embedding", "index": index, "embedding": embedding}

    def spoil(self, kind: Kind, answer: Any) -> Any:
        """Faults in what is answered."""
        return spoiled(kind, answer)


def refused(status: int, message: str) -> Refused:
    """A refusal in OpenAI's form."""
    return Refused(
        status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    )
