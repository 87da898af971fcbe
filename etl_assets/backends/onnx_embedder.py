"""Embeddings by ONNX Runtime: the packaged all-MiniLM-L6-v2, or any local folder of an ONNX model.

Every text is one run of the session, without padding or neighbours, on one thread: its vector depends on the text
alone, bit for bit, so a result may be reused for ever. Both cores are kept busy by running several texts at once.
(Measured on 2 cores, 200 tokens: 87 texts a second this way, against 26 for the packaged graph in padded batches
of 16, which also moved vectors by their neighbours.)

API: onnxruntime.ai/docs/api/python
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Literal

from etl_assets.backends.minilm_graph import GRAPH_VERSION, WEIGHTS_SHA256, minilm_graph
from etl_assets.backends.model_files import read_checked
from etl_assets.backends.model_tokenizer import ModelTokenizer
from etl_assets.errors import ConfigError, DataError
from etl_assets.protocols.embedder import EmbeddingModel

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

MINILM = "all-MiniLM-L6-v2"
MINILM_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
RUNNER_VERSION = "1"
"""Raise it when the code below changes a vector: it is part of every model's digest."""

SPECIAL_TOKENS = 2
"""[CLS] and [SEP], which a sequence limit counts and a text's own tokens do not."""

_MINILM_SEQUENCE = 256


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """What it takes to run one model. ``graph`` gives a path or the serialised bytes; ``shown`` names it in messages.

    ``pooling`` applies to an output of one vector per token; an output of one vector per text is taken as it is.
    """

    model: EmbeddingModel
    tokenizer: ModelTokenizer
    graph: Callable[[], str | bytes]
    shown: str
    pooling: Literal["mean", "cls"] = "mean"
    query_prefix: str = ""
    document_prefix: str = ""
    normalise: bool = True


def minilm_model(cache: Path) -> OnnxModel:
    """The packaged all-MiniLM-L6-v2: 384 dimensions, texts up to 254 tokens. Nothing is read until it is used."""
    tokenizer_file = Path(__file__).parent / "models" / MINILM / "tokenizer.json"
    tokenizer = ModelTokenizer(
        lambda: read_checked(tokenizer_file, MINILM_TOKENIZER_SHA256, install="etl-assets"),
        shown=str(tokenizer_file), limit=_MINILM_SEQUENCE, special_tokens=True,
    )  # fmt: skip
    parts = {"weights": WEIGHTS_SHA256, "graph": GRAPH_VERSION, "tokenizer": MINILM_TOKENIZER_SHA256}
    digest = model_digest(parts | {"sequence": str(_MINILM_SEQUENCE)})
    model = EmbeddingModel(MINILM, digest, dimension=384, max_tokens=_MINILM_SEQUENCE - SPECIAL_TOKENS)
    return OnnxModel(model, tokenizer, lambda: minilm_graph(cache), shown=f"the packaged {MINILM}")


def model_digest(parts: dict[str, str]) -> str:
    """Digest of everything that decides a vector, with the version of the code here; 32 hex digits."""
    canonical = json.dumps(parts | {"runner": RUNNER_VERSION}, sort_keys=True)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


class OnnxEmbedder:
    """Embedder over one ONNX session, which is opened when the first text comes. Safe from several threads.

    ``threads`` texts are computed at once; None means one per core this process may use.
    """

    def __init__(self, parts: OnnxModel, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads of the embedder is {threads}: use 1 or more, or leave it out")
        self._parts = parts
        self._threads = threads or len(os.sched_getaffinity(0))
        self._loading = Lock()

    @property
    def model(self) -> EmbeddingModel:
        """Identity of the model; reading it loads nothing."""
        return self._parts.model

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The model's tokenizer; loading it does not load the weights."""
        return self._parts.tokenizer

    def embed_documents(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Unit vectors, shape (len(texts), dimension), in the order given; a text past ``max_tokens`` is cut.

        An interrupt ends it after the texts that are being computed.

        Raises:
            ConfigError: the model's files are missing, damaged, or do not fit each other.
            DataError: the model failed on a text, or gave a vector that is not finite.
        """
        import numpy as np

        vectors = np.empty((len(texts), self.model.dimension), np.float32)
        # Longest first: the last texts to finish are short, so no core waits long for the other.
        waiting = iter(sorted(range(len(texts)), key=lambda index: -len(texts[index])))
        taking, stop = Lock(), Event()

        def work() -> None:
            while not stop.is_set():
                with taking:
                    index = next(waiting, None)
                if index is None:
                    return
                vectors[index] = self._vector(self._parts.document_prefix + texts[index])

        self._together(work, min(self._threads, len(texts)), stop)
        return vectors

    def embed_query(self, text: str) -> "NDArray[np.float32]":
        """One unit vector, shape (dimension,). Raises as ``embed_documents``."""
        return self._vector(self._parts.query_prefix + text)

    @staticmethod
    def _together(work: Callable[[], None], workers: int, stop: Event) -> None:
        """Run ``work`` in this thread and in ``workers - 1`` others; whatever ends one early ends all."""
        if workers < 2:
            return work()
        with ThreadPoolExecutor(workers - 1, thread_name_prefix="embed") as pool:
            try:
                others = [pool.submit(work) for _ in range(workers - 1)]
                work()
                for other in others:
                    other.result()
            finally:
                stop.set()
        return None

    def _vector(self, text: str) -> "NDArray[np.float32]":
        import numpy as np

        ids = np.array([self._parts.tokenizer.ids(text)], np.int64)
        vector = self._pooled(self._output(ids)).astype(np.float32, copy=False)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0.0:
            raise DataError(
                f"model {self._parts.shown} gave a vector of length {length} for a text of {ids.shape[1]} tokens: "
                "check that the file is whole, or choose another embedder",
                reason="not-finite",
            )
        unit: NDArray[np.float32] = vector / np.float32(length) if self._parts.normalise else vector
        return unit

    def _pooled(self, output: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """(1, n, d) or (1, d) to (d,)."""
        vector: NDArray[np.float32] = output[0]
        if output.ndim == 3:
            vector = vector.mean(axis=0) if self._parts.pooling == "mean" else vector[0]
        if vector.shape != (self.model.dimension,):
            raise ConfigError(
                f"model {self._parts.shown} gives vectors of shape {vector.shape}, its configuration says "
                f"{self.model.dimension} dimensions: correct `dimension` in etl_model.json"
            )
        return vector

    def _output(self, ids: "NDArray[np.int64]") -> "NDArray[np.float32]":
        import numpy as np

        session, inputs = self._session()
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        try:
            outputs = session.run(None, {name: given[name].astype(kind) for name, kind in inputs.items()})
        except Exception as e:
            raise DataError(
                f"model {self._parts.shown} failed on a text of {ids.shape[1]} tokens ({e}): "
                "check that tokenizer.json and max_tokens belong to this model",
                reason="embedding-failed",
            ) from e
        return np.asarray(outputs[0], np.float32)

    def _session(self) -> tuple["onnxruntime.InferenceSession", dict[str, str]]:
        with self._loading:
            return self._opened

    @cached_property
    def _opened(self) -> tuple["onnxruntime.InferenceSession", dict[str, str]]:
        """The session, and the type of each of its inputs by name."""
        # The library begins a session of telemetry when it is imported (a file ``.ses`` among temporary ones is its
        # mark), unless it is told not to before: turning events off afterwards leaves the session.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Two threads in one arena: 32 texts per CPU-second in most processes, 41 in some; without it 41 in all.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False  # every text has its own shape; a kept plan for each would only grow
        if products_saturate():
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            session = onnxruntime.InferenceSession(self._parts.graph(), options, providers=["CPUExecutionProvider"])
        except ConfigError:
            raise
        except Exception as e:
            raise ConfigError(f"model {self._parts.shown} cannot be opened ({e}): restore the file") from e
        kinds = {"tensor(int64)": "int64", "tensor(int32)": "int32"}
        inputs = {entry.name: kinds.get(entry.type, "") for entry in session.get_inputs()}
        if unknown := [n for n, k in inputs.items() if not k or n not in _INPUTS]:
            raise ConfigError(
                f"model {self._parts.shown} wants the inputs {unknown}; known are {', '.join(_INPUTS)} of int64 or "
                "int32: export it for feature extraction"
            )
        return session, inputs


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def products_saturate(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether sums of 8-bit products may saturate at 16 bits here: on x86 processors without VNNI.

    There the session is told to widen them: the same integers as everywhere, at 0.6 of the speed. (The runtime's own
    test for this slows processors with VNNI down too, so it is made here.)
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in cpuinfo.read_text(errors="replace")
    except OSError:
        return True
