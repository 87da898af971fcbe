"""Opens the embedder that a collection chose."""

from pathlib import Path
from typing import Protocol

from etl_assets.errors import ConfigError
from etl_assets.protocols.embedder import Embedder


class ModelChoice(Protocol):
    """``kind`` is minilm, static or folder; ``path`` is the folder's, and None for the packaged models."""

    @property
    def kind(self) -> str: ...

    @property
    def path(self) -> str | None: ...


def open_embedder(choice: ModelChoice, *, cache: Path, threads: int | None = None) -> Embedder:
    """The embedder of ``choice``; weights are loaded with the first text, so this and ``.model`` are cheap.

    ``cache`` is a folder for what is derived from model files; it may be shared and may be lost. ``threads`` texts
    are computed at once (None: one per core).

    Raises:
        ConfigError: no such kind, a folder without a path, or files that are missing or wrong.
    """
    if choice.kind == "static":
        from etl_assets.backends.static_embedder import StaticEmbedder

        return StaticEmbedder()
    from etl_assets.backends.folder_model import folder_model
    from etl_assets.backends.onnx_embedder import OnnxEmbedder, minilm_model

    if choice.kind == "minilm":
        return OnnxEmbedder(minilm_model(cache), threads=threads)
    if choice.kind == "folder" and choice.path:
        return OnnxEmbedder(folder_model(Path(choice.path).expanduser(), cache=cache), threads=threads)
    if choice.kind == "folder":
        raise ConfigError("embedder `folder` needs `path`, the folder that holds model.onnx")
    raise ConfigError(f"embedder {choice.kind!r}: use minilm, static or folder")
