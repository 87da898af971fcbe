"""What people do with index generations: see them, begin one, compare, promote, roll back, collect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from etl_assets.documents.collection_fields import FIELDS, leaves
from etl_assets.documents.collections import Collections
from etl_assets.documents.generations.in_use import (
    Served,
    definition,
    follow_settings,
    in_use,
    known_recipe,
    saved_judgement,
)
from etl_assets.documents.generations.promotion import Candidate, Verdict, objections, swap
from etl_assets.documents.model import EMBEDDINGS
from etl_assets.documents.parameters import READING, CollectionSettings
from etl_assets.documents.planning.prices import tariff_of
from etl_assets.documents.platform import Platform
from etl_assets.errors import ConfigError
from etl_assets.ledger import generations as ledger_generations
from etl_assets.ledger.catalogue import Partition, partitions
from etl_assets.ledger.generation_counts import GenerationCounts, count_generation
from etl_assets.ledger.generations import BY_COMMAND, Generation
from etl_assets.ledger.publications import lock_collection
from etl_assets.ledger.spend import FREE, Tariff
from etl_assets.protocols.comparison import Judgement, Quality

DEFINING = ("chunking.", "embedder.", *(f"parsing.{name}" for name in READING))
"""Settings that begin so define a generation."""


@dataclass(frozen=True, slots=True)
class GenerationFacts:
    """One generation in use, what it shows, and why it stands still (``problem``, "" if it does not)."""

    generation: Generation
    counts: GenerationCounts
    producers: frozenset[int]
    problem: str = ""
    tariff: Tariff = FREE

    @property
    def money(self) -> float:
        """What the tokens of its vectors cost by today's price, in the tariff's currency; those it shares too."""
        cost = self.counts.stages.get(EMBEDDINGS.name)
        return 0.0 if cost is None else cost.tokens * self.tariff.money / 1_000_000

    def as_json(self) -> dict[str, Any]:
        """Plain values: seconds and tokens are what its outputs took when they were made, bytes are in the lake."""
        one, stages = self.generation, self.counts.stages
        return {
            "generation": one.generation_id, "state": one.state, "model": one.embedding_model,
            "dimension": one.dimension, "settings": dict(one.settings or {}), "origin": one.origin,
            "documents": self.counts.documents, "quarantined": self.counts.quarantined, "rows": dict(self.counts.rows),
            "size_bytes": sum(cost.size_bytes for cost in stages.values()),
            "seconds": round(sum(cost.seconds for cost in stages.values()), 3),
            "tokens": sum(cost.tokens for cost in stages.values()),
            "money": round(self.money, 6), "currency": self.tariff.currency,
            "reasons": list((one.verdict or {}).get("reasons", ())), "problem": self.problem,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two generations side by side, and what would speak against a promotion now."""

    live: GenerationFacts
    other: GenerationFacts
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"live": self.live.as_json(), "other": self.other.as_json(), **_without_live(self.verdict)}


def _without_live(verdict: Verdict) -> dict[str, Any]:
    return {name: value for name, value in verdict.as_json().items() if name not in ("live", "generation")}


def collection_place(platform: Platform, tenant: str, collection: str) -> Partition:
    """Any partition of a collection: all of them have the same generations.

    Raises:
        ConfigError: there is no such collection.
    """
    found = partitions(platform.ledger, tenant=tenant, collection=collection)
    if not found:
        raise ConfigError(
            f"there is no collection {tenant}/{collection}; `etl-assets status` lists those that exist"
        )  # fmt: skip
    return found[0]


def generation_facts(platform: Platform, tenant: str, collection: str) -> list[GenerationFacts]:
    """Every generation in use, by number."""
    place = collection_place(platform, tenant, collection)
    using = in_use(platform, place, platform.collections.of(tenant, collection))
    producers = {one.generation_id: _producers(platform, one) for one in using.served}
    tariffs = {one.generation_id: tariff_of(one.embedder, one.settings) for one in using.served}
    with platform.ledger.reading() as connection:
        return [
            GenerationFacts(
                one, count_generation(connection, place.cid, number, producers.get(number, frozenset())),
                producers.get(number, frozenset()), using.problems.get(number, ""), tariffs.get(number, FREE),
            )
            for number, one in ledger_generations.generations(connection, place.cid).items()
        ]  # fmt: skip


def with_overrides(
    tenant: str, collection: str, settings: CollectionSettings, overrides: Mapping[str, str]
) -> CollectionSettings:
    """The collection's settings with other values of what defines a generation, read as collections.yaml is.

    Raises:
        ConfigError: a name is none of those, or a value is not allowed.
    """
    known = {name for name in FIELDS if name.startswith(DEFINING)}
    if wrong := sorted(overrides.keys() - known):
        raise ConfigError(f"{', '.join(wrong)}: defines no index generation; these do: {', '.join(sorted(known))}")
    return overridden(tenant, collection, settings, overrides)


def overridden(
    tenant: str, collection: str, settings: CollectionSettings, overrides: Mapping[str, str]
) -> CollectionSettings:
    """The collection's settings with other values, by names such as ``chunking.size``, read as collections.yaml is.

    Raises:
        ConfigError: there is no such setting in a group, or a value is not allowed.
    """
    known = {name for name in FIELDS if "." in name}
    if wrong := sorted(overrides.keys() - known):
        raise ConfigError(f"{', '.join(wrong)}: no setting that can be tried; these can: {', '.join(sorted(known))}")
    text = "defaults:\n" + _yaml_of({name: value for name, value in leaves(settings).items() if name in known})
    text += f"collections:\n  {tenant}/{collection}:\n" + _yaml_of(dict(overrides), indent=4, raw=True)
    read = Collections.parse(text, name="--set").of(tenant, collection)
    return replace(read, shards=settings.shards, owners=settings.owners)


def begin(platform: Platform, tenant: str, collection: str, overrides: Mapping[str, str]) -> int:
    """Begin the generation of these settings, or of collections.yaml when none are given; its number.

    It is built by the runs of the collection's partitions from now on.

    Raises:
        ConfigError: there is no such collection, the settings cannot be used, or the live generation is made by them
            already.
    """
    settings = platform.collections.of(tenant, collection)
    place = collection_place(platform, tenant, collection)
    wanted = definition(platform, tenant, collection, with_overrides(tenant, collection, settings, overrides))
    with platform.ledger.writing() as connection:
        follow_settings(platform, connection, place, settings)
        number = ledger_generations.begin(connection, place.cid, wanted, BY_COMMAND)
        if number == ledger_generations.live_generation(connection, place.cid) and overrides:
            raise ConfigError(
                f"{tenant}/{collection}: index generation {number}, which is live, is made by these settings already"
            )
    return number


def compare(
    platform: Platform, tenant: str, collection: str, judgement: Judgement, *, number: int | None = None,
    state: str = "building",
) -> Comparison:  # fmt: skip
    """Put a generation beside the live one: figures, what they show both ways, and how they answer.

    Raises:
        ConfigError: there is no such generation.
        TransientError, PermanentError: a source of one of them did not answer.
    """
    place = collection_place(platform, tenant, collection)
    rules = platform.collections.of(tenant, collection).generations
    facts = generation_facts(platform, tenant, collection)
    live = next(one for one in facts if one.generation.state == "live")
    with platform.ledger.reading() as connection:
        chosen = _chosen(connection, place.cid, state, number)
        other = next(one for one in facts if one.generation.generation_id == chosen)
        ids = (live.generation.generation_id, chosen)
        unequal = ledger_generations.compare_visible(connection, *ids, other.producers)
    quality = _quality(platform, tenant, collection, live, chosen, judgement) if other.counts.documents else None
    verdict = Verdict(chosen, ids[0], tuple(objections(unequal, quality, rules)), unequal, quality)
    return Comparison(live, other, verdict)


def promote(
    platform: Platform, tenant: str, collection: str, judgement: Judgement, *, number: int | None = None,
    accept_missing: bool = False,
) -> Verdict:  # fmt: skip
    """Compare, and let a generation answer if it passes; the verdict says why not.

    Raises:
        ConfigError: no generation is being built, or not that one.
    """
    compared = compare(platform, tenant, collection, judgement, number=number)
    rules = platform.collections.of(tenant, collection).generations
    candidate = Candidate(compared.other.generation, compared.other.producers)
    return swap(platform.ledger.writing, candidate, rules, compared.verdict.quality, accept_missing=accept_missing)


def roll_back(platform: Platform, tenant: str, collection: str, *, accept_missing: bool = False) -> Verdict:
    """Let the previous generation answer again, which takes one transaction; the one it replaces is the previous one.

    Raises:
        ConfigError: none is kept.
    """
    place = collection_place(platform, tenant, collection)
    settings = platform.collections.of(tenant, collection)
    using = in_use(platform, place, settings)
    with platform.ledger.reading() as connection:
        previous = ledger_generations.one_of(connection, place.cid, "previous")
    served = [one for one in using.served if one.generation_id == previous.generation_id]
    producers = _producers(platform, served[0]) if served else frozenset()
    return swap(
        platform.ledger.writing, Candidate(previous, producers), settings.generations, None,
        accept_missing=accept_missing, keep=True,
    )  # fmt: skip


def retire(platform: Platform, tenant: str, collection: str, *, number: int | None = None) -> tuple[int, int]:
    """Give up the previous generation, or that of this number, unless it is live: (its number, documents it showed).

    The next run of each partition removes its rows from the stores.

    Raises:
        ConfigError: there is none, or it is live.
    """
    place = collection_place(platform, tenant, collection)
    with platform.ledger.writing() as connection:
        lock_collection(connection, place.cid)
        known = ledger_generations.generations(connection, place.cid)
        if number is None or number not in known:
            one = ledger_generations.one_of(connection, place.cid, "previous", number)
        elif known[number].state == "live":
            raise ConfigError(f"index generation {number} answers searches; promote another one first")
        else:
            one = known[number]
        return one.generation_id, ledger_generations.retire(connection, one)


def _chosen(connection: Any, cid: int, state: str, number: int | None) -> int:
    if number is not None and number in (known := ledger_generations.generations(connection, cid)):
        state = known[number].state if known[number].state != "live" else state
    return ledger_generations.one_of(connection, cid, state, number).generation_id


def _quality(
    platform: Platform, tenant: str, collection: str, live: GenerationFacts, other: int, judgement: Judgement
) -> Quality | None:
    if platform.compare is None or live.problem:
        return None
    saved = saved_judgement(platform, tenant, collection)
    asked = replace(judgement, queries={**saved.queries, **judgement.queries})
    return platform.compare(tenant, collection, live.generation.generation_id, other, asked)


def _producers(platform: Platform, served: Served) -> frozenset[int]:
    return frozenset(step.producer_id for step in known_recipe(platform, served).values())


def _yaml_of(values: Mapping[str, object], *, indent: int = 2, raw: bool = False) -> str:
    """Flat settings as nested YAML; ``raw`` values stand as a person wrote them."""
    import json

    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        group, _, leaf = name.partition(".")
        groups.setdefault(group, []).append(f"{leaf}: {value if raw else json.dumps(value)}")
    lines: Sequence[str] = [
        line
        for group, entries in groups.items()
        for line in (" " * indent + f"{group}:", *(" " * (indent + 2) + entry for entry in entries))
    ]
    return "".join(f"{line}\n" for line in lines)
