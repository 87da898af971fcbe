"""A local folder as a model: `model.onnx`, `tokenizer.json`, and what says how to run them.

That is `etl_model.json`, or the files of sentence-transformers (`modules.json`, `1_Pooling/config.json`,
`sentence_bert_config.json`, `config_sentence_transformers.json`), see sbert.net/docs/package_reference.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from etl_assets.backends.model_files import FileDigests
from etl_assets.backends.model_tokenizer import ModelTokenizer
from etl_assets.backends.onnx_embedder import SPECIAL_TOKENS, OnnxModel, model_digest
from etl_assets.errors import ConfigError
from etl_assets.protocols.embedder import EmbeddingModel

OWN = "etl_model.json"
EXAMPLE = '{"pooling": "cls", "dimension": 384, "max_tokens": 512, "query_prefix": "", "document_prefix": ""}'
_SENTENCE_TRANSFORMERS = (
    "modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to run a model. ``max_tokens`` is its sequence limit, special tokens and prefix counted."""

    dimension: int
    max_tokens: int
    pooling: Literal["mean", "cls"] = "mean"
    query_prefix: str = ""
    document_prefix: str = ""
    normalise: bool = True
    name: str = ""


def folder_model(folder: Path, *, cache: Path) -> OnnxModel:
    """The model in ``folder``. Every file that decides a vector is part of its digest; weights are not loaded.

    The longest text read whole has two special tokens fewer than the sequence limit, and as many fewer as the
    document prefix has characters, which is never fewer than its tokens.

    Raises:
        ConfigError: a file is missing or wrong; the message names it and what to do.
    """
    graph = _graph(folder)
    recipe, used = _recipe(folder)
    tokenizer_file = _present(folder / "tokenizer.json")
    digests = FileDigests(cache)
    # `model.onnx_data` and its like hold weights that do not fit into the graph's own file.
    files = [*sorted(graph.parent.glob(f"{graph.name}*")), tokenizer_file, *used]
    try:
        parts = {str(path.relative_to(folder)): digests.sha256(path) for path in files}
    except OSError as e:
        raise ConfigError(f"model file {e.filename} cannot be read: {e.strerror}") from e
    max_tokens = recipe.max_tokens - SPECIAL_TOKENS - len(recipe.document_prefix)
    if max_tokens < 1:
        raise ConfigError(f"{used[0]}: max_tokens {recipe.max_tokens} leaves no room for a text: write the model's own")
    model = EmbeddingModel(recipe.name or folder.resolve().name, model_digest(parts), recipe.dimension, max_tokens)
    tokenizer = ModelTokenizer(
        tokenizer_file.read_bytes, shown=str(tokenizer_file), limit=recipe.max_tokens, special_tokens=True
    )
    return OnnxModel(
        model, tokenizer, lambda: str(graph), str(graph),
        recipe.pooling, recipe.query_prefix, recipe.document_prefix, recipe.normalise,
    )  # fmt: skip


def _graph(folder: Path) -> Path:
    """`model.onnx`, or `onnx/model.onnx`, where sentence-transformers puts it."""
    if not folder.is_dir():
        raise ConfigError(f"model folder {folder} does not exist: correct the embedder's `path`")
    nested = folder / "onnx" / "model.onnx"
    return nested if nested.is_file() else _present(folder / "model.onnx")


def _present(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f"model folder {path.parent} has no {path.name}: put the file of the model there")
    return path


def _recipe(folder: Path) -> tuple[Recipe, list[Path]]:
    """The recipe, and the files it was read from."""
    if (own := folder / OWN).is_file():
        return _checked(_json(own), own), [own]
    used = [path for name in _SENTENCE_TRANSFORMERS if (path := folder / name).is_file()]
    if (pooling := folder / "1_Pooling" / "config.json") not in used:
        raise ConfigError(f"model folder {folder} has neither {OWN} nor 1_Pooling/config.json: write {OWN}, {EXAMPLE}")
    return _checked(_translated(folder, _json(pooling)), pooling), used


def _translated(folder: Path, pooling: dict[str, Any]) -> dict[str, Any]:
    """sentence-transformers' files as the fields of a recipe."""
    modes = [mode for mode, on in pooling.items() if mode.startswith("pooling_mode_") and on is True]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    limits = folder / "sentence_bert_config.json"
    prompts_file = folder / "config_sentence_transformers.json"
    prompts = _json(prompts_file).get("prompts") if prompts_file.is_file() else None
    prompts = prompts if isinstance(prompts, dict) else {}
    return {
        "dimension": pooling.get("word_embedding_dimension"),
        "max_tokens": _json(limits).get("max_seq_length") if limits.is_file() else 512,
        "pooling": known.get(modes[0], modes[0]) if len(modes) == 1 else ", ".join(modes),
        "query_prefix": prompts.get("query", ""),
        "document_prefix": prompts.get("document", prompts.get("passage", "")),
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise ConfigError(f"model file {path} cannot be read ({e}): correct it") from e
    if not isinstance(value, dict):
        raise ConfigError(f"model file {path} must hold one JSON object, for example {EXAMPLE}")
    return value


def _checked(fields: dict[str, Any], path: Path) -> Recipe:
    """A recipe of fields of the right types.

    Raises:
        ConfigError: naming the first field that is wrong.
    """
    texts = ("pooling", "query_prefix", "document_prefix", "name")
    wanted: dict[str, type] = {"dimension": int, "max_tokens": int, "normalise": bool} | dict.fromkeys(texts, str)
    for name, value in fields.items():
        if name not in wanted:
            raise ConfigError(f"{path}: unknown field {name!r}; known are {', '.join(wanted)}")
        if type(value) is not wanted[name]:
            raise ConfigError(f"{path}: {name} is {value!r}, it must be of type {wanted[name].__name__}")
    for name in ("dimension", "max_tokens"):
        if fields.get(name, 0) < 1:
            raise ConfigError(f"{path}: {name} must be given, and at least 1")
    pooling = fields.get("pooling", "mean")
    if pooling not in ("mean", "cls"):
        raise ConfigError(f"{path}: pooling {pooling!r} is not supported: use mean or cls")
    return Recipe(**fields)
