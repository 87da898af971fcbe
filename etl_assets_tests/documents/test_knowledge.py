"""What a document is told from outside: that of the catalogue and of people's corrections which concerns it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from etl_assets.documents.knowledge import Outside, entries_in, known
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.model import pages_columns
from etl_assets.documents.partition_run import PartitionRun
from etl_assets.ledger import schema
from etl_assets.ledger.corrections import Correction, Place, correct, take_back
from etl_assets.stages.spec import Task
from etl_assets_tests.small_homes import SmallHome

PACKAGED = Catalogue.load()
GROUP = {"type": "intrusion-set", "id": "g1", "name": "Garden Gnome", "aliases": ["Rose Thief"]}


def catalogue(*more: Mapping[str, Any]) -> Catalogue:
    """Two groups and what is given."""
    ours = [
        {"type": "intrusion-set", "id": "g0", "name": "Bear Guild"},
        {"type": "malware", "id": "m0", "name": "EMOTET"},
    ]
    return Catalogue.from_objects([*ours, *more])


def told(text: str, outside: Outside, document: str = "d") -> list[tuple[str, str]]:
    """Kind and key of what a document with this text is told."""
    pages = pl.DataFrame(
        {"document_id": [document], "page": [1], "text": [text]}, schema_overrides={"page": pages_columns()["page"]}
    )
    task = Task(document, "acme", "reports", "a.txt", "v", 1)
    return [(row[1], row[2]) for row in known([task], pages, outside=outside).rows.rows()]


def made(number: int, place: Place, kind: Any, subject: str, value: Mapping[str, Any]) -> Correction:
    return Correction(
        number, place.tenant, place.collection, place.document_id, "", "", kind, subject, value, "ann", 1.0, "", None
    )  # fmt: skip


def test_a_document_is_told_of_the_entries_that_it_names_and_of_no_other() -> None:
    text = "APT28 used T1059.001 and Emotet. Nothing else."
    ids = {entry.entity_id for entry in entries_in([text], PACKAGED)}
    assert {"group:G0007", "technique:T1059.001", "malware:S0367"} <= ids and len(ids) < 8
    assert told("Roses want sun.", Outside(PACKAGED)) == []


def test_corrections_reach_their_document_and_those_of_a_tenant_the_texts_that_may_mean_them() -> None:
    entity = {"entity_id": "malware:x", "entity_type": "malware", "name": "X"}
    outside = Outside(
        catalogue(),
        (
            made(1, Place("acme", "reports", "d"), "label", "threat:ransomware", {"accepted": True}),
            made(2, Place("acme"), "merge", "domain:evil-site.com", {"entity": entity}),
            made(3, Place("acme"), "link", "Blue Fox", {"entity": None}),
            made(4, Place("acme"), "merge", "malware:m0", {"entity": entity}),
        ),
    )
    assert told("nothing", outside) == [("label", "threat:ransomware")]
    assert told("nothing", outside, "other") == []
    assert told("see evil-site[.]com", outside, "other") == [("merge", "domain:evil-site.com")]
    assert told("a blue\u00a0fox ran", outside, "other") == [("link", "Blue Fox")]
    assert told("EMOTET", outside, "other") == [("entry", "malware:m0"), ("merge", "malware:m0")]


def test_who_made_a_correction_and_when_is_no_parameter() -> None:
    one = made(1, Place("acme", "reports", "d"), "label", "threat:ransomware", {"accepted": True})
    assert (
        Outside(PACKAGED, (one,)).parameters
        == Outside(PACKAGED, (replace(one, made_by="bob", made_at=9.0),)).parameters
    )
    assert Outside(PACKAGED, (one,)).parameters != Outside(PACKAGED).parameters


@pytest.fixture
def home(tmp_path: Path) -> SmallHome:
    home = SmallHome.at(tmp_path / "home")
    home.write("gnome.txt", "In spring the Garden Gnome took roses.")
    home.platform = replace(home.platform, catalogue=lambda: catalogue())
    home.run()
    return home


def paths(report: Mapping[str, Any], home: SmallHome, stage: str, since: int) -> set[str]:
    """Whose rows of a stage were made after so many outputs."""
    x, o, p = schema.outputs, schema.objects, schema.producers
    query = (
        select(o.c.path).join(x, x.c.document_id == o.c.document_id).join(p, p.c.producer_id == x.c.producer_id)
        .where(p.c.stage == stage, x.c.output_id > since)
    )  # fmt: skip
    with home.platform.ledger.reading() as connection:
        found = set(connection.scalars(query))
    assert report[stage]["computed"] + report[stage]["reused"] == len(found)
    return found


def newest(home: SmallHome) -> int:
    with home.platform.ledger.reading() as connection:
        return max(connection.scalars(select(schema.outputs.c.output_id)))


def entities(home: SmallHome, path: str) -> set[str]:
    with PartitionRun(home.platform, home.key, run_id="look"):
        graph = home.platform.stores.graph
        document = home.document_id(path)
        return {edge.edge_id for edge in graph.edges("acme", "reports") if edge.document_id == document}


def test_another_group_links_the_documents_that_name_it_and_no_other(home: SmallHome) -> None:
    before = newest(home)
    home.platform = replace(home.platform, catalogue=lambda: catalogue(GROUP))
    report = home.run()
    assert report["knowledge"]["computed"] == 4, "each document is asked whether it names the group"
    assert paths(report, home, "mentions", before) == {"gnome.txt"}
    assert report["published_documents"]["published"] == 1 and report["published_documents"]["repointed"] == 3
    assert "group:g1" in entities(home, "gnome.txt")
    assert not any(report[stage]["computed"] for stage in ("pages", "chunks", "embeddings"))


def test_a_group_that_nobody_names_changes_nothing_that_is_published(home: SmallHome) -> None:
    home.platform = replace(home.platform, catalogue=lambda: catalogue({**GROUP, "name": "Xylo Phone", "aliases": []}))
    report = home.run()
    assert report["mentions"]["computed"] == report["published_documents"]["published"] == 0


def test_a_correction_concerns_its_document_only_and_one_made_during_a_run_is_for_the_next(home: SmallHome) -> None:
    before = newest(home)
    document = Place("acme", "reports", home.document_id("bear.txt"))
    with PartitionRun(home.platform, home.key, run_id="meanwhile") as run:
        run.raw_documents()
        assert run.works
        with home.platform.ledger.writing() as connection:
            correct(connection, document, "label", "threat:ransomware", {"accepted": True}, by="ann")
        for step in run.stages:
            assert step().computed == 0
        run.published_documents()
    with PartitionRun(home.platform, home.key, run_id="look") as run:
        assert run.pending(), "what was corrected meanwhile is not taken for done"
    report = home.run()
    assert report["knowledge"]["computed"] == 4
    assert paths(report, home, "mentions", before) == {"bear.txt"}


FOX = {"entity_id": "group:blue fox", "entity_type": "group", "name": "Blue Fox"}


def test_what_a_person_links_is_a_mention_wherever_the_document_says_it_and_in_no_other(home: SmallHome) -> None:
    home.write("twice.txt", "Operators of Fuchs stole roses.\n\nFuchsia is a flower. Fuchs came again.")
    home.write("other.txt", "Operators of Fuchs are here too.")
    home.run()
    place = Place("acme", "reports", home.document_id("twice.txt"), "twice.txt")
    with home.platform.ledger.writing() as connection:
        made = correct(connection, place, "link", "Fuchs", {"entity": FOX}, by="ann")
        correct(connection, Place("acme"), "merge", "group:g0", {"entity": FOX}, by="ann")
    home.run()
    linked = {edge.document_id for edge in home.platform.stores.graph.edges("acme", "reports")
              if edge.edge_id == FOX["entity_id"]}  # fmt: skip
    assert linked == {home.document_id("twice.txt")}
    home.write("twice.txt", "A new version: Fuchs.")
    home.run()
    assert FOX["entity_id"] in entities(home, "twice.txt"), "it holds for later versions too"
    with home.platform.ledger.writing() as connection:
        take_back(connection, made.correction_id, by="ann")
    home.run()
    assert FOX["entity_id"] not in entities(home, "twice.txt")
