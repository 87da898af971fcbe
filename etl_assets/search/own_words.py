"""How many of the documents that connect an entity with its neighbours name each neighbour in words of their own.

What stands at the foot of every page is near everything. The words around a mention tell it: see ``entity_ranking``.
The graph does not hold them, so that they are read from the lake, of a bounded number of documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def own_weights(places: SearchPlaces, near: Sequence[Neighbour], locate: Locate) -> dict[str, float]:
    """By entity id, about how many of its connecting documents name a neighbour in words of their own.

    Of a neighbour of which some documents were read, their share is taken for the others; one of which none was read
    has 0. ``locate`` gives (document_id, publication) as the visible documents that they are.

    Raises:
        TransientError: the lake does not hold their rows any more.
    """
    shown = locate(set(_in_turn(near, OWN_DOCUMENTS)))
    if not shown:
        return {}
    said = surroundings(whole_table(places, list(shown.values()), "mentions", _columns()))
    own = {one.entity.entity_id: one.own for one in ranked(said)}
    weights: dict[str, float] = {}
    for one in near:
        read = sum(pair in shown for pair in one.documents)
        share = min(own.get(one.entity.entity_id, 0.0) / read, 1.0) if read else 0.0
        weights[one.entity.entity_id] = share * one.weight
    return weights


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

    return pl.Schema({name: pl.String() for name in ("entity_id", "entity_type", "name", "text", "context")})
