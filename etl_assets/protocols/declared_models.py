"""The model of vectors that another system made, as a person declared it: how it is named, kept and configured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from etl_assets.protocols.hosted_models import JINA_DEFAULT


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model by ``kind`` (as in the setting ``embedder.kind``), ``name`` and ``dimension``.

    A packaged model has the name "", one in a folder the folder's, a hosted one its vendor's. No digest is among
    them: it covers the code that runs a model here, which the system that made these vectors never ran.
    """

    kind: str
    name: str
    dimension: int

    def as_json(self) -> dict[str, str | int]:
        """Plain values."""
        return {"kind": self.kind, "name": self.name, "dimension": self.dimension}

    def is_chosen(self, embedder: Mapping[str, Any], dimension: int) -> bool:
        """Whether vectors of ``dimension`` that the settings ``embedder`` of a collection give compare with these."""
        chosen = str(embedder.get("kind", ""))
        name = declared_name(chosen, model=embedder.get("model"), path=embedder.get("path"))
        return (self.kind, self.name, self.dimension) == (chosen, name, dimension)

    @property
    def settings(self) -> str:
        """What has to stand in ``collections.yaml`` for such vectors to be searched."""
        own = {"folder": f", path: .../{self.name}"}.get(self.kind, "")
        if self.kind in ("jina", "openai"):
            own = f", model: {self.name}, dimension: {self.dimension}"
        return f"embedder: {{kind: {self.kind}{own}}}"

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def declared_name(kind: str, *, model: str | None, path: str | None) -> str:
    """The name by which a person declares the model that a collection's settings choose."""
    if kind == "folder":
        return PurePath(path).name if path else ""
    return {"jina": model or JINA_DEFAULT, "openai": model or ""}.get(kind, "")
