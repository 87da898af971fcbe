"""An overview of a collection: how many documents when, what they are about, what they name, what comes together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.protocols.graph import Entity
from etl_assets.search.entity_ranking import RankedEntity, ranked, surroundings, together
from etl_assets.search.label_ranking import RankedLabel, evidence_of, ranked_labels
from etl_assets.search.model import SearchPlaces
from etl_assets.search.published_tables import Shown, table_batches, visible_of
from etl_assets.search.report_style import long, page, section, table
from etl_assets.search.safe_text import safe
from etl_assets.search.svg import bars, colour_of, columns, matrix

if TYPE_CHECKING:
    import polars as pl

TOP_ENTITIES = 20
TOGETHER = 16
"""How many entities are put against one another."""

LISTED = 500
_MONTHS = 48
"""Over more months than these, years are counted."""

ACTORS = ("group", "malware", "tool", "campaign", "cve", "vulnerability")
"""Types that an overview of what comes together is about: dates, places and addresses come together with everything."""


INDICATORS = frozenset("domain email ipv4 ipv6 md5 sha1 sha256 sha512 url".split())
"""Types that are told apart: addresses of publishers are in every document of theirs."""


@dataclass(slots=True)
class Overview:
    """Counts of documents. ``periods`` are months (``2024-05``) or years in order, without gaps; ``together`` counts
    documents of each two of ``actors``, by their places, low before high.
    """

    place: str
    documents: Sequence[Shown]
    periods: list[tuple[str, int]] = field(default_factory=list)
    undated: int = 0
    labels: dict[str, list[RankedLabel]] = field(default_factory=dict)
    entities: list[RankedEntity] = field(default_factory=list)
    indicators: list[RankedEntity] = field(default_factory=list)
    actors: list[Entity] = field(default_factory=list)
    together: dict[tuple[int, int], int] = field(default_factory=dict)


def overview(
    places: SearchPlaces, tenant: str, collection: str | None, *, mentions: pl.Schema, labels: pl.Schema
) -> Overview:
    """What the published documents say together. ``mentions`` and ``labels`` are the columns of these stages' rows.

    Raises:
        TransientError: the lake does not hold the rows any more.
    """
    shown = visible_of(places, tenant, collection)
    made = Overview("/".join(part for part in (tenant, collection) if part), shown)
    days = [str(document.record["date"]) for _, document in shown if document.record.get("date")]
    made.periods, made.undated = _periods(days), len(shown) - len(days)
    _count_entities(made, places, mentions)
    _count_labels(made, places, labels)
    return made


def plots(one: Overview) -> dict[str, str]:
    """Drawings as SVG, by what they show: ``time``, a set of labels (``threats``), ``entities``,
    ``indicators``, ``together``."""
    drawn = {"time": columns("documents over time", one.periods)}
    for name, counts in sorted(one.labels.items()):
        drawn[name] = bars(f"documents by {name}, in words of their own", [_labelled(one) for one in counts])
    drawn["entities"] = _named("documents that name, in words of their own", one.entities)
    drawn["indicators"] = _named("documents with an indicator, in words of their own", one.indicators)
    drawn["together"] = matrix("named by the same documents", [entity.name for entity in one.actors], one.together)
    return drawn


def _named(title: str, counted: Sequence[RankedEntity]) -> str:
    """Bars as long as the count in own words; where others repeat a sentence, the label has the count of all."""
    rows = [
        (f"{one.entity.name} ({one.entity.entity_type}{f', of {one.documents:,}' if one.own < one.documents else ''})",
         round(one.own, 1)) for one in counted
    ]  # fmt: skip
    return bars(title, rows, colours=[colour_of(one.entity.entity_type) for one in counted])


def _labelled(one: RankedLabel) -> tuple[str, float]:
    return f"{one.label}{f' (of {one.documents:,})' if one.own < one.documents else ''}", round(one.own, 1)


def collection_page(one: Overview) -> str:
    """The HTML page of an overview; it neither runs nor loads anything."""
    drawn = plots(one)
    about = f"<p class='muted'>{len(one.documents):,} published documents, {one.undated:,} of them without a date</p>"
    rows = [
        (
            long(document.path),
            long(str(document.record.get("title") or "")),
            safe(str(document.record.get("date") or "")),
        )
        for _, document in one.documents[:LISTED]
    ]
    more, labels = len(one.documents) - LISTED, "".join(drawn[name] for name in sorted(one.labels))
    tail = f"<p class='muted'>and {more:,} more</p>" if more > 0 else ""
    parts = [
        f"<h1>{safe(one.place)}</h1>", about, section("Over time", drawn["time"]),
        section("What they are about", labels or "<p class='muted'>no label was accepted</p>"),
        section("What they name", drawn["entities"], drawn["indicators"]),
        section("What comes together", drawn["together"]),
        section("Documents", table(("document", "title", "date"), rows), tail),
    ]  # fmt: skip
    return page(one.place, parts)


def _periods(days: Sequence[str]) -> list[tuple[str, int]]:
    months = Counter(day[:7] for day in days if len(day) >= 7 and day[4] == "-" and day[:4].isdecimal())
    if not months:
        return []
    first, last = (_month(edge) for edge in (min(months), max(months)))
    if last - first < _MONTHS:
        named = [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(first, last + 1)]
        return [(name, months.get(name, 0)) for name in named]
    years = Counter(name[:4] for name in months.elements())
    return [(f"{year:04d}", years.get(f"{year:04d}", 0)) for year in range(first // 12, last // 12 + 1)]


def _month(name: str) -> int:
    return int(name[:4]) * 12 + int(name[5:7]) - 1


def _count_entities(made: Overview, places: SearchPlaces, schema: pl.Schema) -> None:
    import polars as pl

    said = pl.concat([surroundings(batch) for batch in table_batches(places, made.documents, "mentions", schema)])
    counted = ranked(said.filter(pl.col("entity_type") != "date"))
    made.entities = [one for one in counted if one.entity.entity_type not in INDICATORS][:TOP_ENTITIES]
    made.indicators = [one for one in counted if one.entity.entity_type in INDICATORS][:TOP_ENTITIES]
    made.actors = [one.entity for one in counted if one.entity.entity_type in ACTORS][:TOGETHER]
    made.together = together(said, made.actors)


def _count_labels(made: Overview, places: SearchPlaces, schema: pl.Schema) -> None:
    import polars as pl

    found = [
        evidence_of(batch.filter(pl.col("accepted")))
        for batch in table_batches(places, made.documents, "classifications", schema)
    ]
    for kind, labels in ranked_labels(pl.concat(found)).items() if found else ():
        made.labels[kind] = labels[:TOP_ENTITIES]
