"""Which neighbours of an entity are named in words of their own, however few documents are read for it."""

from dataclasses import replace
from typing import Any, cast

import polars as pl
import pytest

from etl_assets.protocols.graph import Entity, Neighbour
from etl_assets.search import own_words
from etl_assets.search.model import SearchPlaces
from etl_assets_tests.search.test_entity_ranking import FOOT, rows

SAID = [
    "Bears of the north used Emotet against banks in spring.", "Phishing mails led to Emotet, and then to worse.",
    "Nothing here is about malware at all, only about patches.", "Ports were open and passwords weak, for years.",
]  # fmt: skip
FRAME = rows(*((str(number), f"{text}\n{FOOT.format(number)}") for number, text in enumerate(SAID))).with_columns(
    chunk_id=pl.col("name")  # the foot of a page is a chunk of its own
)
NOWHERE = cast(SearchPlaces, None)


def near(name: str, *documents: int) -> Neighbour:
    pairs = tuple((str(number), number + 1) for number in documents)
    return Neighbour(Entity(f"x:{name}", "x", name), 1, len(pairs), pairs)


def weights(neighbours: list[Neighbour], locate: Any = None) -> dict[str, float]:
    found = own_words.closeness(NOWHERE, neighbours, [{"x:asked"}], locate or located)
    return {name: one.own for name, one in found.items()}


def located(pairs: set[tuple[str, int]]) -> dict[tuple[str, int], Any]:
    return {pair: pair for pair in pairs}


@pytest.fixture(autouse=True)
def lake(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What was asked of the lake, which holds FRAME."""
    asked: list[set[str]] = []

    def table(places: SearchPlaces, shown: Any, stage: str, columns: pl.Schema) -> pl.DataFrame:
        asked.append({document for document, _ in shown})
        assert set(columns) | {"document_id"} == set(FRAME.columns)
        return FRAME.filter(pl.col("document_id").is_in(asked[-1]))

    monkeypatch.setattr(own_words, "whole_table", table)
    return asked


def test_a_neighbour_at_the_foot_of_every_page_counts_as_one_document(lake: list[set[str]]) -> None:
    found = weights([near("cisa", 0, 1, 2, 3), near("emotet", 0, 1)])
    assert found == {"x:cisa": 1.0, "x:emotet": 2.0} and lake == [{"0", "1", "2", "3"}]


def test_of_many_documents_the_newest_of_each_neighbour_are_read_in_turn_and_stand_for_the_others(
    lake: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_words, "OWN_DOCUMENTS", 3)
    found = weights([near("cisa", 0, 1, 2, 3), near("emotet", 0, 1)])
    assert lake == [{"3", "1", "2"}]
    assert found == {"x:cisa": pytest.approx(4 / 3), "x:emotet": 2.0}


def test_what_is_not_visible_any_more_is_not_read(lake: list[set[str]]) -> None:
    assert weights([near("cisa", 0)], lambda pairs: {}) == {} and lake == []
    only = weights([near("cisa", 0), near("emotet", 1)], lambda pairs: {("1", 2): ("1", 2)})
    assert only == {"x:cisa": 0.0, "x:emotet": 1.0}


def test_passages_that_name_a_neighbour_with_the_entity_are_counted_by_hop(lake: list[set[str]]) -> None:
    asked = FRAME.filter(pl.col("name") == "Emotet").with_columns(entity_id=pl.lit("x:asked"))
    far = replace(near("cisa", 0), hops=2)
    frame = pl.concat([FRAME, asked, asked.with_columns(chunk_id=pl.lit(None, pl.String))])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(own_words, "whole_table", lambda *_: frame)
        levels = [{"x:asked"}, {"x:emotet"}]
        found = own_words.closeness(NOWHERE, [near("emotet", 0, 1), far], levels, located)
    assert {name: one.together for name, one in found.items()} == {"x:emotet": 2, "x:cisa": 0}
