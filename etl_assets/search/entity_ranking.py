"""Which entities a collection is about: how many documents name one, in words of their own.

What stands at the foot of every page of a site is named by every document, in the same words. Each mention counts as
one over the number of documents in which the same words stand before or behind it, and a document gives an entity its
best mention. So a footer counts as one document, however many bear it; nothing is dropped, and no name is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from etl_assets.protocols.graph import Entity

if TYPE_CHECKING:
    import polars as pl

REACH = 30
"""Code points on each side of a mention that are compared; of the 80 that a mention's context has."""

TELLING = 12
"""Fewer than these on a side, at the edge of a page, tell nothing."""


@dataclass(frozen=True, slots=True)
class RankedEntity:
    """``documents`` name it; ``own`` counts them as the module says, at least ``1 / documents`` each."""

    entity: Entity
    documents: int
    own: float


def surroundings(mentions: pl.DataFrame) -> pl.DataFrame:
    """Each mention with hashes of the words before and behind it, null where too few; figures count as alike.

    ``mentions`` are rows of the stage with their ``document_id``. Mentions of a document that stand
    alike are one row with their number.
    """
    import polars as pl

    def plain(column: str) -> pl.Expr:
        folded = pl.col(column).str.to_lowercase().str.replace_all(r"[0-9]+", "0")
        return folded.str.replace_all(r"\s+", " ").str.strip_chars()

    around = plain("context").str.splitn(plain("text"), 2)
    sides = {
        "before": around.struct.field("field_0").str.tail(REACH),
        "behind": around.struct.field("field_1").str.head(REACH),
    }
    telling = [
        pl.when(side.str.len_chars() >= TELLING).then(side.hash(seed=1)).alias(name) for name, side in sides.items()
    ]
    said = mentions.select("document_id", "entity_id", "entity_type", "name", *telling)
    return said.group_by(said.columns, maintain_order=True).agg(pl.len().alias("mentions"))


def ranked(said: pl.DataFrame) -> list[RankedEntity]:
    """The entities of ``surroundings`` of a whole collection, the one most named in own words first.

    Of equals the one that more documents name comes first, then the one with more mentions, then by id.
    """
    import polars as pl

    repeats = [
        pl.when(pl.col(side).is_null()).then(1).otherwise(pl.col("document_id").n_unique().over("entity_id", side))
        for side in ("before", "behind")
    ]
    best = (
        said.with_columns(own=1 / pl.max_horizontal(repeats))
        .group_by("entity_id", "document_id")
        .agg(pl.col("own").max(), pl.col("mentions").sum(), pl.col("name").first(), pl.col("entity_type").first())
        .sort("entity_id", "document_id")
    )
    totals = (
        best.group_by("entity_id", maintain_order=True)
        .agg(pl.col("own").sum().round(6), pl.len().alias("documents"), pl.col("mentions").sum(),
             pl.col("entity_type").first(), pl.col("name").mode(maintain_order=True).first())
        .sort("own", "documents", "mentions", "entity_id", descending=[True, True, True, False])
    )  # fmt: skip
    return [
        RankedEntity(Entity(one["entity_id"], one["entity_type"], one["name"]), one["documents"], one["own"])
        for one in totals.iter_rows(named=True)
    ]


def together(said: pl.DataFrame, entities: Sequence[Entity]) -> dict[tuple[int, int], int]:
    """How many documents name each two of ``entities``, by their places, low before high."""
    import polars as pl

    places = {entity.entity_id: at for at, entity in enumerate(entities)}
    named = said.filter(pl.col("entity_id").is_in(list(places))).group_by("document_id").agg("entity_id")
    return _counted(sorted({places[one] for one in ids}) for ids in named["entity_id"].to_list())


def _counted(named: Iterable[Sequence[int]]) -> dict[tuple[int, int], int]:
    counts: dict[tuple[int, int], int] = {}
    for places in named:
        for pair in combinations(places, 2):
            counts[pair] = counts.get(pair, 0) + 1
    return dict(sorted(counts.items()))
