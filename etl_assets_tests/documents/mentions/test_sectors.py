import pytest

from etl_assets.documents.mentions.cued import Finding
from etl_assets.documents.mentions.found import longest
from etl_assets.documents.mentions.sectors import sectors, sectors_read


def found(text: str) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.name) for one in longest(sectors(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the energy sector", [("energy sector", "energy")]),
        ("European financial institutions", [("financial institutions", "financial-services")]),
        ("energy, defense, and banking organizations",
         [("energy", "energy"), ("defense", "defense"), ("banking", "financial-services")]),
        ("hospitals and airlines", [("hospitals", "healthcare"), ("airlines", "aerospace")]),
    ],
)  # fmt: skip
def test_a_sector_is_named_by_its_phrase(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize("text", ["saving energy", "a public key", "in the media", "power on", "defense in depth"])
def test_a_plain_word_is_no_sector(text: str) -> None:
    assert found(text) == []


def test_what_the_labeller_takes_for_a_sector_is_one_where_a_word_says_which() -> None:
    text = "They hit European banking, naval things and energy companies."
    read = [
        Finding(text.index(words), text.index(words) + len(words), "sector", probability, "reports")
        for words, probability in (("European banking", 0.8), ("naval things", 0.9), ("companies", 0.9))
    ]
    found = [(text[one.start : one.end], one.name, one.method) for one in sectors_read(text, read)]
    assert found == [("European banking", "financial-services", "context")]
    assert not list(sectors_read(text, [read[0]._replace(probability=0.3)]))


def test_a_longer_span_that_the_labeller_is_sure_of_is_taken_for_the_phrase_in_it() -> None:
    text = "They hit diplomatic government bodies."
    read = Finding(text.index("diplomatic"), len(text) - 1, "sector", 0.95, "reports")
    assert [text[one.start : one.end] for one in sectors_read(text, [read])] == ["diplomatic government bodies"]
    assert not list(sectors_read(text, [read._replace(probability=0.8)]))


def test_what_begins_an_address_is_no_sector() -> None:
    assert found("write to healthcare@[company] or see banks.example") == []
