import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from etl_assets.backends.embedders import open_embedder
from etl_assets.documents.parameters import EmbedderChoice
from etl_assets.errors import ConfigError, DataError
from etl_assets.protocols.embedder import Embedder

WORDS = ["[UNK]", "[CLS]", "[SEP]", "actor", "server", "query", ":"]
TABLE = np.array([[9, 0], [0, 1], [0, 1], [1, 0], [3, 4], [0, 2], [0, 0]], np.float32)


def write_model(
    folder: Path, *, table: np.ndarray[Any, Any] = TABLE, inputs: tuple[str, ...] = ("input_ids",), rank: int = 3
) -> None:
    """A model whose token vectors are the rows of ``table``."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["tokens"])]
    if rank == 2:
        nodes.append(helper.make_node("ReduceMean", ["tokens", "axes"], ["out"], keepdims=0))
    tensors = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axes")]
    entries = [helper.make_tensor_value_info(name, TensorProto.INT64, [1, "n"]) for name in inputs]
    shape = [1, "n", table.shape[1]] if rank == 3 else [1, table.shape[1]]
    output = helper.make_tensor_value_info("tokens" if rank == 3 else "out", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "toy", entries, [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def write_recipe(folder: Path, **fields: object) -> None:
    (folder / "etl_model.json").write_text(json.dumps({"dimension": 2, "max_tokens": 16} | fields))


def opened(folder: Path) -> Embedder:
    return open_embedder(EmbedderChoice(kind="folder", path=str(folder)), cache=folder.parent / "cache", threads=1)


def test_mean_pooling_counts_every_token(tmp_path: Path) -> None:
    write_model(tmp_path / "toy")
    write_recipe(tmp_path / "toy")
    embedder = opened(tmp_path / "toy")
    expected = np.array([1 + 3, 1 + 4 + 1], np.float32)  # [CLS] actor server [SEP], summed
    assert embedder.embed_documents(["actor server"])[0] == pytest.approx(expected / np.linalg.norm(expected))
    assert embedder.model.name == "toy" and embedder.model.max_tokens == 14
    assert list(embedder.tokenizer.token_spans("actor server")) == [(0, 5), (6, 12)]


def test_cls_pooling_prefixes_and_a_pooled_output_are_followed(tmp_path: Path) -> None:
    write_model(tmp_path / "cls")
    write_recipe(tmp_path / "cls", pooling="cls", name="my-model")
    assert opened(tmp_path / "cls").embed_query("actor").tolist() == [0.0, 1.0]
    assert opened(tmp_path / "cls").model.name == "my-model"

    write_model(tmp_path / "pre", rank=2)
    write_recipe(tmp_path / "pre", query_prefix="query : ")
    embedder = opened(tmp_path / "pre")
    plain, prefixed = embedder.embed_documents(["actor", "query : actor"])
    assert np.array_equal(embedder.embed_query("actor"), prefixed) and not np.array_equal(plain, prefixed)


def test_the_longest_text_leaves_room_for_prefix_and_special_tokens(tmp_path: Path) -> None:
    write_model(tmp_path / "toy")
    write_recipe(tmp_path / "toy", document_prefix="query : ")
    assert opened(tmp_path / "toy").model.max_tokens == 16 - 2 - 8


def test_every_file_that_decides_a_vector_is_in_the_digest(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write_model(folder)
    write_recipe(folder)
    digests = [opened(folder).model.digest]
    assert opened(folder).model.digest == digests[0]
    write_recipe(folder, pooling="cls")
    digests.append(opened(folder).model.digest)
    write_model(folder, table=TABLE * 2)
    digests.append(opened(folder).model.digest)
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    digests.append(opened(folder).model.digest)
    (folder / "model.onnx_data").write_bytes(b"external weights")
    digests.append(opened(folder).model.digest)
    assert len(set(digests)) == 5


def test_a_damaged_digest_record_is_read_over(tmp_path: Path) -> None:
    write_model(tmp_path / "toy")
    write_recipe(tmp_path / "toy")
    digest = opened(tmp_path / "toy").model.digest
    (record,) = (tmp_path / "cache").glob("*.json")
    for damage in ("{", "[1]", '{"x": 1}'):
        record.write_text(damage)
        assert opened(tmp_path / "toy").model.digest == digest


def test_sentence_transformers_folders_work_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "bge"
    write_model(folder / "onnx")
    (folder / "onnx" / "tokenizer.json").rename(folder / "tokenizer.json")
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 2, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8, "do_lower_case": false}')
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "query : "}}')
    embedder = opened(folder)
    assert (embedder.model.dimension, embedder.model.max_tokens) == (2, 6)
    assert embedder.embed_query("actor").tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"dimension": "2"}, "dimension is '2', it must be of type int"), ({"pooling": "max"}, "pooling 'max'"),
     ({"dimension": 0}, "dimension must be given"), ({"max_tokens": 2}, "max_tokens 2 leaves no room"),
     ({"color": 1}, "unknown field 'color'"), ({"normalise": 1}, "normalise is 1")],
)  # fmt: skip
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    write_model(tmp_path / "toy")
    write_recipe(tmp_path / "toy", **fields)
    with pytest.raises(ConfigError, match=f"etl_model.json.*{message}"):
        opened(tmp_path / "toy")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "etl_model.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_model(tmp_path / "toy")
    write_recipe(tmp_path / "toy")
    (tmp_path / "toy" / name).unlink()
    with pytest.raises(ConfigError, match=f"(no|neither) {name}"):
        opened(tmp_path / "toy")


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_recipe_that_is_no_object_is_named(tmp_path: Path, content: str) -> None:
    write_model(tmp_path / "toy")
    (tmp_path / "toy" / "etl_model.json").write_text(content)
    with pytest.raises(ConfigError, match="etl_model.json"):
        opened(tmp_path / "toy")


def test_a_wrong_dimension_names_the_model_and_the_setting(tmp_path: Path) -> None:
    write_model(tmp_path / "toy")
    write_recipe(tmp_path / "toy", dimension=3)
    with pytest.raises(ConfigError, match=r"model.onnx gives vectors of shape \(2,\).*3 dimensions.*etl_model.json"):
        opened(tmp_path / "toy").embed_query("actor")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_output_without_a_direction_is_refused(tmp_path: Path, value: float) -> None:
    write_model(tmp_path / "toy", table=np.full_like(TABLE, value))
    write_recipe(tmp_path / "toy")
    with pytest.raises(DataError, match="model.onnx gave a vector of length") as caught:
        opened(tmp_path / "toy").embed_documents(["actor", "server"])
    assert caught.value.reason == "not-finite"


def test_a_tokenizer_of_another_model_is_suspected(tmp_path: Path) -> None:
    write_model(tmp_path / "toy", table=TABLE[:3])
    write_recipe(tmp_path / "toy")
    with pytest.raises(DataError, match="tokenizer.json and max_tokens belong to this model"):
        opened(tmp_path / "toy").embed_query("server")


def test_files_that_are_no_model_are_named(tmp_path: Path) -> None:
    write_model(tmp_path / "toy")
    write_recipe(tmp_path / "toy")
    (tmp_path / "toy" / "model.onnx").write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=r"model.onnx cannot be opened.*restore"):
        opened(tmp_path / "toy").embed_query("actor")
    (tmp_path / "toy" / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"tokenizer.json cannot be read.*restore"):
        opened(tmp_path / "toy").embed_query("actor")


def test_an_input_that_nothing_is_known_about_is_named(tmp_path: Path) -> None:
    write_model(tmp_path / "toy", inputs=("input_ids", "position_ids"))
    write_recipe(tmp_path / "toy")
    with pytest.raises(ConfigError, match=r"\['position_ids'\]"):
        opened(tmp_path / "toy").embed_query("actor")
