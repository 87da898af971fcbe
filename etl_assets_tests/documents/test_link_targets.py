"""What is read of a page where links stand in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.documents.classification.evidence import Page
from etl_assets.documents.classification.find import Classifying, classified
from etl_assets.documents.link_targets import without_paths, without_targets
from etl_assets.documents.mentions.catalogue import Catalogue
from etl_assets.documents.mentions.find import mentions_in


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("subject to this Notification </notification> and", "subject to this Notification and"),
        ("Click here </sites/aa21-\n\n042a_u.s._water.pdf> for a PDF", "Click here for a PDF"),
        ("of Cisco </news- |\n\nevents/aa25-212a>.", "of Cisco ."),
        ("(NSA <https://www.nsa.gov/>) and", "(NSA ) and"),
        ('See [the guide](/us/emotet "Emotet: a guide") now', "See [the guide] now"),
        ("[home](<a b.md>) and [x](https://en.wikipedia.org/wiki/Ryuk_(malware))", "[home] and [x]"),
        ("a < b and c > d, if (a[1] (see) x </ y>", "a < b and c > d, if (a[1] (see) x </ y>"),
        (
            "Iron </news-\nHygiene After Conducting | events/aa25>",
            "Iron </news- Hygiene After Conducting | events/aa25>",
        ),
    ],
)
def test_where_a_link_leads_is_not_read(text: str, words: str) -> None:
    assert " ".join(without_targets(text).split()) == words


@given(st.text(alphabet='a/<>](\n |#:."', max_size=60))
def test_what_is_read_has_every_other_character_where_it_was(text: str) -> None:
    for read in (without_paths(text), without_targets(text)):
        assert len(read) == len(text)
        assert all(new in (old, " ") for old, new in zip(text, read, strict=True))
        assert read.count("\n") == text.count("\n")


def test_names_in_targets_are_no_mentions_but_addresses_are() -> None:
    text = "Emotet returns </emotet-turla/ryuk>. See <https://evil.example.com/trickbot> and [this](/malware/Qakbot)."
    found = {(one.entity_type, text[one.start : one.end]) for one in mentions_in([text], Catalogue.load())[0]}
    assert found == {("malware", "Emotet"), ("url", "https://evil.example.com/trickbot")}


def test_a_target_states_no_technique() -> None:
    said = "It installs itself as a service named Remote Procedure."
    plain = [*classified([Page(1, f"![] {said}", ())], Classifying())]
    linked = [*classified([Page(1, f"![](/blogs/privacy-policy-keylogging.png) {said}", ())], Classifying())]
    assert [row[1:4] for row in plain] == [row[1:4] for row in linked] != []
    assert [*classified([Page(1, "</privacy-policy-keylogging-of-passwords/screen-capture>", ())], Classifying())] == []
