"""What documents are said to be about: published, searched and counted by, and corrected by people."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from etl_assets.bindings import search_places
from etl_assets.documents.collections import Collections
from etl_assets.documents.publication.index_rows import label_names
from etl_assets.errors import ConfigError
from etl_assets.ledger import schema
from etl_assets.ledger.corrections import Place, correct, take_back
from etl_assets.search.model import Answer
from etl_assets.search.query import search
from etl_assets_tests.small_homes import STATIC, SmallHome

OWN = STATIC + "  classification: {labels: ['topic/roses: roses, garden*']}\n"
TEXTS = {
    "bank.txt": (
        "Ransomware hits a bank\n\nA ransomware gang encrypted the servers of a bank and demanded a ransom. The "
        "ransomware attack hit banks and other financial institutions, and the ransom note named the payment."
    ),
    "roses.txt": "Roses in the garden\n\nRoses want sun and water. A garden of roses blooms in May.",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    return SmallHome.ran(tmp_path_factory.mktemp("labels") / "home", TEXTS, collections=OWN)


def asked(home: SmallHome, query: str = "roses or a bank", **filters: Any) -> Answer:
    places = replace(
        search_places(home.platform), time_limit_s=20.0
    )  # a busy machine needs longer than this home gives
    return search(places, query, **filters)


def found(home: SmallHome, **filters: Any) -> set[str]:
    return {hit.path for hit in asked(home, **filters).hits}


def labels(home: SmallHome, path: str) -> list[str]:
    p = schema.publications
    with home.platform.ledger.reading() as connection:
        record = connection.scalar(select(p.c.record).where(p.c.path == path, p.c.end_seq.is_(None)))
    assert record is not None
    return label_names(record)


def test_labels_are_published_and_searches_keep_to_them_and_count_them(made: SmallHome) -> None:
    assert labels(made, "bank.txt") == ["sector:financial", "threat:ransomware"]
    assert labels(made, "roses.txt") == ["topic:roses"]
    assert found(made) == set(TEXTS)
    assert found(made, labels=["threat:ransomware"]) == found(made, labels=["sector:financial"]) == {"bank.txt"}
    assert found(made, labels=["Topic:Roses"]) == {"roses.txt"}
    assert found(made, labels=["threat:ransomware", "topic:roses"]) == set()
    counted = asked(made).as_json()["facets"]
    assert isinstance(counted, dict)
    assert counted["labels"] == {
        "sector": [{"value": "financial", "label": "financial", "count": 1}],
        "threat": [{"value": "ransomware", "label": "ransomware", "count": 1}],
        "topic": [{"value": "roses", "label": "roses", "count": 1}],
    }
    with pytest.raises(ConfigError, match="SET:LABEL"):
        asked(made, labels=["ransomware"])


def test_a_corrected_label_is_searched_by_survives_a_new_version_and_is_taken_back(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home", TEXTS, collections=OWN)
    place = Place("acme", "reports", home.document_id("roses.txt"), "roses.txt")
    with home.platform.ledger.writing() as connection:
        added = correct(connection, place, "label", "threat:insider-threat", {"accepted": True}, by="ann")
        correct(connection, place, "label", "topic:roses", {"accepted": False}, by="ann")
    report = home.run()
    assert report["classifications"]["computed"] == 1 and report["published_documents"]["published"] == 1
    assert labels(home, "roses.txt") == ["threat:insider-threat"]
    assert found(home, labels=["threat:insider-threat"]) == {"roses.txt"}
    home.write("roses.txt", TEXTS["roses.txt"] + " They smell.")
    home.run()
    assert labels(home, "roses.txt") == ["threat:insider-threat"]
    with home.platform.ledger.writing() as connection:
        take_back(connection, added.correction_id, by="ann")
    home.run()
    assert labels(home, "roses.txt") == []


def test_other_thresholds_ask_again_and_a_collection_may_want_no_labels(tmp_path: Path) -> None:
    home = SmallHome.ran(tmp_path / "home", {"roses.txt": TEXTS["roses.txt"]})
    for yaml, wanted in (
        (STATIC + "  classification: {sectors: 0.1}\n", ["sector:water-utilities"]),
        (STATIC + "  classification: {enabled: false}\n", []),
    ):
        object.__setattr__(home.platform, "collections", Collections.parse(yaml))
        report = home.run()
        assert labels(home, "roses.txt") == wanted
        assert not report["pages"]["computed"] and not report["mentions"]["computed"]


@pytest.mark.parametrize("line", ["roses", "topic/roses", "threat/x: word", "topic/roses: ", "Topic/x: word"])
def test_a_label_of_one_s_own_needs_a_set_a_name_and_words(line: str) -> None:
    with pytest.raises(ConfigError, match=r"classification\.labels"):
        Collections.parse(f"defaults:\n  classification: {{labels: ['{line}']}}\n")
