"""The index generations of a collection as its runs serve them: by which settings, model and recipe each is made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from etl_assets.documents.catalogues import catalogue_of
from etl_assets.documents.knowledge import Outside, outside_of
from etl_assets.documents.labels import classification_parameters
from etl_assets.documents.model import CHUNKS, CLASSIFICATIONS, EMBEDDINGS, KNOWLEDGE, MENTIONS, PAGES, RELATIONS
from etl_assets.documents.parameters import Chunking, CollectionSettings, EmbedderChoice
from etl_assets.documents.parsing.programs import reading_parameters
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError
from etl_assets.ledger import generations as ledger_generations
from etl_assets.ledger.catalogue import Partition
from etl_assets.ledger.database import digest_of
from etl_assets.ledger.generations import BY_SETTINGS, Definition, Generation
from etl_assets.ledger.outputs import Recipe, Step
from etl_assets.ledger.saved_queries import saved_queries
from etl_assets.protocols.classifier import HostedClassifier
from etl_assets.protocols.comparison import Judgement
from etl_assets.protocols.embedder import for_tenant
from etl_assets.stages.spec import Parameters, Stage

if TYPE_CHECKING:
    from etl_assets.protocols.embedder import Embedder, EmbeddingModel

NOT_BEGUN = -1
"""Number of a generation that the next run will begin."""


@dataclass(frozen=True, slots=True)
class Served:
    """One generation that a run keeps up to date. ``settings`` are the collection's, with what defines this one.

    ``outside`` is what its stages are told beside the documents; ``classifier`` scores labels in place of the packaged
    one.
    """

    generation_id: int
    state: str
    settings: CollectionSettings
    embedder: "Embedder"
    outside: Outside
    classifier: HostedClassifier | None = None

    def parameters(self) -> Mapping[str, tuple[Stage, Parameters]]:
        """What each stage's result depends on beside its input, in order."""
        reading = reading_parameters(self.settings.parsing.reading)
        wanted: dict[str, tuple[Stage, Parameters]] = {PAGES.name: (PAGES, reading)}
        wanted[CHUNKS.name] = (CHUNKS, _chunking_parameters(self.settings, self.embedder))
        if self.settings.publications.vector:
            model = self.embedder.model
            vectors: Parameters = {"model": model.name, "digest": model.digest, "dimension": model.dimension}
            wanted[EMBEDDINGS.name] = (EMBEDDINGS, vectors)
        wanted[KNOWLEDGE.name] = (KNOWLEDGE, self.outside.parameters)
        if self.settings.classification.enabled:
            asked = classification_parameters(self.settings.classification, self.outside)
            wanted[CLASSIFICATIONS.name] = (CLASSIFICATIONS, asked)
        wanted[MENTIONS.name] = (MENTIONS, {})
        wanted[RELATIONS.name] = (RELATIONS, {})
        return wanted


@dataclass(frozen=True, slots=True)
class InUse:
    """The generations of a collection: those that a run serves, the live one first, and why others stand still."""

    served: Sequence[Served]
    problems: Mapping[int, str]

    @property
    def main(self) -> Served:
        """The one that answers, or will."""
        return self.served[0]


def definition(platform: Platform, tenant: str, collection: str, settings: CollectionSettings) -> Definition:
    """What a generation of a collection is made by under these settings. It opens the embedder, not its weights.

    Raises:
        ConfigError: the embedder cannot be opened, or reads less than chunking makes.
    """
    embedder = _opened(platform, tenant, settings)
    _refuse_too_long(f"{tenant}/{collection}", settings, embedder.model)
    model = embedder.model
    identity = {"name": model.name, "digest": model.digest, "dimension": model.dimension}
    defining = {
        "chunking": asdict(settings.chunking), "embedder": asdict(settings.embedder), "embedding": identity,
    }  # fmt: skip
    recipe = [_chunking_parameters(settings, embedder), identity]
    if reading := settings.parsing.reading:
        defining["parsing"], recipe = dict(reading), [*recipe, reading]
    return Definition(defining, digest_of(recipe), settings.publications.vector)


def applied(settings: CollectionSettings, defining: Mapping[str, Any]) -> CollectionSettings:
    """The collection's settings with what defines a generation in place of their own."""
    return replace(
        settings,
        chunking=Chunking(**_known(Chunking, defining.get("chunking", {}))),
        embedder=EmbedderChoice(**_known(EmbedderChoice, defining.get("embedder", {}))),
        parsing=settings.parsing.read_by(defining.get("parsing", {})),
    )


def in_use(platform: Platform, place: Partition, settings: CollectionSettings, outside: Outside | None = None) -> InUse:
    """What a run of a partition would serve now, told what is known ``outside`` now, or was before. It writes nothing.

    A generation whose model cannot be opened any more, or is another by now, stands still: it goes on answering, and
    only removals reach it.

    Raises:
        ConfigError: the embedder that the settings name cannot be used.
    """
    wanted = definition(platform, place.tenant, place.collection, settings)
    told = outside or known_outside(platform, place.tenant, place.collection)
    with platform.ledger.reading() as connection:
        known = list(ledger_generations.generations(connection, place.cid).values())
        followed = ledger_generations.wanted_recipe(connection, place.cid) == wanted.recipe
    served: list[Served] = []
    problems: dict[int, str] = {}
    for one in known:
        if not followed and _is_given_up(one, wanted):
            continue
        try:
            served.append(_served(platform, place, settings, one, wanted, told))
        except ConfigError as e:
            problems[one.generation_id] = f"index generation {one.generation_id} ({one.state}) stands still: {e}"
    begins = not any((one.recipe or wanted.recipe) == wanted.recipe for one in known)
    if not known or (begins and not followed):
        embedder = _opened(platform, place.tenant, settings)
        labels = _classifier(platform, place.tenant, settings)
        served.append(Served(NOT_BEGUN, "building" if known else "live", settings, embedder, told, labels))
    served.sort(key=lambda one: (one.state != "live", one.state != "previous", one.generation_id))
    if not served:
        raise ConfigError("; ".join(problems.values()))
    return InUse(served, problems)


def follow_settings(platform: Platform, connection: Any, place: Partition, settings: CollectionSettings) -> None:
    """Begin, or give up, what the settings of a collection ask for. The connection is of a writing transaction."""
    wanted = definition(platform, place.tenant, place.collection, settings)
    for one in ledger_generations.generations(connection, place.cid).values():
        if one.recipe is None and one.settings is not None:
            _note_recipe(platform, connection, place, settings, one)
    ledger_generations.follow(connection, place.cid, wanted)


def is_followed(platform: Platform, place: Partition, settings: CollectionSettings) -> bool:
    """Whether ``follow_settings`` has nothing to do."""
    wanted = definition(platform, place.tenant, place.collection, settings)
    with platform.ledger.reading() as connection:
        return ledger_generations.is_followed(connection, place.cid, wanted)


def known_recipe(platform: Platform, served: Served) -> Recipe:
    """The producers of a generation, with -1 for those that never ran. It writes nothing."""
    return {name: _step(platform, name, stage, values) for name, (stage, values) in served.parameters().items()}


def known_outside(platform: Platform, tenant: str, collection: str) -> Outside:
    """What the stages of a collection would be told now beside its documents."""
    catalogue = catalogue_of(platform.ledger, platform.catalogue(), tenant, collection)
    return outside_of(platform.ledger, catalogue, tenant, collection)


def _step(platform: Platform, name: str, stage: Stage, values: Parameters) -> Step:
    producer = stage.producer(values)
    return Step(name, platform.ledger.known_producer_id(producer), stage.inputs, producer)


def saved_judgement(platform: Platform, tenant: str, collection: str) -> Judgement:
    """The searches that people saved, without grades."""
    with platform.ledger.reading() as connection:
        return Judgement(
            {f"saved {name}": text for name, text in saved_queries(connection, tenant, collection).items()}
        )


def distinct(recipes: Iterable[Recipe], stage: str) -> list[int]:
    """Places of those recipes that make a stage's rows in different ways: others make the very same rows as these."""
    found: dict[frozenset[tuple[str, str]], int] = {}
    for place, recipe in enumerate(recipes):
        if stage in recipe:
            found.setdefault(_producers(recipe, stage), place)
    return list(found.values())


def _producers(recipe: Recipe, stage: str) -> frozenset[tuple[str, str]]:
    step = recipe[stage]
    # A producer that never ran has no number, so two of those are told apart by their own names.
    own = frozenset({(stage, step.producer or str(step.producer_id))})
    return own.union(*(_producers(recipe, name) for name in step.inputs))


def _served(
    platform: Platform,
    place: Partition,
    settings: CollectionSettings,
    one: Generation,
    wanted: Definition,
    outside: Outside,
) -> Served:
    if one.recipe == wanted.recipe or (one.recipe is None and one.embedding_digest == wanted.embedding.digest):
        own = settings
    elif one.settings is None:
        raise ConfigError(f"nothing tells by which settings it was made, but that {one.embedding_model} is its model")
    else:
        own = applied(settings, one.settings)
    embedder = _opened(platform, place.tenant, own)
    digest = one.embedding_digest if one.made_by is None else one.made_by.digest
    if own is not settings and embedder.model.digest != digest:
        raise ConfigError(f"it was made by {one.embedding_model}, and its settings name another model by now")
    labels = _classifier(platform, place.tenant, own)
    return Served(one.generation_id, one.state, own, embedder, outside, labels)


def _note_recipe(
    platform: Platform, connection: Any, place: Partition, settings: CollectionSettings, one: Generation
) -> None:
    try:
        own = applied(settings, one.settings or {})
        made_by = definition(platform, place.tenant, place.collection, own)
    except ConfigError:
        return  # it stands still, which every run tells
    if one.embedding_digest in ("", made_by.embedding.digest):
        ledger_generations.note_recipe(connection, one.generation_id, made_by)


def _is_given_up(one: Generation, wanted: Definition) -> bool:
    return one.state == "building" and one.origin == BY_SETTINGS and one.recipe not in (None, wanted.recipe)


def _opened(platform: Platform, tenant: str, settings: CollectionSettings) -> "Embedder":
    return for_tenant(platform.embedder(settings.embedder), tenant)


def _classifier(platform: Platform, tenant: str, settings: CollectionSettings) -> HostedClassifier | None:
    opened = platform.classifier(settings.classification) if settings.classification.enabled else None
    return opened.for_scope(tenant) if opened is not None else None


def _chunking_parameters(settings: CollectionSettings, embedder: "Embedder") -> Parameters:
    parameters = dict(settings.chunking.parameters())
    if settings.chunking.mode == "structure":
        parameters["tokenizer"] = embedder.model.digest
    return parameters


def _refuse_too_long(name: str, settings: CollectionSettings, model: "EmbeddingModel") -> None:
    """The model must read whole what chunking makes."""
    chunking = settings.chunking
    if chunking.mode == "structure" and chunking.max_tokens > model.max_tokens:
        raise ConfigError(
            f"{name}: chunking.max_tokens is {chunking.max_tokens}, but {model.name} reads {model.max_tokens} tokens "
            "and would cut the rest; lower it in collections.yaml"
        )


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
