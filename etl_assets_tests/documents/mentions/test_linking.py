import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import mentions_in
from etl_assets.documents.mentions.names import folded
from etl_assets.errors import ConfigError

CATALOGUE = Catalogue.load()


def found(*pages: str, catalogue: Catalogue = CATALOGUE) -> list[tuple[str, str]]:
    return [
        (text[mention.start : mention.end], mention.entity_id)
        for text, on_page in zip(pages, mentions_in(pages, catalogue), strict=True)
        for mention in on_page
    ]


def confidence(text: str, *, of: str) -> float:
    return {mention.entity_id: mention.confidence for mention in mentions_in([text], CATALOGUE)[0]}[of]


@pytest.mark.parametrize(
    ("text", "span", "entity_id"),
    [
        ("APT28 was seen", "APT28", "group:G0007"),
        ("the conti ransomware", "conti", "malware:S0575"),
        ("the fancy bear actors", "fancy bear", "group:G0007"),
        ("APT 28 and others", "APT 28", "group:G0007"),
        ("the apt-28 actors", "apt-28", "group:G0007"),
        ("Fancy Bear's tools", "Fancy Bear", "group:G0007"),
        ("the Fancy\nBear crew", "Fancy\nBear", "group:G0007"),
        ("APT\u2011C\u201136 returned", "APT\u2011C\u201136", "group:G0099"),
        ("Lazarus group did it", "Lazarus group", "group:G0032"),
        ("The Sandworm group used NotPetya", "Sandworm", "group:G0034"),
        ("Cobalt Strike's beacon", "Cobalt Strike", "malware:S0154"),
        ("the cobalt-strike framework", "cobalt-strike", "malware:S0154"),
        ("a TrickBot sample", "TrickBot", "malware:S0266"),
        ("emotet, then", "emotet", "malware:S0367"),
        ("#Emotet/Dridex", "Emotet", "malware:S0367"),
        ("ran mimikatz again", "mimikatz", "tool:S0002"),
        ("ran PsExec.exe as", "PsExec.exe", "tool:S0029"),
        ("the Carbon backdoor", "Carbon", "malware:S0335"),
        ("a group known as Silence", "Silence", "group:G0091"),
        ("the Sandworm Team", "Sandworm Team", "group:G0034"),
        ("Operation Dream Job began", "Operation Dream Job", "campaign:C0022"),
        ("uses process injection", "process injection", "technique:T1055"),
        ("left web shells behind", "web shells", "technique:T1505.003"),
        ("for lateral movement", "lateral movement", "tactic:TA0008"),
    ],
)  # fmt: skip
def test_a_name_is_found_in_all_its_spellings(text: str, span: str, entity_id: str) -> None:
    assert (span, entity_id) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Carbon emissions fell. The leviathan swam.",
        "at the net of the route, reg, ping and cmd",
        "Play it. Royal families and Snake charmers in Cuba.",
        "PHOTO GALLERY OF ALL PLATINUM MEMBERS AND GUESTS",
        "on the server, domains and software have an impact",
        "outer space, cutting edge",
        "emotetx and xemotet and _emotet_",
        "C:\\Emotet\\x ryuk.dll foo.turla",
        "see https://example.com/emotet/apt28",
        "audit and user training",
        "i conti dell'utente",
    ],
)
def test_plain_speech_paths_and_parts_of_words_name_nothing(text: str) -> None:
    plain = ("url", "domain", "location", "product")
    assert [entity for _, entity in found(text) if not entity.startswith(plain)] == []


@pytest.mark.parametrize(
    ("text", "span", "entity_id"),
    [
        ("T1059.001 (PowerShell)", "T1059.001", "technique:T1059.001"),
        ("technique T1059/001", "T1059/001", "technique:T1059.001"),
        ("group G0007 of MITRE", "G0007", "group:G0007"),
        ("MITRE S0154", "S0154", "malware:S0154"),
        ("ATT&CK tool S0002.", "S0002", "tool:S0002"),
        ("mitigation M1036", "M1036", "mitigation:M1036"),
        ("campaign C0010 (MITRE)", "C0010", "campaign:C0010"),
        ("[TA0001]", "TA0001", "tactic:TA0001"),
    ],
)
def test_an_attack_id_is_linked_to_its_kind(text: str, span: str, entity_id: str) -> None:
    assert (span, entity_id) in found(text)


def test_a_wallet_is_not_the_group_of_its_name() -> None:
    assert not [entity for _, entity in found("Open the Chromium browser and the Electrum wallet") if "group" in entity]


def test_an_id_the_catalogue_does_not_hold_is_kept_where_the_text_speaks_of_attack_and_less_sure() -> None:
    assert found("MITRE ATT&CK technique T9998 and group G9998") == [
        ("T9998", "technique:T9998"),
        ("G9998", "group:G9998"),
    ]
    assert found("models S9000, G9998 and M9999") == []
    assert confidence("T9998", of="technique:T9998") < 0.5 < confidence("T1059", of="technique:T1059")
    assert found("XT1059, T10591, T1059-2, T1059.5 and TA505x") == []


def test_everyday_words_are_techniques_beside_their_id() -> None:
    assert ("Python", "technique:T1059.006") in found("T1059.006 Python")
    assert ("Impact", "tactic:TA0040") in found("TA0040 Impact")
    assert found("Python has an Impact") == []


def test_a_name_settled_on_one_page_holds_on_the_others() -> None:
    assert found("Carbon was updated.") == []
    assert ("Carbon", "malware:S0335") in found("The Carbon malware.", "Then Carbon was updated.")[1:]


def test_a_name_of_two_things_is_decided_by_its_neighbours() -> None:
    assert ("Carbanak", "malware:S0030") in found("the Carbanak malware, a backdoor")
    assert ("Carbanak", "group:G0008") in found("the threat actor Carbanak")
    assert confidence("the Carbanak malware", of="malware:S0030") > confidence("on Carbanak", of="group:G0008")


def test_the_longest_name_wins() -> None:
    assert [entity for _, entity in found("PowerShell Empire")] == ["tool:S0363"]


def test_a_catalogue_of_other_objects_replaces_the_packaged_one() -> None:
    objects: list[dict[str, Any]] = [
        {"type": "malware", "id": "malware--1", "name": "Zorbl", "aliases": ["Zorbl-RAT"]},
        {"type": "intrusion-set", "id": "intrusion-set--2", "attack_id": "G9001", "name": "Quux Team"},
        {"type": "identity", "id": "identity--3", "name": "Somebody"},
    ]
    stated = [{"type": "uses", "source_id": "G9001", "target_id": "G9001", "text": "x"},
              {"type": "uses", "source_id": "G9001", "target_id": "S1"}]  # fmt: skip
    mine = Catalogue.from_objects(objects, stated)
    expected = [("Quux", "group:G9001"), ("zorbl-rat", "malware:malware--1")]
    assert found("Quux used zorbl-rat", catalogue=mine) == expected
    assert [(one.source_id, one.kind, one.text) for one in mine.relationships] == [("group:G9001", "uses", "x")]
    assert mine.digest == Catalogue.from_objects(objects, stated).digest != Catalogue.from_objects(objects).digest


@pytest.mark.parametrize("record", [{"type": "tool", "id": "tool--1"}, {"type": "tool", "name": "x"}])
def test_a_catalogue_object_without_name_or_id_is_refused(record: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="needs a name and an id"):
        Catalogue.from_objects([record])


def test_the_packaged_catalogue_is_whole_and_carries_its_notice() -> None:
    assert len(CATALOGUE.entries) == 2185
    assert len(CATALOGUE.relationships) == 8054
    assert CATALOGUE.by_attack_id["T1059.001"].name == "PowerShell"
    assert Catalogue.load() is CATALOGUE and re.fullmatch(r"[0-9a-f]{32}", CATALOGUE.digest)


def test_mitre_is_named_as_its_terms_ask(repository: Path) -> None:
    notice = (repository / "etl_assets" / "documents" / "mentions" / "data" / "NOTICE.md").read_text("utf-8")
    assert "reproduced and distributed with the permission of The MITRE Corporation" in notice


@given(st.text())
def test_folding_keeps_every_place(text: str) -> None:
    assert len(folded(text)) == len(text)


def test_folding_survives_letters_that_grow() -> None:
    assert folded("İX\u2011Y\n") == "İx-y "
