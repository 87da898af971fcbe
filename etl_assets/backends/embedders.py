"""Opens the embedder that a collection chose."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from etl_assets.errors import ConfigError
from etl_assets.protocols.embedder import Embedder

if TYPE_CHECKING:
    from etl_assets.backends.hosted_models import HostedModels


class ModelChoice(Protocol):
    """``kind`` is minilm, static, folder, jina or openai; ``path`` is the folder's, all else is of hosted models.

    See ``documents.parameters.EmbedderChoice``.
    """

    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def dimension(self) -> int | None: ...
    @property
    def late_chunking(self) -> bool: ...
    @property
    def context_tokens(self) -> int | None: ...
    @property
    def shorten(self) -> bool: ...
    @property
    def document_prefix(self) -> str | None: ...
    @property
    def query_prefix(self) -> str | None: ...


def open_embedder(
    choice: ModelChoice, *, cache: Path, threads: int | None = None, hosted: "HostedModels | None" = None
) -> Embedder:
    """The embedder of ``choice``; weights are loaded with the first text, so this and ``.model`` are cheap.

    ``cache`` is a folder for what is derived from model files; it may be shared and may be lost. ``threads`` texts
    are computed at once (None: one per core). ``hosted`` opens the models of vendors.

    Raises:
        ConfigError: no such kind, a folder without a path, files that are missing or wrong, or a vendor that is not
            configured.
    """
    if choice.kind in ("jina", "openai"):
        if hosted is None:
            raise ConfigError(f"embedder {choice.kind}: no hosted model is configured here")
        return hosted.embedder(choice)
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
    raise ConfigError(f"embedder {choice.kind!r}: use minilm, static, folder, jina or openai")
