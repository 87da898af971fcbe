"""Indexes of another system for tests: their rows, as that system would give them, and what it answers itself."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl_assets.backends.static_embedder import StaticEmbedder

WORDS = "bear panda bank factory rose garden server loader money mail city week sun water group".split()


@dataclass(frozen=True)
class OldIndex:
    """Rows with ``id``, ``text``, ``vector`` and ``metadata``, whose vectors are not quite those of any model here."""

    rows: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, documents: int = 4, chunks: int = 5, *, seed: int = 7, noise: float = 0.01) -> "OldIndex":
        """Chunks that overlap, of documents with slashes and spaces in their names."""
        random = np.random.default_rng(seed)
        rows = []
        for d in range(documents):
            last = ""
            for c in range(chunks):
                own = " ".join(random.choice(WORDS, 30))
                text = f"{last}Part {c} of {d}: {own}."
                last = text[-40:]
                about = {"source": f"hand book/part {d}.pdf", "n": c, "page": c // 3 + 1}
                rows.append({"id": f"{d}-{c}", "text": text, "metadata": about})
        vectors = StaticEmbedder().embed_documents([row["text"] for row in rows])
        vectors = vectors + random.normal(0, noise, vectors.shape).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls([row | {"vector": vector} for row, vector in zip(rows, vectors, strict=True)])

    def write(self, file: Path) -> Path:
        """The rows as JSON lines."""
        with file.open("w") as out:
            for row in self.rows:
                out.write(json.dumps(row | {"vector": [float(x) for x in row["vector"]]}) + "\n")
        return file

    def nearest(self, query: NDArray[np.float32], k: int) -> list[str]:
        """Texts of the nearest rows by brute force: what the old system answers."""
        scores = np.stack([row["vector"] for row in self.rows]) @ query
        return [self.rows[i]["text"] for i in np.argsort(-scores, kind="stable")[:k]]

    def without(self, *ids: str) -> "OldIndex":
        """The same without some rows."""
        return replace(self, rows=[row for row in self.rows if row["id"] not in ids])

    def but(self, number: int, **fields: Any) -> "OldIndex":
        """The same with other fields in one row."""
        return replace(self, rows=[row | fields if i == number else row for i, row in enumerate(self.rows)])
