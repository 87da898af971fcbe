"""Impact on a real home: what rests on something, counted in the ledger, against what is really there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from etl_assets.documents.lineage.impact import DOWNSTREAM, impact
from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets_tests.small_homes import STATIC, TEXTS, SmallHome

OTHER = "collections:\n  acme/reports:\n    chunking: {max_tokens: 40, overlap_tokens: 5}\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SmallHome]:
    home = SmallHome.ran(tmp_path / "home", TEXTS | {"more.txt": "EMOTET met APT28."})
    yield home
    home.platform.close()


def figures(home: SmallHome, name: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = impact(home.platform, name, **options).as_json()  # type: ignore[assignment]
    return found


def stored_rows(home: SmallHome) -> dict[str, int]:
    """Rows kept of each stage, counted one by one."""
    x, producer = schema.outputs, schema.producers
    query = select(producer.c.stage, x.c.row_count).join(producer, producer.c.producer_id == x.c.producer_id)
    counts: dict[str, int] = {}
    with home.platform.ledger.reading() as connection:
        for stage, rows in connection.execute(query.where(x.c.end_seq.is_(None))):
            counts[stage] = counts.get(stage, 0) + rows
    return {stage: count for stage, count in counts.items() if count}


def test_a_document_leads_to_its_rows_entries_and_entities(home: SmallHome) -> None:
    found = figures(home, "acme/reports/bear.txt")
    assert found["documents"] == found["publications"] == 1
    assert found["index_entries"] == {"vector": 1, "keyword": 1, "graph": 3}
    assert [one["partition"] for one in found["partitions"]] == [home.key]
    assert found["entities"]["only_here"] == ["date:2020-05"] and len(found["entities"]["shared"]) == 2
    home.remove("more.txt")
    home.run()
    assert len(figures(home, "acme/reports/bear.txt")["entities"]["only_here"]) == 3


def test_a_stage_leads_to_all_that_is_made_after_it(home: SmallHome) -> None:
    rows = stored_rows(home)
    found = figures(home, "chunks")
    assert found["documents"] == found["publications"] == 4
    later = ("chunks", "embeddings", "mentions", "relations")
    assert found["rows"] == {stage: rows[stage] for stage in later if stage in rows}
    assert found["assets"][0] == "chunks" and "pages" not in found["assets"]
    assert figures(home, "raw_documents")["rows"] == rows
    assert figures(home, "embeddings")["rows"] == {"embeddings": rows["embeddings"]}


@pytest.mark.parametrize("name", ["vector", "lancedb", "vector_index", "graph", "sqlite", "knowledge_graph", "lake"])
def test_backends_and_assets_are_named_by_role_or_name(name: str, home: SmallHome) -> None:
    assert figures(home, name)["documents"] == 4


def test_two_generations_are_told_apart_by_what_their_rows_were_made_of(home: SmallHome) -> None:
    (first,) = {one["producers"][0] for one in [figures(home, "chunks")]}
    other = home.settings.home.collections_file
    other.write_text(STATIC + OTHER + "    generations: {promote: manual}\n")
    from etl_assets.documents.collections import Collections

    home.platform = replace(home.platform, collections=Collections.read(other))
    home.run()
    both = figures(home, "chunks")
    assert len(both["producers"]) == 2
    one, two = (figures(home, producer) for producer in both["producers"])
    assert first in both["producers"] and one["publications"] == two["publications"] == 4
    for figure in ("rows", "outputs"):
        for stage in ("chunks", "embeddings", "mentions"):
            assert one[figure][stage] + two[figure][stage] >= both[figure][stage]
    assert one["rows"]["chunks"] + two["rows"]["chunks"] == both["rows"]["chunks"]


def test_names_that_mean_nothing_are_refused(home: SmallHome) -> None:
    with pytest.raises(ConfigError, match="stages are pages"):
        impact(home.platform, "nothing")


def test_the_assets_are_those_of_dagster() -> None:
    from etl_assets.definitions import defs

    graph = defs.resolve_asset_graph()
    real = {
        key.to_user_string(): {child.to_user_string() for child in graph.get(key).child_keys}
        for key in graph.get_all_asset_keys()
    }
    told = {asset: set(later) for asset, later in DOWNSTREAM.items()}
    assert {asset: real[asset] & set(told) for asset in told} == told
