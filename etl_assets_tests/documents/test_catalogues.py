"""Catalogues that people bring: which one a collection uses, and what is kept of a bundle."""

import json
from pathlib import Path
from typing import Any

import pytest

from etl_assets.documents.catalogues import bring, catalogue_of
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.errors import ConfigError, DataError
from etl_assets.ledger import given_catalogues
from etl_assets.ledger.catalogue import ensure_collection
from etl_assets.ledger.collection_removal import remove_collection
from etl_assets.ledger.corrections import Place, correct, corrections
from etl_assets.ledger.database import Ledger

PACKAGED = Catalogue.from_objects([{"type": "malware", "id": "one", "name": "Firstone"}])


def group(name: str, number: int, **more: Any) -> dict[str, Any]:
    return {"type": "intrusion-set", "id": f"intrusion-set--{number:08d}-0000-4000-8000-000000000000", "name": name,
            "spec_version": "2.1", **more}  # fmt: skip


def bundle(*objects: Any) -> bytes:
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": list(objects)}).encode()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.sqlite(tmp_path / "ledger.sqlite")


def names(ledger: Ledger, tenant: str = "acme", collection: str = "reports") -> list[str]:
    return sorted(entry.name for entry in catalogue_of(ledger, PACKAGED, tenant, collection).entries)


def test_without_anything_brought_the_packaged_catalogue_serves(ledger: Ledger) -> None:
    assert catalogue_of(ledger, PACKAGED, "acme", "reports") is PACKAGED


def test_one_may_be_added_for_all_for_a_tenant_and_for_a_collection(ledger: Ledger) -> None:
    bring(ledger, bundle(group("Of Reports", 3)), name="c", mode="add", tenant="acme", collection="reports", by="ann")
    bring(ledger, bundle(group("Of All", 1)), name="a", mode="add", by="ann")
    bring(ledger, bundle(group("Of Acme", 2)), name="b", mode="add", tenant="acme", by="ann")
    assert names(ledger) == ["Firstone", "Of Acme", "Of All", "Of Reports"]
    assert names(ledger, collection="mail") == ["Firstone", "Of Acme", "Of All"]
    assert names(ledger, tenant="zeta") == ["Firstone", "Of All"]
    digests = [
        catalogue_of(ledger, PACKAGED, *place).digest for place in (("acme", "reports"), ("acme", "x"), ("z", "x"))
    ]
    assert len(set(digests)) == 3 and catalogue_of(ledger, PACKAGED, "acme", "y").digest == digests[1]


def test_one_that_replaces_takes_the_place_of_the_packaged_one_and_of_wider_ones(ledger: Ledger) -> None:
    bring(ledger, bundle(group("Of All", 1)), name="a", mode="add", by="ann")
    bring(ledger, bundle(group("Alone", 2)), name="b", mode="replace", tenant="acme", by="ann")
    assert names(ledger) == ["Alone"] and names(ledger, tenant="zeta") == ["Firstone", "Of All"]
    bring(ledger, bundle(group("Beside", 3)), name="c", mode="add", tenant="acme", by="bob")
    assert names(ledger) == ["Alone", "Beside"]
    bring(ledger, bundle(group("Anew", 4)), name="d", mode="replace", tenant="acme", by="bob")
    assert names(ledger) == ["Anew"]


def test_the_same_name_brought_again_is_the_newer_one_and_removing_it_brings_back_what_was(ledger: Ledger) -> None:
    before = catalogue_of(ledger, PACKAGED, "acme", "reports").digest
    bring(ledger, bundle(group("Old", 1)), name="ours", mode="add", by="ann")
    made, _ = bring(ledger, bundle(group("New", 2)), name="ours", mode="add", by="bob")
    assert names(ledger) == ["Firstone", "New"]
    with ledger.writing() as connection:
        assert given_catalogues.remove(connection, made.catalogue_id, by="bob") is not None
        assert given_catalogues.remove(connection, made.catalogue_id, by="bob") is None
        assert [one.ended_by for one in given_catalogues.given(connection, ended=True)] == ["bob", "bob"]
    assert catalogue_of(ledger, PACKAGED, "acme", "reports").digest == before and names(ledger) == ["Firstone"]


def test_broken_objects_are_named_and_their_neighbours_count(ledger: Ledger) -> None:
    data = bundle(
        group("Whole", 1), {"type": "malware", "id": "malware--2"}, group("", 3), group("Gone", 4, revoked=True)
    )
    made, read = bring(ledger, data, name="a", mode="add", by="ann")
    assert (
        made.entries == 1 and [one.place for one in read.refused] == [1, 2] and names(ledger) == ["Firstone", "Whole"]
    )


def test_nothing_that_json_may_hold_in_an_object_keeps_its_neighbours_out(ledger: Ledger) -> None:
    odd: list[Any] = [None, 1, 1.5, True, "", "\ud800", [], {}, [["a", {}]], {"a": 1}, "a" * 300]
    fields = ("type", "id", "name", "aliases", "external_references", "kill_chain_phases", "x_mitre_domains", "country")
    objects = [group("Odd", at) | {name: value} for name in fields for at, value in enumerate(odd)]
    stated = [{"type": "relationship", "source_ref": one["id"], "target_ref": value, "relationship_type": value,
               "description": "\ud800"} for one in objects for value in odd]  # fmt: skip
    made, read = bring(ledger, bundle(*objects, *stated, group("Whole", 999)), name="a", mode="add", by="ann")
    assert read.refused and "Whole" in names(ledger)
    hit = catalogue_of(ledger, PACKAGED, "acme", "reports").names.hits("The group Whole was seen.")
    assert hit and made.entries < len(objects)


def test_the_digest_is_of_what_is_read_not_of_how_it_is_written(ledger: Ledger) -> None:
    one, _ = bring(ledger, bundle(group("A", 1)), name="a", mode="add", by="ann")
    spaced = json.dumps(json.loads(bundle(group("A", 1))), indent=3).encode()
    other, _ = bring(ledger, spaced, name="b", mode="add", tenant="acme", by="ann")
    assert one.digest == other.digest


def test_what_is_no_bundle_or_names_nothing_is_refused(ledger: Ledger) -> None:
    with pytest.raises(DataError, match="no bundle"):
        bring(ledger, b"{}", name="a", mode="add", by="ann")
    with pytest.raises(ConfigError, match="nothing that a document could name"):
        bring(ledger, bundle({"type": "note", "id": "note--1"}), name="a", mode="add", by="ann")
    assert names(ledger) == ["Firstone"]


def test_a_deleted_collection_takes_what_was_given_to_it_and_the_last_one_what_its_tenant_was(ledger: Ledger) -> None:
    for collection in ("reports", "mail"):
        ensure_collection(ledger, "acme", collection, shards=1)
    bring(ledger, bundle(group("Of All", 1)), name="a", mode="add", by="ann")
    bring(ledger, bundle(group("Of Acme", 2)), name="b", mode="add", tenant="acme", by="ann")
    bring(ledger, bundle(group("Of It", 3)), name="c", mode="add", tenant="acme", collection="reports", by="ann")
    with ledger.writing() as connection:
        correct(connection, Place("acme"), "merge", "malware:a", {"entity": {}}, by="ann")
        remove_collection(connection, "acme", "reports")
        assert [one.name for one in given_catalogues.given(connection, ended=True)] == ["a", "b"]
        assert len(corrections(connection)) == 1
        remove_collection(connection, "acme", "mail")
        assert [one.name for one in given_catalogues.given(connection, ended=True)] == ["a"]
        assert corrections(connection, ended=True) == []
