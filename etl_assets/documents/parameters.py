"""What a person decides about a collection, as plain values. Reading them from ``collections.yaml`` is elsewhere."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from etl_assets.stages.spec import Parameters

UpdateMode = Literal["auto", "add-only", "update-only", "skip-existing"]
UPDATE_MODES: tuple[UpdateMode, ...] = ("auto", "add-only", "update-only", "skip-existing")
"""Which changes of keys are taken in, see ``update_modes``."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How pages are cut. ``structure`` counts the embedder's tokens, ``fixed`` counts code points."""

    mode: Literal["structure", "fixed"] = "structure"
    max_tokens: int = 200
    overlap_tokens: int = 30
    size: int = 1000
    overlap: int = 200

    def parameters(self) -> Parameters:
        """Only what decides the result in this mode."""
        if self.mode == "fixed":
            return {"mode": self.mode, "size": self.size, "overlap": self.overlap}
        return {"mode": self.mode, "max_tokens": self.max_tokens, "overlap_tokens": self.overlap_tokens}


@dataclass(frozen=True, slots=True)
class ParsingLimits:
    """What one document may cost, and how it is read. Past a limit it is quarantined; the limits change no result.

    ``pdf`` and ``html`` name extractors in the order in which they are tried; ``ocr_languages`` are tesseract's names,
    none for all that are installed.
    """

    time_limit_s: float = 60.0
    memory_limit_mb: int = 2048
    size_limit_mb: int = 512
    ocr: Literal["auto", "off"] = "auto"
    ocr_languages: tuple[str, ...] = ()
    pdf: tuple[str, ...] = ("pdfium", "poppler")
    html: tuple[str, ...] = ("main", "all")

    @property
    def reading(self) -> Parameters:
        """What decides the result, where it is not as usual; nothing where it is."""
        usual = ParsingLimits()
        found = {name: getattr(self, name) for name in READING if getattr(self, name) != getattr(usual, name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    def read_by(self, decided: Mapping[str, Any]) -> "ParsingLimits":
        """The same limits, and reading as it was ``decided`` in such values."""
        usual = {name: getattr(ParsingLimits(), name) for name in READING}
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in decided.items()}
        return replace(self, **{name: given.get(name, value) for name, value in usual.items()})


READING = ("ocr", "ocr_languages", "pdf", "html")
"""What of ``ParsingLimits`` decides the text of a document."""


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """Which model a collection's vectors come from. What a kind does not name is ``None``, or off.

    ``minilm`` and ``static`` are packaged; ``folder`` has the ``path`` of a local model; ``jina`` may have a ``model``,
    a ``dimension`` and ``late_chunking``; ``openai`` has ``model`` and ``dimension``, and may have the others. Where a
    hosted model is, and the key to it, is the installation's affair, not the collection's.
    """

    kind: Literal["minilm", "static", "folder", "jina", "openai"] = "minilm"
    path: str | None = None
    model: str | None = None
    dimension: int | None = None
    late_chunking: bool = False
    context_tokens: int | None = None
    shorten: bool = False
    document_prefix: str | None = None
    query_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Publications:
    """Which indexes a collection is published to."""

    vector: bool = True
    keyword: bool = True
    graph: bool = True

    def parameters(self) -> Parameters:
        """All three switches."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Above ``quarantine_share`` (of a partition's documents, 0 to 1) a check warns."""

    quarantine_share: float = 0.05


@dataclass(frozen=True, slots=True)
class Budget:
    """What hosted models may take in a day or month of UTC: ``money`` in ``currency``, and ``tokens``; ``None``: all.

    ``scope`` is whose spend counts: that of all of the tenant's collections, or of this one alone.
    """

    money: float | None = None
    tokens: int | None = None
    per: Literal["day", "month"] = "month"
    scope: Literal["tenant", "collection"] = "tenant"
    currency: str = "USD"
    price_per_million_tokens: float | None = None
    classifier_price_per_million_tokens: float | None = None

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to keep within."""
        return self.money is not None or self.tokens is not None


@dataclass(frozen=True, slots=True)
class GenerationRules:
    """When an index generation that is being built may answer in place of the live one, and what stays of that one.

    ``missing_share``, of the live documents, may be held back under the new settings; recall of the collection's own
    sentences and nDCG@10 may fall by ``recall_drop`` and ``ndcg_drop``; ``least_overlap`` of the first documents must
    be the same. All are 0 to 1. The previous one is kept up to date for ``keep_previous_days``, 0: not at all.
    """

    promote: Literal["auto", "manual"] = "auto"
    missing_share: float = 0.05
    recall_drop: float = 0.1
    ndcg_drop: float = 0.02
    least_overlap: float = 0.0
    keep_previous_days: int = 7


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept, in days: what was replaced or removed, reports of runs, backups.

    Documents whose present version arrived over ``delete_after_days`` ago are deleted; ``None``: none are.
    """

    history_days: int = 90
    runs_days: int = 30
    backups_days: int = 90
    delete_after_days: int | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """What documents are said to be about. A score (0 to 1) of a set's threshold or more is a yes.

    ``labels`` are a collection's own, each ``set/label: keyword, keyword``; ``own`` is their threshold. ``local`` is
    the packaged classifier; ``jina`` may have a ``model``.
    """

    enabled: bool = True
    classifier: Literal["local", "jina"] = "local"
    model: str | None = None
    threats: float = 0.7
    sectors: float = 0.6
    own: float = 0.6
    techniques: bool = True
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """Everything decided about one collection. ``shards`` is a power of two, at most 1,024."""

    chunking: Chunking = field(default_factory=Chunking)
    parsing: ParsingLimits = field(default_factory=ParsingLimits)
    embedder: EmbedderChoice = field(default_factory=EmbedderChoice)
    classification: Classification = field(default_factory=Classification)
    publications: Publications = field(default_factory=Publications)
    thresholds: Thresholds = field(default_factory=Thresholds)
    generations: GenerationRules = field(default_factory=GenerationRules)
    budget: Budget = field(default_factory=Budget)
    retention: Retention = field(default_factory=Retention)
    update_mode: UpdateMode = "auto"
    shards: int = 1
    owners: tuple[str, ...] = ()
