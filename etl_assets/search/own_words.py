"""How close the neighbours of an entity are to it in the documents that connect them.

What stands at the foot of every page is near everything. The words around a mention tell it (see ``entity_ranking``),
and the passages that name both. The graph does not hold them, so that they are read from the lake, of a bounded
number of documents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_assets.protocols.graph import Neighbour
from etl_assets.search.entity_ranking import ranked, surroundings
from etl_assets.search.model import SearchPlaces
from etl_assets.search.published_tables import Shown, whole_table

if TYPE_CHECKING:
    import polars as pl

OWN_DOCUMENTS = 200
"""So many documents are read for one answer, in turn the newest of each neighbour that was not read yet."""

Pair = tuple[str, int]
Locate = Callable[[set[Pair]], Mapping[Pair, Shown]]


@dataclass(frozen=True, slots=True)
class Closeness:
    """``own``: about how many of its connecting documents name a neighbour in words of their own.

    ``together``: how many passages of the documents that were read name it with one of those it is a neighbour of.
    """

    own: float
    together: int


def closeness(
    places: SearchPlaces, near: Sequence[Neighbour], levels: Sequence[Collection[str]], locate: Locate
) -> dict[str, Closeness]:
    """By entity id. ``levels`` are entity ids by their hops, the entity that was asked for first.

    Of a neighbour of which some documents were read, their share is taken for the others; one of which none was read
    has 0. ``locate`` gives (document_id, publication) as the visible documents that they are.

    Raises:
        TransientError: the lake does not hold their rows any more.
    """
    shown = locate(set(_in_turn(near, OWN_DOCUMENTS)))
    if not shown:
        return {}
    mentions = whole_table(places, list(shown.values()), "mentions", _columns())
    own = {one.entity.entity_id: one.own for one in ranked(surroundings(mentions))}
    together = [_passages_with(mentions, sources) for sources in levels]
    found: dict[str, Closeness] = {}
    for one in near:
        name = one.entity.entity_id
        read = sum(pair in shown for pair in one.documents)
        share = min(own.get(name, 0.0) / read, 1.0) if read else 0.0
        found[name] = Closeness(share * one.weight, together[one.hops - 1].get(name, 0))
    return found


def _passages_with(mentions: pl.DataFrame, sources: Collection[str]) -> dict[str, int]:
    """How many chunks name each entity and one of ``sources``."""
    import polars as pl

    in_chunks = mentions.filter(pl.col("chunk_id").is_not_null())
    held = in_chunks.filter(pl.col("entity_id").is_in(list(sources))).select("document_id", "chunk_id").unique()
    shared = in_chunks.join(held, on=["document_id", "chunk_id"], how="semi")
    counted = shared.group_by("entity_id").agg(pl.struct("document_id", "chunk_id").n_unique())
    return dict(counted.iter_rows())


def _in_turn(near: Sequence[Neighbour], limit: int) -> dict[Pair, None]:
    """The newest document of each neighbour, then the next of each, until there are ``limit``."""
    newest = [sorted(one.documents, key=lambda pair: (-pair[1], pair[0])) for one in near]
    chosen: dict[Pair, None] = {}
    for turn in range(max(map(len, newest), default=0)):
        for mine in newest:
            if len(chosen) == limit:
                return chosen
            if turn < len(mine):
                chosen[mine[turn]] = None
    return chosen


def _columns() -> pl.Schema:
    import polars as pl

    return pl.Schema(
        {name: pl.String() for name in ("entity_id", "entity_type", "name", "text", "context", "chunk_id")}
    )
