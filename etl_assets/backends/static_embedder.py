"""The fast packaged model: wordllama's 256-dimension token vectors (l2_supercat), averaged. No neural network runs.

The files are read from the installed wheel without importing the package, whose import configures logging and whose
loader may go to the network. About 40 times the speed of MiniLM, and clearly worse at meaning.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from etl_assets.backends.model_files import packaged_file, read_checked
from etl_assets.backends.model_tokenizer import ModelTokenizer
from etl_assets.backends.onnx_embedder import model_digest
from etl_assets.errors import DataError
from etl_assets.protocols.embedder import EmbeddingModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTALL = "wordllama==0.4.0.post1"
WEIGHTS = ("weights/l2_supercat_256.safetensors", "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5")
TOKENIZER = (
    "tokenizers/l2_supercat_tokenizer_config.json",
    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)
MAX_TOKENS = 8192
"""An average has no natural limit; past this many tokens it says nothing any more."""


class StaticEmbedder:
    """Embedder of 256 dimensions. Texts are computed one by one, so a vector depends on its own text alone."""

    def __init__(self) -> None:
        self._loading = Lock()
        self._tokenizer = ModelTokenizer(
            lambda: read_checked(_path(TOKENIZER[0]), TOKENIZER[1], install=INSTALL),
            shown=TOKENIZER[0], limit=MAX_TOKENS, special_tokens=False,
        )  # fmt: skip

    @property
    def model(self) -> EmbeddingModel:
        """Identity of the model; reading it loads nothing."""
        digest = model_digest({"static": WEIGHTS[1], "tokenizer": TOKENIZER[1]})
        return EmbeddingModel("wordllama-l2-supercat-256", digest, dimension=256, max_tokens=MAX_TOKENS)

    @property
    def tokenizer(self) -> ModelTokenizer:
        """Llama 2's tokenizer: a code point outside its vocabulary is several tokens of the same span."""
        return self._tokenizer

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Unit vectors, shape (len(texts), 256), in the order given; a text past ``max_tokens`` is cut.

        Raises:
            ConfigError: the installed package is another version, or damaged.
            DataError: a text is empty.
        """
        import numpy as np

        vectors = np.empty((len(texts), 256), np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self.embed_query(text)
        return vectors

    def embed_query(self, text: str) -> "NDArray[np.float32]":
        """One unit vector, shape (256,). Raises as ``embed_documents``."""
        import numpy as np

        ids = self._tokenizer.ids(text)
        total = self._table()[ids].astype(np.float32).sum(axis=0)
        length = np.linalg.norm(total)
        if length == 0.0:
            raise DataError("an empty text has no embedding: leave it out", reason="empty")
        unit: NDArray[np.float32] = total / length
        return unit

    def _table(self) -> "NDArray[np.float16]":
        with self._loading:
            return self._loaded

    @cached_property
    def _loaded(self) -> "NDArray[np.float16]":
        """Token vectors, shape (32000, 256), kept as the float16 they are stored in (16 MB)."""
        from safetensors.numpy import load

        table: NDArray[np.float16] = load(read_checked(_path(WEIGHTS[0]), WEIGHTS[1], install=INSTALL))[
            "embedding.weight"
        ]
        return table


def _path(relative: str) -> Path:
    return packaged_file("wordllama", relative, install=INSTALL)
