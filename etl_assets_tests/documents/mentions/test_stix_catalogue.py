import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.documents.knowledge import entries_in
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import mentions_in
from etl_assets.documents.mentions.stix_catalogue import read_bundle
from etl_assets.errors import DataError

CATALOGUE = Catalogue.load()


def thing(kind: str, number: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "id": f"{kind}--{number:08}-0000-4000-8000-000000000000", "name": name, **fields}


def bundle(*objects: object) -> bytes:
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}).encode()


QUUX = thing("intrusion-set", 1, "Quuxator", aliases=["Quuxator", "Blue Quux"])
ZORBL = thing("malware", 2, "Zorbl", x_mitre_aliases=["Zorbl-RAT"], is_family=True)


BOTH_ADDED = read_bundle(bundle(QUUX, ZORBL)).added_to(CATALOGUE)


def ids(text: str, catalogue: Catalogue) -> set[str]:
    return {one.entity_id for one in mentions_in([text], catalogue)[0]}


def test_a_bundle_replaces_the_catalogue_or_adds_to_it() -> None:
    read = read_bundle(bundle(QUUX, ZORBL, {"type": "report", "id": "report--1"}))
    text = "Blue Quux sent Zorbl-RAT and Emotet."
    mine = {f"group:{QUUX['id']}", f"malware:{ZORBL['id']}"}
    assert mine <= ids(text, read.catalogue()) and "malware:S0367" not in ids(text, read.catalogue())
    added = read.added_to(CATALOGUE)
    assert mine | {"malware:S0367"} <= ids(text, added)
    assert added.digest == read.added_to(CATALOGUE).digest != CATALOGUE.digest
    assert len(added.entries) == len(CATALOGUE.entries) + 2 and len(added.relationships) == len(CATALOGUE.relationships)


def test_things_known_without_a_catalogue_keep_their_ids() -> None:
    read = read_bundle(bundle(
        thing("vulnerability", 1, "Quuxshell", external_references=[{"external_id": "CVE-2031-1234"}]),
        thing("location", 2, "Ruritania", country="RT"), thing("location", 3, "Freedonia"),
        thing("identity", 4, "Acmecorp GmbH", identity_class="organization"),
        thing("identity", 5, "Jane Quux", identity_class="individual"),
        thing("malware", 6, "Zorbl", external_references=[{"source_name": "mitre-attack", "external_id": "S9999"}]),
    ))  # fmt: skip
    assert [entry.entity_id for entry in read.catalogue().entries] == [
        "cve:CVE-2031-1234", "location:RT", "location:freedonia", "organisation:acmecorp gmbh", "malware:S9999"
    ]  # fmt: skip
    assert "cve:CVE-2031-1234" in ids("They used Quuxshell.", read.catalogue())


def test_revoked_and_deprecated_objects_are_left_out_and_the_newest_version_counts() -> None:
    read = read_bundle(bundle(
        {**QUUX, "revoked": True}, thing("malware", 3, "Oldie", x_mitre_deprecated=True),
        {**ZORBL, "modified": "2024-01-01T00:00:00Z", "name": "Zorbl2"}, {**ZORBL, "modified": "2023-01-01T00:00:00Z"},
    ))  # fmt: skip
    assert [entry.name for entry in read.catalogue().entries] == ["Zorbl2"] and read.refused == ()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"type": "malware", "id": "malware--1"}, "its name must be text"),
        ({"type": "malware", "name": "x"}, "does not begin with malware--"),
        (thing("malware", 9, "x" * 300), "its name must be text of 1 to 200"),
        (thing("malware", 9, "x", aliases="y"), "its aliases must be a list of texts"),
        (thing("malware", 9, "x", external_references=[1]), "external_references must be"),
        (thing("malware", 9, "x", kill_chain_phases={}), "kill_chain_phases must be"),
        (7, "it is no object"),
        ({"id": "x"}, "it is no object with a type"),
    ],
)
def test_a_broken_object_is_named_and_its_neighbours_are_read(broken: object, reason: str) -> None:
    read = read_bundle(bundle(QUUX, broken, ZORBL))
    assert len(read.catalogue().entries) == 2
    assert [one.place for one in read.refused] == [1]
    assert reason in read.refused[0].reason


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b'{"type": "bundle"}', b'{"type": "report", "objects": []}'])
def test_what_is_no_bundle_is_refused_whole(data: bytes) -> None:
    with pytest.raises(DataError, match="STIX bundle"):
        read_bundle(data)


def test_relationships_between_objects_of_the_bundle_are_kept() -> None:
    link = {"type": "relationship", "id": "relationship--1", "relationship_type": "uses",
            "source_ref": QUUX["id"], "target_ref": ZORBL["id"], "description": "says so"}  # fmt: skip
    (one,) = read_bundle(bundle(QUUX, ZORBL, link, {**link, "target_ref": "malware--x"})).catalogue().relationships
    assert (one.source_id, one.kind, one.target_id, one.text) == (
        f"group:{QUUX['id']}", "uses", f"malware:{ZORBL['id']}", "says so"
    )  # fmt: skip


def test_a_new_group_touches_the_texts_that_name_it_and_no_others() -> None:
    new = read_bundle(bundle(QUUX)).added_to(CATALOGUE)
    named, other = ["APT28 met", "Blue Quux."], ["APT28 met Emotet at T1059."]
    assert set(entries_in(named, new)) - set(entries_in(named, CATALOGUE)) == set(new.entries) - set(CATALOGUE.entries)
    assert entries_in(other, CATALOGUE) == entries_in(other, new) != []
    assert mentions_in(other, CATALOGUE) == mentions_in(other, new)


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["APT28", "Blue Quux", "Zorbl", "Emotet", "used", "T1059", "S9999", "."]), max_size=12))
def test_texts_that_two_catalogues_know_the_same_of_have_the_same_mentions_under_both(words: list[str]) -> None:
    text = " ".join(words)
    if entries_in([text], CATALOGUE) == entries_in([text], BOTH_ADDED):
        assert mentions_in([text], CATALOGUE) == mentions_in([text], BOTH_ADDED)
    else:
        assert "Quux" in text or "Zorbl" in text
