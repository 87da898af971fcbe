"""What vendors say of their embedding models: facts that both a collection's settings and the adapters go by."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from etl_assets.errors import ConfigError

JINA_DEFAULT = "jina-embeddings-v3"


@dataclass(frozen=True, slots=True)
class JinaFamily:
    """What the vendor says of one model. ``dimensions``: what it may be cut to; none means any size below.

    ``context_tokens`` is what it reads at once, ``items_max`` how many texts one request may hold, and ``normalises``
    whether it takes the option ``normalized``.
    """

    dimension: int
    context_tokens: int
    items_max: int
    normalises: bool = True
    dimensions: tuple[int, ...] = ()

    def fits(self, wanted: int) -> bool:
        """Whether vectors may be cut to so many components."""
        return wanted in self.dimensions if self.dimensions else 1 <= wanted <= self.dimension


# Where the guide gives no number of items, the smallest that it gives for any model.
JINA_MODELS: Mapping[str, JinaFamily] = MappingProxyType(
    {
        "jina-embeddings-v3": JinaFamily(1024, 8192, 2048),
        "jina-embeddings-v4": JinaFamily(2048, 8192, 512, normalises=False),
        "jina-embeddings-v5-text-small": JinaFamily(1024, 32768, 512, dimensions=(32, 64, 128, 256, 512, 1024)),
        "jina-embeddings-v5-text-nano": JinaFamily(768, 8192, 512, dimensions=(32, 64, 128, 256, 512, 768)),
        "jina-clip-v2": JinaFamily(1024, 8192, 512),
    }
)
"""By name. Source: github.com/jina-ai/meta-prompt, the vendor's guide."""

JINA_CLASSIFIERS = ("jina-embeddings-v3", "jina-embeddings-v4")
"""Models that classify texts without examples; the first one where none is chosen. Same source, edition of 2025."""


def jina_classifier_name(model: str | None) -> str:
    """How records name Jina's classifier by this model; its end changes when its scores do."""
    return f"jina/{model or JINA_CLASSIFIERS[0]}/classify-1"


def checked_jina(name: str, dimension: int | None) -> JinaFamily:
    """The facts of a model that can give such vectors.

    Raises:
        ConfigError: it is unknown, or cannot be cut to ``dimension``.
    """
    family = JINA_MODELS.get(name)
    if family is None:
        raise ConfigError(f"Jina model {name!r}: use one of {', '.join(JINA_MODELS)}")
    if dimension is not None and not family.fits(dimension):
        allowed = ", ".join(map(str, family.dimensions)) or f"1 to {family.dimension}"
        raise ConfigError(f"Jina model {name}: dimension {dimension}, use {allowed}")
    return family
