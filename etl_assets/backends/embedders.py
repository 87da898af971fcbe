"""Opens the embedder that a collection chose."""

from functools import cache
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
    def kind(self) -> str:
        """minilm, static, folder, jina or openai."""
        ...

    @property
    def path(self) -> str | None:
        """Folder of a local model; ``None`` for every other kind."""
        ...

    @property
    def model(self) -> str | None:
        """A hosted model's name; ``None`` is the vendor's default."""
        ...

    @property
    def dimension(self) -> int | None:
        """Length of a hosted model's vectors; ``None`` is the model's own."""
        ...

    @property
    def late_chunking(self) -> bool:
        """Whether the chunks of a document are read together; of jina only."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """Most tokens that the model reads of one text; ``None`` is the default of its kind."""
        ...

    @property
    def shorten(self) -> bool:
        """Whether the endpoint is asked to cut its vectors to ``dimension`` numbers; of openai only."""
        ...

    @property
    def document_prefix(self) -> str | None:
        """What is put before the text of a document; ``None`` is nothing."""
        ...

    @property
    def query_prefix(self) -> str | None:
        """What is put before a question; ``None`` is nothing."""
        ...


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
        return _static()
    from etl_assets.backends.folder_model import folder_model
    from etl_assets.backends.onnx_embedder import OnnxEmbedder, minilm_model

    if choice.kind == "minilm":
        return OnnxEmbedder(minilm_model(cache), threads=threads)
    if choice.kind == "folder" and choice.path:
        return OnnxEmbedder(folder_model(Path(choice.path).expanduser(), cache=cache), threads=threads)
    if choice.kind == "folder":
        raise ConfigError("embedder `folder` needs `path`, the folder that holds model.onnx")
    raise ConfigError(f"embedder {choice.kind!r}: use minilm, static, folder, jina or openai")


@cache
def _static() -> Embedder:
    """One for the whole process: it has no settings, and reading its files takes a quarter of a small run."""
    from etl_assets.backends.static_embedder import StaticEmbedder

    return StaticEmbedder()
