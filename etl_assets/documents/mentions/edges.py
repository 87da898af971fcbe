"""From a document's mentions to what its graph edges say, and from an entity to those its normal form contains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_assets.documents.mentions.hosts import has_known_suffix
from etl_assets.protocols.graph import Entity

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class EntityMentions:
    """How often one document mentions an entity, how surely at best, and where first (end exclusive).

    ``chunk_id`` is of that first mention, "" when no chunk holds it.
    """

    entity: Entity
    count: int
    confidence: float
    chunk_id: str
    page: int
    start: int
    end: int


def aggregate_edges(rows: "pl.DataFrame") -> list[EntityMentions]:
    """One record for each entity in the mention rows of one document, by entity id. No rows give none.

    An entity shown under two names takes the one of its first mention.
    """
    import polars as pl

    if rows.is_empty():
        return []
    grouped = (
        rows.lazy()
        .sort("page", "start", "end")
        .group_by("entity_id", maintain_order=True)
        .agg(
            pl.first("entity_type", "name"),
            pl.len().alias("count"),
            pl.max("confidence"),
            pl.first("chunk_id").fill_null(""),
            pl.first("page", "start", "end"),
        )
        .sort("entity_id")
        .collect()
    )
    return [
        EntityMentions(Entity(entity_id, kind, name), count, confidence, chunk, page, start, end)
        for entity_id, kind, name, count, confidence, chunk, page, start, end in grouped.iter_rows()
    ]


def related(entity_id: str) -> tuple[str, ...]:
    """Ids of the entities that the normal form of another contains: the host of a URL or of an e-mail address,
    the technique of a sub-technique.

    They are no mentions of their own; a graph or a search can join by them.
    """
    kind, _, normal = entity_id.partition(":")
    if kind == "technique" and "." in normal:
        return (f"technique:{normal.split('.')[0]}",)
    if kind == "email":
        return (f"domain:{normal.rpartition('@')[2]}",)
    if kind == "url":
        return _host_entity(normal)
    return ()


def _host_entity(url: str) -> tuple[str, ...]:
    from ipaddress import IPv4Address

    rest = url.partition("://")[2] or url
    for mark in "/?#":
        rest = rest.partition(mark)[0]
    authority = rest.rpartition("@")[2]
    if authority.startswith("["):
        return (f"ipv6:{authority[1:].partition(']')[0]}",)
    host = authority.partition(":")[0]
    if host.replace(".", "").isdigit():
        try:
            return (f"ipv4:{IPv4Address(host)}",)
        except ValueError:
            return ()
    return (f"domain:{host}",) if has_known_suffix(host) else ()
