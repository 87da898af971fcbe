"""The model that an import's vectors were declared to be of: how people name it, and whether it is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from etl_assets.documents.importing.given_vectors import is_made_by
from etl_assets.documents.parameters import EmbedderChoice
from etl_assets.documents.planning.budget import needs_asking, refuse_beyond
from etl_assets.documents.planning.prices import tariff_of
from etl_assets.errors import ConfigError
from etl_assets.protocols.declared_models import GivenModel
from etl_assets.protocols.embedder import HostedEmbedder, for_tenant, in_context
from etl_assets.protocols.hosted_models import JINA_DEFAULT, JINA_MODELS

if TYPE_CHECKING:
    from etl_assets.documents.platform import Platform
    from etl_assets.ledger.catalogue import Partition
    from etl_assets.protocols.embedder import Embedder

KINDS = ("minilm", "static", "folder", "jina", "openai")
ALIASES = {
    "all-MiniLM-L6-v2": "minilm", "sentence-transformers/all-MiniLM-L6-v2": "minilm",
    "wordllama": "static",
}  # fmt: skip

SAMPLE = 32
HOSTED_SAMPLE = 8
"""Fewer texts where each costs money."""

ALIKE = 0.9
"""Cosine from which two vectors of one text count as of one model: quantised weights give .97 and more, other models
about 0."""

ALIKE_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Declared:
    """A model as it was declared. ``name`` is "" for a packaged one."""

    kind: str
    name: str

    def model(self, dimension: int) -> GivenModel:
        """What is kept with the documents."""
        return GivenModel(self.kind, self.name, dimension)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """How many texts were embedded again, and how alike the vectors are: the median and least cosine.

    ``problem`` says why the vectors are not of the declared model; ``skipped`` why nothing was embedded.
    """

    texts: int = 0
    median: float | None = None
    least: float | None = None
    problem: str = ""
    skipped: str = ""


def declared(text: str) -> Declared:
    """The model that ``KIND`` or ``KIND:NAME`` names.

    Raises:
        ConfigError: there is no such kind, or it needs a name, or has none.
    """
    kind, _, name = ALIASES.get(text.strip(), text.strip()).partition(":")
    if kind not in KINDS:
        raise ConfigError(f"model {text!r}: use one of {', '.join(KINDS)}, as in minilm or openai:NAME-OF-THE-MODEL")
    if kind in ("openai", "folder") and not name:
        raise ConfigError(f"model {text!r}: say which one, as in {kind}:{'NAME' if kind == 'openai' else 'FOLDER'}")
    if kind in ("minilm", "static") and name:
        raise ConfigError(f"model {text!r}: {kind} is one model and takes no name")
    if kind == "jina":
        name = name or JINA_DEFAULT
        if name not in JINA_MODELS:
            raise ConfigError(f"model {text!r}: use one of {', '.join(JINA_MODELS)}")
    return Declared(kind, Path(name).name if kind == "folder" else name)


def known_dimension(platform: Platform, choice: EmbedderChoice, model: Declared) -> int | None:
    """The dimension of a declared model, where it can be told before a vector is seen."""
    if _is_chosen(choice, model.model(0)):
        return platform.embedder(choice).model.dimension
    if model.kind in ("minilm", "static"):
        return platform.embedder(_alone(model.model(0))).model.dimension
    return None


def what_to_configure(choice: EmbedderChoice, model: GivenModel) -> str:
    """What has to stand in collections.yaml for vectors of a model to be searched; "" if it does."""
    return "" if _is_chosen(choice, model) else model.settings


def check_model(
    platform: Platform, place: tuple[str, str], model: GivenModel, sample: Sequence[tuple[str, bytes]],
    partition: Partition | None,
) -> ModelCheck:  # fmt: skip
    """Embed some texts again and compare; where the model cannot be had here, say so. ``place`` is tenant and
    collection; without a partition, nothing is sent to a hosted model.

    Raises:
        OverBudget: the sample would cost more than is left.
        TransientError, PermanentError: as the embedder says.
    """
    settings = platform.collections.of(*place)
    try:
        choice = settings.embedder if not what_to_configure(settings.embedder, model) else _alone(model)
        embedder = for_tenant(platform.embedder(choice), place[0])
        is_same = is_made_by(model, choice, embedder.model)
    except ConfigError as e:
        return ModelCheck(skipped=f"the model cannot be had here: {e}")
    if not is_same:
        return ModelCheck(
            skipped=f"{embedder.model.name} gives {embedder.model.dimension} numbers, not {model.dimension}"
        )
    if in_context(embedder) is not None:
        return ModelCheck(
            skipped="the model reads chunks in their context, which the other index may have cut otherwise"
        )
    if isinstance(embedder, HostedEmbedder):
        if partition is None:
            return ModelCheck(skipped="a dry run sends nothing to a hosted model")
        sample = sample[:: max(len(sample) // HOSTED_SAMPLE, 1)][:HOSTED_SAMPLE]
        tariff = tariff_of(embedder, settings)
        if needs_asking(settings, tariff):
            tokens = sum(len(embedder.tokenizer.token_spans(text)) for text, _ in sample)
            refuse_beyond(platform.ledger, partition, settings.budget, tariff, tokens)
    return _compared(embedder, sample)


def _compared(embedder: Embedder, sample: Sequence[tuple[str, bytes]]) -> ModelCheck:
    import numpy as np

    made = embedder.embed_documents([text for text, _ in sample]).astype(np.float64)
    given = np.stack([np.frombuffer(vector, dtype="<f4") for _, vector in sample]).astype(np.float64)
    cosines = (made * given).sum(axis=1)
    median, least, share = float(np.median(cosines)), float(cosines.min()), float((cosines >= ALIKE).mean())
    problem = ""
    if share < ALIKE_SHARE:
        problem = (
            f"{int((cosines < ALIKE).sum())} of {len(sample)} texts that were embedded again by {embedder.model.name} "
            f"have another vector (cosine {median:.3f} in the median, {least:.3f} at least; {ALIKE} is needed)"
        )
    return ModelCheck(len(sample), median, least, problem)


def _is_chosen(choice: EmbedderChoice, model: GivenModel) -> bool:
    """Whether a collection's settings name the model; a dimension that is not known yet, or not chosen, fits any."""
    wanted = model.dimension
    if choice.dimension is not None and wanted:
        return model.is_chosen(asdict(choice), choice.dimension)
    return model.is_chosen(asdict(choice), wanted)


def _alone(model: GivenModel) -> EmbedderChoice:
    """The model by itself, for a collection that has chosen another one."""
    if model.kind == "folder":
        raise ConfigError(f"no collection names the folder {model.name}")
    choice = EmbedderChoice(kind=model.kind)  # type: ignore[arg-type]  # a kind that `declared` let through
    if model.kind in ("jina", "openai"):
        choice = replace(choice, model=model.name, dimension=model.dimension)
    return choice
