"""A small real installation to search: real stores under a folder, with the trivial stage functions."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from etl_assets.ledger.snapshots import CollectionView
from etl_assets.protocols.embedder import EmbeddingModel, Tokenizer
from etl_assets.search.model import SearchPlaces
from etl_assets_tests.trivial import DIMENSION, Chain, Home, vector_of

REPORTS = {
    "apt/bear.txt": "The bear group used EMOTET against a bank\nIt moved to the mail server\nThen it left",
    "apt/panda.txt": "The panda group used EMOTET and TRICKBOT\nA factory stopped for a week",
    "notes/bank.txt": "A bank reported fraud to the police\nNobody was hurt",
    "notes/garden.txt": "Roses want sun and water\nTRICKBOT is not a rose",
}


class TrivialEmbedder:
    """The trivial chain's own vectors: equal texts are equal, everything else is noise."""

    def __init__(self, model: str = "trivial") -> None:
        self.model = EmbeddingModel(model, model, DIMENSION, 1000)

    @property
    def tokenizer(self) -> Tokenizer:
        raise AssertionError("searching needs no tokenizer")

    def embed_documents(self, texts: list[str]) -> NDArray[np.float32]:
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return vector_of(text, self.model.name)


def places(home: Home, *, model: str = "trivial", time_limit_s: float = 30.0) -> SearchPlaces:
    """Where searches of a home read. The limit is long, so that a busy machine fails no test."""
    embedder = TrivialEmbedder(model)

    def embedder_for(_view: CollectionView) -> TrivialEmbedder:
        return embedder

    stores = home.stores
    return SearchPlaces(
        home.ledger, home.lake, stores.vector, stores.keyword, stores.graph, embedder_for, time_limit_s=time_limit_s
    )


def published(folder: Path, texts: dict[str, str] = REPORTS, *, collection: str = "reports") -> Home:
    """A home with these texts (by path), published."""
    home = Home.open(folder)
    for path, text in texts.items():
        home.put(path, text, collection=collection)
    Chain(home, collection=collection).run()
    return home
