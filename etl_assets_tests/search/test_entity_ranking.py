"""Which entities an overview names first."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.documents.mentions.find import _context
from etl_assets.search.entity_ranking import ranked, surroundings, together

FOOT = "CISA.gov An official website of the U.S. Department of Homeland Security, 2024-05-{}"


def rows(*documents: tuple[str, str], names: tuple[str, ...] = ("CISA", "Emotet")) -> pl.DataFrame:
    """(document, text): each place of a name is a mention."""
    found = []
    for document, text in documents:
        for name in names:
            start = text.find(name)
            while start >= 0:
                around = _context(text, start, start + len(name))
                found.append((document, f"x:{name.lower()}", "x", name, name, around))
                start = text.find(name, start + 1)
    columns = ("document_id", "entity_id", "entity_type", "name", "text", "context")
    return pl.DataFrame(found, schema=dict.fromkeys(columns, pl.String), orient="row")


def test_what_every_foot_of_a_page_names_comes_behind_what_documents_say_themselves() -> None:
    said = [
        "Bears of the north used Emotet against banks in spring.", "Phishing mails led to Emotet, and then to worse.",
        "Nothing here is about malware at all, only about patches.", "Ports were open and passwords weak, for years.",
    ]  # fmt: skip
    frame = rows(*((str(number), f"{text}\n{FOOT.format(number)}") for number, text in enumerate(said)))
    order = [(one.entity.name, one.documents, one.own) for one in ranked(surroundings(frame))]
    assert order == [("Emotet", 2, 2.0), ("CISA", 4, 1.0)]
    assert together(surroundings(frame), [one.entity for one in ranked(surroundings(frame))]) == {(0, 1): 2}


def test_of_one_document_what_it_names_most_comes_first() -> None:
    text = "Emotet came first. Then there was CISA that said so. And later on Emotet went, as everybody knew."
    assert [one.entity.name for one in ranked(surroundings(rows(("a", text))))] == ["Emotet", "CISA"]
    assert ranked(surroundings(rows(("a", "nothing")))) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["Emotet", "CISA", "é 12", "\U0001f600", "bank"]), max_size=9), max_size=5))
def test_each_document_that_names_an_entity_counts_as_one_at_most(texts: list[list[str]]) -> None:
    frame = rows(*((str(number), " ".join(text)) for number, text in enumerate(texts)))
    for one in ranked(surroundings(frame)):
        assert 0 < one.own <= one.documents == sum(one.entity.name in text for text in texts)
